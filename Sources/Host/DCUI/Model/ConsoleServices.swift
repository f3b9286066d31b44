public import Addresses

/// Something the console wants from the host's agents.
public enum ServiceRequest: Equatable, Sendable {
    /// Everything the console shows by itself.
    case observe
    case login(user: String, password: String)
    case changePassword(old: String, new: String)
    case edit(SettingsEdit)
    /// Brings the management network up anew and asks for addresses again.
    case restartNetwork
    case ping(IPv4Address)
    case resolve(String)
    case restartAgents
    case listLogs
    /// The newest lines of a log, up to `count`.
    case readLog(name: String, count: Int)
    case machine(file: String, MachineAction)
    case machineDetails(file: String)
    /// nil: the machine is not started with the host.
    case setStartOrder(file: String, UInt32?)
    /// Puts back what a new host has, and restarts.
    case factoryReset
    case power(PowerAction)
}

public enum MachineAction: Equatable, Sendable {
    case start, shutDownGuest, powerOff, reset
}

public enum PowerAction: Equatable, Sendable {
    case shutDown, restart
}

/// What the host's agents say.
public enum ServiceAnswer: Equatable, Sendable {
    case observed(HostObservation)
    case done
    /// A sentence for the person at the console.
    case failed(String)
    /// What a test found: `12 ms`, or addresses.
    case found(String)
    case logs([LogEntry])
    case lines([String])
}

/// A log that can be looked at.
public struct LogEntry: Equatable, Sendable {
    public var name: String
    public var title: String

    public init(name: String, title: String) {
        self.name = name
        self.title = title
    }
}

/// The host as the console sees it. Answers may take long: they are given on a thread of their own, one after another.
public protocol ConsoleServices: Sendable {
    func answer(_ request: ServiceRequest) -> ServiceAnswer
}
