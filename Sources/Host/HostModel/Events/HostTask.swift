/// Work that takes a while: starting a machine, stopping one.
public struct HostTask: Equatable, Sendable {
    public enum State: UInt16, Sendable, CaseIterable {
        case running, succeeded, failed
    }

    /// Counts from 1.
    public var number: UInt64
    /// What is done: `Start web01`.
    public var name: String
    /// The `.vmx` file of the machine it is done to; empty for the host.
    public var subject: String
    /// Who asked for it.
    public var user: String
    public var state: State
    /// Seconds since 1970.
    public var started: Int64
    /// Seconds since 1970; nil while it runs.
    public var ended: Int64?
    /// Why it failed, in a sentence; empty otherwise.
    public var reason: String

    public init(
        number: UInt64, name: String, subject: String, user: String, state: State, started: Int64, ended: Int64?,
        reason: String
    ) {
        self.number = number
        self.name = name
        self.subject = subject
        self.user = user
        self.state = state
        self.started = started
        self.ended = ended
        self.reason = reason
    }
}

/// Tasks that run, and the last ones that ended.
public struct TaskList: Sendable {
    /// How many ended tasks are kept.
    public let keptMax: Int
    private var tasks: [HostTask] = []
    private var last: UInt64 = 0

    public init(keptMax: Int = 100) { self.keptMax = max(0, keptMax) }

    /// Oldest first.
    public var all: [HostTask] { tasks }

    /// A task begins.
    ///
    /// - Returns: its number.
    public mutating func begin(_ name: String, subject: String, user: String, now: Int64) -> UInt64 {
        last &+= 1
        tasks.append(
            HostTask(
                number: last, name: name, subject: subject, user: user, state: .running, started: now, ended: nil,
                reason: ""))
        return last
    }

    /// A task ends; one that ended before is left as it is.
    ///
    /// - Parameter reason: why it failed; nil: it succeeded.
    public mutating func end(_ number: UInt64, failed reason: String? = nil, now: Int64) {
        guard let index = tasks.firstIndex(where: { $0.number == number && $0.state == .running }) else { return }
        tasks[index].state = reason == nil ? .succeeded : .failed
        tasks[index].ended = now
        tasks[index].reason = reason ?? ""
        let surplus = tasks.count { $0.state != .running } - keptMax
        guard surplus > 0 else { return }
        var left = surplus
        tasks.removeAll {
            guard left > 0, $0.state != .running else { return false }
            left -= 1
            return true
        }
    }
}
