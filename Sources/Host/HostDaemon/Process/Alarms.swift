import Linux

/// Calls back later, on an event loop: many alarms on one timer.
final class Alarms {
    // Belongs to the loop's thread.

    /// Names an alarm that was set, to cancel it.
    struct Name: Hashable { fileprivate var number: UInt64 }

    private var alarms: [Name: (time: UInt64, ring: () -> Void)] = [:]
    private var last: UInt64 = 0
    private var timer: Timer?

    init(on loop: EventLoop) throws(SystemError) {
        timer = try Timer(on: loop) { [weak self] in self?.fire() }
    }

    /// Calls `ring` once after so many nanoseconds.
    @discardableResult
    func after(_ nanoseconds: UInt64, _ ring: @escaping () -> Void) -> Name {
        last &+= 1
        let name = Name(number: last)
        alarms[name] = (monotonicNanoseconds().addingReportingOverflow(nanoseconds).partialValue, ring)
        arm()
        return name
    }

    /// An alarm that has rung already is no error.
    func cancel(_ name: Name?) {
        guard let name else { return }
        alarms[name] = nil
    }

    private func fire() {
        let now = monotonicNanoseconds()
        // In order of their times; each may set and cancel others.
        let due = alarms.filter { $0.value.time <= now }.sorted { $0.value.time < $1.value.time }.map(\.key)
        for name in due { alarms.removeValue(forKey: name)?.ring() }
        arm()
    }

    private func arm() {
        guard let next = alarms.values.map(\.time).min() else { return }
        let now = monotonicNanoseconds()
        timer?.set(after: next > now ? next - now : 1)
    }
}
