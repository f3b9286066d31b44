/// The order in which a host goes down: guests, then agents one by one in the reverse of their start, then whatever else runs. No
/// I/O; times are in nanoseconds on the clock of `monotonicNanoseconds`.
struct ShutdownSequence: Equatable {
    enum Action: Equatable {
        /// Start the command that stops all guests.
        case stopGuests
        /// End that command: guests took too long, or nobody waits for them.
        case endGuestStop
        /// Start no agent again from now on.
        case stopSupervision
        case signalAgent(String, Signal)
        case signalAll(Signal)
        /// Write, unmount and end the system.
        case finish
    }

    enum Signal: Int32 {
        case terminate = 15
        case kill = 9
    }

    private enum Stage: Equatable {
        case start
        case guests(until: UInt64)
        /// One agent was told to end.
        case agent(String, until: UInt64)
        case killedAgent(String, until: UInt64)
        case nextAgent
        case terminating(until: UInt64)
        case killing(until: UInt64)
        case finished
    }

    /// How long things may take.
    static let guestsMax: UInt64 = 600_000_000_000
    static let agentMax: UInt64 = 5_000_000_000
    static let killMax: UInt64 = 2_000_000_000
    static let processesMax: UInt64 = 10_000_000_000

    private let stopsGuests: Bool
    private var stage = Stage.start
    private var isForced = false

    /// - Parameter stopsGuests: whether somebody is there to ask for that.
    init(stopsGuests: Bool) { self.stopsGuests = stopsGuests }

    /// Somebody asked again, and does not want to wait.
    mutating func force() { isForced = true }

    /// When to look again at the latest.
    var due: UInt64? {
        switch stage {
        case .guests(let until), .agent(_, let until), .killedAgent(_, let until), .terminating(let until),
            .killing(let until):
            until
        case .start, .nextAgent, .finished: nil
        }
    }

    /// What to do now.
    ///
    /// - Parameters:
    ///   - stopperRuns: whether the command that stops guests runs.
    ///   - agents: those alive, in the order they were started.
    ///   - anyProcess: whether there is any process besides.
    mutating func advance(now: UInt64, stopperRuns: Bool, agents: [String], anyProcess: Bool) -> [Action] {
        var actions: [Action] = []
        while true {
            switch stage {
            case .start:
                if stopsGuests, !isForced {
                    stage = .guests(until: now &+ Self.guestsMax)
                    return [.stopGuests]
                }
                actions.append(.stopSupervision)
                stage = .nextAgent
            case .guests(let until):
                if stopperRuns, now < until, !isForced { return actions }
                if stopperRuns { actions.append(.endGuestStop) }
                actions.append(.stopSupervision)
                stage = .nextAgent
            case .nextAgent:
                guard let name = agents.last, !isForced else {
                    actions.append(.signalAll(.terminate))
                    stage = .terminating(until: now &+ (isForced ? Self.killMax : Self.processesMax))
                    continue
                }
                actions.append(.signalAgent(name, .terminate))
                stage = .agent(name, until: now &+ Self.agentMax)
                return actions
            case .agent(let name, let until):
                if !agents.contains(name) || isForced {
                    stage = .nextAgent
                } else if now >= until {
                    actions.append(.signalAgent(name, .kill))
                    stage = .killedAgent(name, until: now &+ Self.killMax)
                    return actions
                } else {
                    return actions
                }
            case .killedAgent(let name, let until):
                // One that does not even die (it waits for a device) is left to the end.
                if agents.contains(name), now < until, !isForced { return actions }
                if agents.contains(name) {
                    actions.append(.signalAll(.terminate))
                    stage = .terminating(until: now &+ Self.processesMax)
                } else {
                    stage = .nextAgent
                }
            case .terminating(let until):
                if anyProcess, now < until, !(isForced && until > now &+ Self.killMax) { return actions }
                guard anyProcess else {
                    stage = .finished
                    return actions + [.finish]
                }
                actions.append(.signalAll(.kill))
                stage = .killing(until: now &+ Self.killMax)
                return actions
            case .killing(let until):
                if anyProcess, now < until { return actions }
                stage = .finished
                return actions + [.finish]
            case .finished: return actions
            }
        }
    }
}
