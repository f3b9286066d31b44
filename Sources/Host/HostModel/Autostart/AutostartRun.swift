/// Which machines start with the host, in order.
public enum AutostartPlan {
    public struct Step: Equatable, Sendable {
        public var file: String
        /// Nanoseconds between its start and the next one.
        public var delay: UInt64

        public init(file: String, delay: UInt64) {
            self.file = file
            self.delay = delay
        }
    }

    /// The machines to start: by their place in the order, those of one place as settings have them. Empty if automatic starts
    /// are off.
    public static func starts(_ settings: HostSettings) -> [Step] {
        guard settings.autostart.isEnabled else { return [] }
        return ordered(settings.machines).map { machine in
            let seconds = machine.startDelay ?? settings.autostart.startDelay
            return Step(file: machine.file, delay: UInt64(seconds) * 1_000_000_000)
        }
    }

    /// Machines that have a place, in order.
    static func ordered(_ machines: [RegisteredMachine]) -> [RegisteredMachine] {
        machines.enumerated()
            .compactMap { index, machine in machine.startOrder.map { (order: $0, index: index, machine: machine) } }
            .sorted { ($0.order, $0.index) < ($1.order, $1.index) }
            .map(\.machine)
    }
}

/// Starts machines one after another. Knows no clock and no machine: it is told, and says what to do.
public struct AutostartRun: Equatable, Sendable {
    public enum Action: Equatable, Sendable {
        case start(String)
        /// Its file did not appear; the next one's turn.
        case giveUp(String)
        /// Ask again at this time at the latest.
        case wait(until: UInt64)
        case finished
    }

    /// How long a machine's file may take to appear, in nanoseconds: disks come up slowly.
    public static let fileWait: UInt64 = 60_000_000_000
    /// How often to look for it.
    static let lookEvery: UInt64 = 1_000_000_000

    private let steps: [AutostartPlan.Step]
    private var index = 0
    /// When the next start may be, on the clock of `next`.
    public private(set) var notBefore: UInt64
    private var missingSince: UInt64?

    /// - Parameter notBefore: from an earlier run that this one goes on with; 0 for a new one.
    public init(_ steps: [AutostartPlan.Step], notBefore: UInt64 = 0) {
        self.steps = steps
        self.notBefore = notBefore
    }

    /// What to do now.
    ///
    /// - Parameters:
    ///   - now: in nanoseconds, on a clock that never steps back.
    ///   - handled: machines that need no start: they had theirs, or an administrator has decided about them meanwhile.
    ///   - isPresent: whether a machine's file is there.
    public mutating func next(now: UInt64, handled: Set<String>, isPresent: (String) -> Bool) -> Action {
        while index < steps.count {
            let step = steps[index]
            if handled.contains(step.file) {
                advance()
                continue
            }
            if now < notBefore { return .wait(until: notBefore) }
            if isPresent(step.file) {
                advance()
                notBefore = now &+ step.delay
                return .start(step.file)
            }
            let since = missingSince ?? now
            missingSince = since
            if now &- since >= Self.fileWait {
                advance()
                return .giveUp(step.file)
            }
            return .wait(until: now &+ Self.lookEvery)
        }
        return .finished
    }

    private mutating func advance() {
        index += 1
        missingSince = nil
    }
}
