import HostLink
import HostModel
import HostService
import Linux
import LogService
import NetworkService
import Synchronization

/// The host this console stands on, by its agents. Each question goes over a connection of its own: an agent that has restarted, or
/// that hangs, is no trouble for the next question.
public final class HostServices: ConsoleServices {
    private let facts = HardwareFacts.kernel
    /// The server does not change, and its processors' list is long: read once.
    private let hardware = Mutex<HardwareObservation?>(nil)
    /// Seconds after the kernel's start until drivers and disks are there: nothing is missing before.
    private static let settlingSeconds: UInt64 = 20

    public init() {}

    public func answer(_ request: ServiceRequest) -> ServiceAnswer {
        do throws(ServiceFailure) { return try reply(to: request) } catch { return .failed(error.text) }
    }

    private func reply(to request: ServiceRequest) throws(ServiceFailure) -> ServiceAnswer {
        switch request {
        case .observe: return .observed(observe())
        case .login(let user, let password):
            // Checking a password is made to take long.
            _ = try Agent.host.ask(Login(user: user, password: password), milliseconds: 30_000)
            return .done
        case .changePassword(let old, let new):
            _ = try Agent.host.ask(SetPassword(user: "root", old: old, new: new), milliseconds: 30_000)
            return .done
        case .edit(let edit):
            try SettingsKeeper.change(edit)
            return .done
        case .restartNetwork:
            _ = try Agent.network.ask(RestartManagement())
            return .done
        case .ping(let address): return try ping("\(address)")
        case .resolve(let name):
            let addresses = try Agent.network.ask(Resolve(name), milliseconds: 30_000)
            return addresses.isEmpty ? .failed("The name is not known.") : .found(addresses.joined(separator: ", "))
        case .restartAgents:
            AgentProcesses.restart()
            return .done
        case .listLogs:
            return .logs(try Agent.log.ask(ListLogs()).map { LogEntry(name: $0.name, title: $0.title) })
        case .readLog(let name, let count): return .lines(try LogReader.lines(of: name, count: count))
        case .machine(let file, let action):
            try act(action, on: file)
            return .done
        case .machineDetails(let file):
            return .lines(MachineLines.lines(try Agent.host.ask(MachineDetails(file: file))))
        case .setStartOrder(let file, let order):
            _ = try Agent.host.ask(SetAutostart(file: file, order: order))
            return .done
        case .factoryReset:
            try SettingsKeeper.factoryReset()
            return .done
        case .power(let action):
            SettingsKeeper.power(action)
            return .done
        }
    }

    private func observe() -> HostObservation {
        var observation = HostObservation()
        observation.version = Version.text
        observation.uptime = facts.uptime
        let isSettling = (observation.uptime ?? .max) < Self.settlingSeconds
        observation.hardware = seenHardware(isSettling: isSettling)
        SettingsKeeper.look(into: &observation)
        observation.notices += Self.notices(facts.text(HostWarning.file))
        observation.network = (try? Agent.network.ask(GetNetworkStatus(), milliseconds: 2000))
            .map(NetworkObservation.init)
        observation.machines = (try? Agent.host.ask(ListMachines(), milliseconds: 2000))?.map(MachineObservation.init)
        let disks = DataFileSystems.count(facts.text("/proc/self/mounts"))
        observation.dataDisks = disks == 0 && isSettling ? nil : disks
        return observation
    }

    /// What the first process has found; processor, disks and network the console looks at itself.
    static func notices(_ text: String) -> [String] {
        HostWarning.warnings(in: text).filter { $0.topic == .drivers || $0.topic == .crash }.map(\.text)
    }

    private func seenHardware(isSettling: Bool) -> HardwareObservation {
        hardware.withLock { hardware in
            if let hardware, hardware.virtualization == .available { return hardware }
            var seen = facts.observation
            if seen.virtualization == .available {
                hardware = seen
            } else if isSettling {
                seen.virtualization = .available
            }
            return seen
        }
    }

    private func ping(_ target: String) throws(ServiceFailure) -> ServiceAnswer {
        let result = try Agent.network.ask(Ping(target, count: 3, milliseconds: 1000), milliseconds: 15_000)
        if !result.problem.isEmpty { return .failed(ServiceFailure.sentence(result.problem)) }
        if result.received == 0 { return .failed("No answer.") }
        let tenths = (result.averageMicroseconds &+ 50) / 100
        let lost = result.sent > result.received ? ", \(result.sent - result.received) of \(result.sent) lost" : ""
        return .found("\(tenths / 10).\(tenths % 10) ms\(lost)")
    }

    private func act(_ action: MachineAction, on file: String) throws(ServiceFailure) {
        switch action {
        // Answered when the guest runs, or not.
        case .start: _ = try Agent.host.ask(StartMachine(file: file), milliseconds: 60_000)
        case .shutDownGuest: _ = try Agent.host.ask(StopMachine(file: file, how: .guestShutdown), milliseconds: 30_000)
        case .powerOff: _ = try Agent.host.ask(StopMachine(file: file, how: .powerOff), milliseconds: 60_000)
        case .reset: _ = try Agent.host.ask(StopMachine(file: file, how: .reset), milliseconds: 30_000)
        }
    }
}

/// Why a question has no answer, as a sentence.
struct ServiceFailure: Error, Equatable {
    var text: String

    init(_ text: String) { self.text = text }

    init(_ error: ServiceError, _ agent: String) {
        switch error {
        case .unavailable, .closed: text = "The \(agent) does not answer yet. Try again in a moment."
        case .timedOut: text = "The \(agent) has not answered in time. It may still do what was asked."
        case .protocolViolation: text = "The \(agent) is of another version than this console."
        case .refused(let refusal): text = Self.sentence(refusal.text)
        }
    }

    /// Refusals begin with a small letter and end without a full stop, as parts of messages do.
    static func sentence(_ text: String) -> String {
        text.split(separator: "\n").map { line in
            let line = line.prefix(1).uppercased() + line.dropFirst()
            return line.last.map { ".!?:".contains($0) } ?? true ? line : line + "."
        }.joined(separator: "\n")
    }
}

/// An agent that can be asked.
struct Agent: Sendable {
    var address: String
    /// What people know it by.
    var name: String

    static let host = Agent(address: ServiceAddress.host, name: "host agent")
    static let network = Agent(address: ServiceAddress.network, name: "network agent")
    static let log = Agent(address: ServiceAddress.log, name: "log agent")
    static let configuration = Agent(address: ServiceAddress.configuration, name: "configuration agent")

    func connect() throws(ServiceError) -> ServiceClient { try ServiceClient(address) }

    func ask<Call: ServiceCall>(_ call: Call, milliseconds: Int = 10_000) throws(ServiceFailure) -> Call.Answer {
        do throws(ServiceError) {
            return try connect().ask(call, milliseconds: milliseconds)
        } catch { throw ServiceFailure(error, name) }
    }
}
