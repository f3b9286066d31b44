/// Stops machines for the host's shutdown: against the order of their starts, each with time to shut down by itself, and all
/// before a deadline. Knows no clock and no machine: it is told, and says what to do.
public struct StopRun: Equatable, Sendable {
    /// A machine that runs, and how it is to be stopped.
    public struct Target: Equatable, Sendable {
        public var file: String
        public var action: AutostartSettings.StopAction

        public init(file: String, action: AutostartSettings.StopAction) {
            self.file = file
            self.action = action
        }
    }

    public enum Action: Equatable, Sendable {
        /// Press its power button.
        case shutDown(String)
        case powerOff(String)
        /// It was to be suspended, which this host cannot do yet; it is shut down instead.
        case cannotSuspend(String)
        /// It did not shut down in time; it is powered off.
        case tooSlow(String)
    }

    /// What is kept of the time to power off what did not shut down, in nanoseconds.
    static let reserve: UInt64 = 3_000_000_000

    /// Each wave begins when the one before has ended.
    private var waves: [[Target]]
    private var waiting: Set<String> = []
    private var isPoweringOff = false
    private let stopDelay: UInt64
    private let deadline: UInt64
    private var waveEnds: UInt64 = .max

    /// - Parameters:
    ///   - waves: see `StopPlan.waves`.
    ///   - stopDelay: how long a machine may take, in nanoseconds.
    ///   - deadline: when all must be off, on the clock of `advance`.
    public init(_ waves: [[Target]], stopDelay: UInt64, deadline: UInt64) {
        self.waves = waves.filter { !$0.isEmpty }
        self.stopDelay = stopDelay
        self.deadline = deadline
    }

    public var isDone: Bool { waves.isEmpty && waiting.isEmpty }

    /// When to call `advance` at the latest; nil: nothing will happen by itself.
    public var wakeUp: UInt64? { isDone || waveEnds == .max ? nil : waveEnds }

    /// A machine is off.
    public mutating func ended(_ file: String) { waiting.remove(file) }

    /// A machine's guest cannot be asked to shut down.
    public mutating func refused(_ file: String) -> [Action] { waiting.contains(file) ? [.powerOff(file)] : [] }

    /// What to do now.
    public mutating func advance(now: UInt64) -> [Action] {
        var actions: [Action] = []
        let hard = deadline > Self.reserve ? deadline - Self.reserve : 0
        if now >= hard, !isPoweringOff {
            // No time left to ask: everything that runs is powered off at once.
            isPoweringOff = true
            for file in waiting.sorted() { actions += [.tooSlow(file), .powerOff(file)] }
            for target in waves.joined() {
                waiting.insert(target.file)
                actions.append(.powerOff(target.file))
            }
            waves = []
            waveEnds = .max
            return actions
        }
        if !waiting.isEmpty, now >= waveEnds, !isPoweringOff {
            for file in waiting.sorted() { actions += [.tooSlow(file), .powerOff(file)] }
            waveEnds = hard
        }
        while waiting.isEmpty, !waves.isEmpty {
            // The time that is left is shared out evenly among the waves that are left.
            let share = (hard - min(now, hard)) / UInt64(waves.count)
            waveEnds = now &+ min(stopDelay, share)
            for target in waves.removeFirst() {
                waiting.insert(target.file)
                switch target.action {
                case .guestShutdown: actions.append(.shutDown(target.file))
                case .suspend: actions += [.cannotSuspend(target.file), .shutDown(target.file)]
                case .powerOff, .none: actions.append(.powerOff(target.file))
                }
            }
        }
        return actions
    }
}

/// In which order machines stop.
public enum StopPlan {
    /// Machines without a place in the order stop first, all at once; the others one after another, the last started first;
    /// those about which settings say to do nothing are powered off in the end.
    ///
    /// The host's stop action is part of automatic starts and stops. While those are off, guests are asked to shut down, unless a
    /// machine has an action of its own: nobody has said that their data is worth less.
    ///
    /// - Parameter running: files of machines that run.
    public static func waves(_ settings: HostSettings, running: [String]) -> [[StopRun.Target]] {
        let standard = settings.autostart.isEnabled ? settings.autostart.stopAction : .guestShutdown
        let entries = AutostartPlan.ordered(settings.machines).filter { running.contains($0.file) }
        var listed: [[StopRun.Target]] = []
        for (index, entry) in entries.enumerated() {
            let target = StopRun.Target(file: entry.file, action: entry.stopAction ?? standard)
            if index > 0, entry.startOrder == entries[index - 1].startOrder, !listed.isEmpty {
                listed[listed.count - 1].append(target)
            } else {
                listed.append([target])
            }
        }
        let others = running.filter { file in !entries.contains { $0.file == file } }.map { file in
            let entry = settings.machines.first { $0.file == file }
            return StopRun.Target(file: file, action: entry?.stopAction ?? standard)
        }
        let waves = [others] + listed.reversed()
        let last = waves.joined().filter { $0.action == .none }
        return (waves.map { $0.filter { $0.action != .none } } + [last]).filter { !$0.isEmpty }
    }
}
