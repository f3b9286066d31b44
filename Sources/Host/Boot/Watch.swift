import Linux

/// A descriptor that somebody waits for, and what they do when it is ready.
///
/// The loop asks everybody for their watches at each turn, so what is waited for follows from state and need not be
/// registered and unregistered. An action may find that another action of the same turn has closed its descriptor; it
/// must look before it acts.
struct Watch {
    var descriptor: CInt
    var events: PollEvents
    var action: (PollEvents) -> Void

    init(_ descriptor: CInt, _ events: PollEvents, _ action: @escaping (PollEvents) -> Void) {
        self.descriptor = descriptor
        self.events = events
        self.action = action
    }

    /// Waits for one turn and runs the actions of what is ready.
    ///
    /// - Parameter deadline: when to return at the latest, on the clock of `monotonicNanoseconds`; nil for no limit.
    static func turn(_ watches: [Watch], until deadline: UInt64?) throws(SystemError) {
        let milliseconds = deadline.map { deadline -> Int in
            let now = monotonicNanoseconds()
            return deadline <= now ? 0 : Int(clamping: (deadline - now) / 1_000_000 + 1)
        }
        let ready = try poll(watches.map { PollInterest($0.descriptor, $0.events) }, milliseconds: milliseconds)
        for (watch, events) in zip(watches, ready) where !events.isEmpty { watch.action(events) }
    }
}
