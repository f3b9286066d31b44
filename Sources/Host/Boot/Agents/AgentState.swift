import Linux

/// Where one agent's life stands: what happens to it, and what is to be done then. No I/O; times are in nanoseconds on the clock of
/// `monotonicNanoseconds`.
struct AgentState {
    enum Phase: Equatable {
        /// To be started, not before this time.
        case waiting(until: UInt64)
        /// It runs, but has answered nothing yet.
        case starting
        /// It runs; if it can be asked, it has answered.
        case running
        /// It was told to end.
        case stopping
        /// It ended as it should and is not started again.
        case done
        /// It cannot be started: trying again is of no use.
        case impossible
    }

    /// What is to be said about an end.
    enum Message: Equatable {
        case isDone
        case startsAgain(after: UInt64)
        case isMissing
    }

    /// After so long it counts as having worked, and a failure after that as its first.
    static let goodRun: UInt64 = 10_000_000_000
    static let delayMin: UInt64 = 50_000_000
    static let delayMax: UInt64 = 30_000_000_000
    /// An agent that answers nothing for so long hangs. Long, because a host that is short of memory or emulated is slow.
    static let answerMax: UInt64 = 30_000_000_000
    /// So long it may take until its first answer.
    static let firstAnswerMax: UInt64 = 60_000_000_000
    /// What it needs is waited for so long.
    static let needsMax: UInt64 = 10_000_000_000
    /// The status with which `wafer` says that it does not know a command (EX_USAGE of sysexits.h).
    static let usageStatus: UInt8 = 64

    let isAsked: Bool
    let restart: Agent.Restart
    private(set) var phase = Phase.waiting(until: 0)
    /// How often it was started again.
    private(set) var restarts = 0
    private var failures = 0
    private var startedAt: UInt64 = 0
    private var answeredAt: UInt64 = 0
    private var wasKilledHere = false
    private var isStopped = false

    init(isAsked: Bool, restart: Agent.Restart) {
        self.isAsked = isAsked
        self.restart = restart
    }

    /// Whether it is as well as it can say.
    var isHealthy: Bool { phase == .running }
    var isAlive: Bool { phase == .starting || phase == .running || phase == .stopping }

    /// When to start it; nil if that is not to be.
    var startDue: UInt64? {
        if case .waiting(let until) = phase { until } else { nil }
    }

    /// When it hangs if it does not answer before; nil if nothing is expected.
    var answerDue: UInt64? {
        switch phase {
        case .starting: startedAt &+ Self.firstAnswerMax
        case .running where isAsked: answeredAt &+ Self.answerMax
        default: nil
        }
    }

    mutating func started(now: UInt64) {
        startedAt = now
        answeredAt = now
        wasKilledHere = false
        phase = isAsked ? .starting : .running
    }

    mutating func answered(now: UInt64) {
        answeredAt = now
        if phase == .starting { phase = .running }
    }

    /// - Returns: whether it is to be killed, because it hangs.
    mutating func hangs(now: UInt64) -> Bool {
        guard let due = answerDue, due <= now, !wasKilledHere else { return false }
        wasKilledHere = true
        phase = .stopping
        return true
    }

    /// It is wanted no more.
    mutating func stop() {
        isStopped = true
        switch phase {
        case .starting, .running: phase = .stopping
        case .waiting: phase = .done
        case .stopping, .done, .impossible: break
        }
    }

    /// It could not even be started.
    mutating func failedToStart(now: UInt64) { retry(now: now) }

    /// It ended.
    mutating func ended(_ status: ExitStatus, now: UInt64) -> Message {
        if isStopped || restart == .afterFailure && status == .exited(0) {
            phase = .done
            return .isDone
        }
        if restart == .always, status == .exited(Self.usageStatus) {
            phase = .impossible
            return .isMissing
        }
        let ran = now &- startedAt
        restarts += 1
        if ran > Self.goodRun, !wasKilledHere {
            failures = 0
            phase = .waiting(until: now)
        } else if status == .signalled(9), !wasKilledHere {
            // Somebody's doing, not its fault: no reason to keep people waiting.
            phase = .waiting(until: now &+ Self.delayMin)
        } else {
            retry(now: now)
        }
        return .startsAgain(after: (startDue ?? now) &- now)
    }

    private mutating func retry(now: UInt64) {
        phase = .waiting(until: now &+ min(Self.delayMin << UInt64(min(failures, 20)), Self.delayMax))
        failures += 1
    }
}
