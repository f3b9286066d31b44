import HostLink
import HostModel
import HostService
import Linux
import TestFiles

@testable import HostDaemon

/// A host agent on a loop of its own, with disks in a temporary directory, and stand-ins for its machines' processes.
final class DaemonRig: @unchecked Sendable {
    // @unchecked: the agent is touched on its loop only.

    let directory: String
    /// What the first agent begins with.
    var settings: HostSettings
    private var loop: EventLoop?
    private var agent: HostDaemon?
    /// Added to on the loop.
    private var lines: [String] = []
    private var seen: [String] = []

    /// What the agent has logged: `COMPONENT: TEXT`.
    var logged: [String] {
        loop?.performAndWait { [self] in seen = lines }
        return seen
    }

    static func with(_ settings: HostSettings = HostSettings(), _ body: (DaemonRig) throws -> Void) throws {
        try withTemporaryDirectory { directory in
            let rig = DaemonRig(directory, settings)
            defer { rig.end() }
            try body(rig)
        }
    }

    private init(_ directory: String, _ settings: HostSettings) {
        self.directory = directory
        self.settings = settings
    }

    /// Where a machine's file is.
    func file(_ name: String) -> String { "\(directory)/disks/d/\(name)/\(name).vmx" }

    /// Makes a machine that behaves as the words say; see StandInMachine.
    func make(_ name: String, _ words: String = "") throws {
        try FileSystem.makeDirectory("\(directory)/disks/d/\(name)")
        try FileSystem.write(
            "displayName = \"\(name)\"\nmemsize = \"64\"\nannotation = \"\(words)\"\n", to: file(name))
    }

    private var environment: HostEnvironment {
        var environment = HostEnvironment()
        environment.socket = "\(directory)/host.sock"
        environment.stateDirectory = "\(directory)/state"
        environment.diskRoots = ["\(directory)/disks"]
        environment.controlGroup = nil
        let own = (try? FileSystem.linkTarget("/proc/self/exe")) ?? ""
        environment.monitor = ["\(Files.directory(of: own))/StandInMachine"]
        environment.probeEvery = 20_000_000
        environment.endLimit = 500_000_000
        environment.isNetworkReady = { true }
        return environment
    }

    /// Starts the agent; settings are those of its predecessor, if there was one.
    func begin() throws -> ServiceClient {
        let loop = try EventLoop(name: "hostd")
        let path = "\(directory)/settings"
        if !fileExists(path) { try FileSystem.write(SettingsText.encode(settings), to: path) }
        let source = try FileSettings(path)
        let agent = try HostDaemon(environment, settings: source, alarms: try Alarms(on: loop), on: loop)
        self.loop = loop
        self.agent = agent
        agent.keeper.journal.log = { [unowned self] event, component in lines.append("\(component): \(event.text)") }
        try loop.start()
        loop.perform { [self] in self.agent?.begin { _ in } }
        // The socket comes when it is known what runs.
        let socket = environment.socket
        try waitUntil { UnixSocket.isAnswered(socket) }
        return try connect()
    }

    /// Another client.
    func connect() throws -> ServiceClient { try ServiceClient(environment.socket) }

    /// Ends the agent as a crash would: nothing is told to machines.
    func crash() {
        loop?.performAndWait { [self] in
            agent?.close()
            agent = nil
        }
        loop?.stop()
        loop = nil
    }

    private func end() {
        if let client = try? ServiceClient(environment.socket), let all = try? client.ask(ListMachines()) {
            for machine in all where machine.power.isOn {
                if let process = machine.process { Child.signal(process, 9) }
            }
        }
        crash()
    }
}

/// Waits for something that another process brings about.
func waitUntil(_ limit: UInt64 = 10_000_000_000, _ condition: () throws -> Bool) throws {
    let deadline = monotonicNanoseconds() + limit
    while try !condition() {
        guard monotonicNanoseconds() < deadline else { throw DidNotHappen() }
        _ = try poll([], milliseconds: 5)
    }
}

/// What was waited for did not come about.
struct DidNotHappen: Error {}
