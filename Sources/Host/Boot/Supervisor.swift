import HostLink
import Linux
import Log

/// Keeps the host's agents running, and asks them whether they are well.
final class Supervisor {
    /// What is known of the agents, for the direct console; see docs/formats/agents.md.
    static let statusFile = "\(ServiceAddress.directory)/agents"

    private final class Entry {
        let agent: Agent
        var state: AgentState
        var process: Int32?
        var probe: HealthProbe?
        /// Of this process and of those before it: children of theirs may go on writing.
        var outputs: [AgentOutput] = []
        /// Since when it waits for what it needs.
        var waitingSince: UInt64?
        /// Messages about failures are few while it keeps failing.
        var saidAt: UInt64 = 0

        init(_ agent: Agent) {
            self.agent = agent
            state = AgentState(isAsked: agent.socket != nil, restart: agent.restart)
        }
    }

    private let console: Console
    private let log: Log
    private var entries: [Entry] = []
    private var logSocket: Descriptor?
    private var writesStatus = false
    private var status = ""
    private var isStopping = false

    init(console: Console, log: Log) {
        self.console = console
        self.log = log
    }

    /// Adds an agent, started at the next `advance`.
    func add(_ agent: Agent) {
        if !agent.arguments.isEmpty { entries.append(Entry(agent)) }
    }

    /// Makes the socket that the log agent reads from. It stays when the log agent goes, so that nothing is lost until it is
    /// back.
    func openLog() {
        writesStatus = true
        do throws(SystemError) {
            try FileSystem.makeDirectory(ServiceAddress.directory)
            // How many messages may wait in it; the kernel's default of 10 is none for a busy start.
            try? FileSystem.write("512", to: "/proc/sys/net/unix/max_dgram_qlen")
            logSocket = try UnixDatagram.bind(Log.path)
        } catch { console.warn("nothing is logged: \(error)") }
    }

    // MARK: What is known of them

    /// Whether all vital agents are as well as they can say.
    var isWell: Bool { entries.allSatisfy { !$0.agent.isVital || $0.state.isHealthy } }

    /// Whether an agent of this name is alive.
    func isAlive(_ name: String) -> Bool { entries.contains { $0.agent.name == name && $0.process != nil } }

    /// Those alive, in the order they were started, without the commands of the kernel command line.
    var alive: [String] { entries.filter { $0.process != nil && $0.agent.isLogged }.map(\.agent.name) }

    // MARK: The loop

    func watches() -> [Watch] {
        entries.flatMap { entry -> [Watch] in
            let probe = entry.probe?.watch { [unowned self, unowned entry] in
                entry.state.answered(now: monotonicNanoseconds())
                self.writeStatus()
            }
            return [probe].compactMap { $0 } + entry.outputs.compactMap { $0.watch() }
        }
    }

    /// When there is something to do, even if nothing happens.
    var deadline: UInt64? {
        entries.compactMap { entry -> UInt64? in
            let times = [isStopping ? nil : startTime(entry), entry.state.answerDue, entry.probe?.due]
            return times.compactMap { $0 }.min()
        }.min()
    }

    /// When an agent is to be started as things are now.
    private func startTime(_ entry: Entry) -> UInt64? {
        guard let due = entry.state.startDue else { return nil }
        guard let since = entry.waitingSince, !isReady(entry) else { return due }
        return max(due, since &+ AgentState.needsMax)
    }

    private func isReady(_ entry: Entry) -> Bool {
        entry.agent.needs.allSatisfy { name in
            guard let other = entries.first(where: { $0.agent.name == name })?.state else { return true }
            return other.isHealthy || other.phase == .impossible
        }
    }

    /// Starts what is due, and asks and kills.
    func advance() {
        let now = monotonicNanoseconds()
        for entry in entries {
            if !isStopping, entry.state.startDue != nil {
                if entry.waitingSince == nil { entry.waitingSince = now }
                if let due = startTime(entry), due <= now { start(entry, now) }
            }
            if entry.state.hangs(now: now), let process = entry.process {
                console.warn("\(entry.agent.name) does not answer any more; it is ended")
                Child.signal(process, 9)
            }
            entry.probe?.advance(now: now)
        }
        writeStatus()
    }

    private func start(_ entry: Entry, _ now: UInt64) {
        do throws(SystemError) {
            try launch(entry)
            entry.state.started(now: now)
            entry.probe = entry.agent.socket.map { HealthProbe($0, now: now) }
        } catch {
            entry.state.failedToStart(now: now)
            say(entry, "\(error)", now)
        }
    }

    private func launch(_ entry: Entry) throws(SystemError) {
        let agent = entry.agent
        var launch = Launch(
            path: ProcessDefaults.path(of: agent.arguments[0]), arguments: agent.arguments,
            environment: ProcessDefaults.environment)
        guard agent.isLogged else {
            entry.process = try launch.start()
            return
        }
        var pipe = try Pipe()
        guard let readEnd = pipe.takeReadEnd(), let writeEnd = pipe.takeWriteEnd() else { return }
        // Its outputs may be closed by then: a zero stands for what nobody reads.
        let null = try Descriptor(opening: "/dev/null", .readWrite)
        launch.descriptors = [null.raw, writeEnd.raw, writeEnd.raw]
        if agent.takesLogSocket {
            guard let raw = logSocket?.raw else { throw SystemError.invalid("start", agent.name) }
            launch.descriptors.append(raw)
        }
        entry.outputs.removeAll { !$0.isOpen }
        entry.outputs.append(try AgentOutput(agent.name, readEnd, log))
        entry.process = try launch.start()
    }

    func childEnded(_ process: Int32, _ status: ExitStatus) {
        guard let entry = entries.first(where: { $0.process == process }) else { return }
        let now = monotonicNanoseconds()
        entry.process = nil
        entry.probe = nil
        entry.waitingSince = now
        for output in entry.outputs { output.read() }
        switch entry.state.ended(status, now: now) {
        case .isDone: if !isStopping { console.note("\(entry.agent.name) is done") }
        case .isMissing: console.warn("\(entry.agent.name) is not part of this system; it is left out")
        case .startsAgain: say(entry, "\(entry.agent.name) \(status); starting it again", now)
        }
        writeStatus()
    }

    /// A warning, at most one in a while from each: something that fails twenty times a second says so once.
    private func say(_ entry: Entry, _ text: String, _ now: UInt64) {
        guard entry.saidAt == 0 || now &- entry.saidAt > 200_000_000 else { return }
        entry.saidAt = now
        console.warn(text)
    }

    /// Ends all agents but those that show something to a person, so that they start anew. Virtual machines run on.
    func restartAgents() {
        guard !isStopping else { return }
        console.note("the management agents start anew")
        for entry in entries where entry.agent.isLogged && !entry.agent.isScreen {
            if let process = entry.process { Child.signal(process, 15) }
        }
    }

    // MARK: Ending

    /// Starts nothing any more.
    func stop() { isStopping = true }

    /// Tells one agent to end.
    func stop(_ name: String, signal: CInt) {
        for entry in entries where entry.agent.name == name {
            entry.state.stop()
            if let process = entry.process { Child.signal(process, signal) }
        }
    }

    // MARK: Status

    /// `NAME PROCESS STATE RESTARTS` a line.
    private func writeStatus() {
        guard writesStatus else { return }
        let text = entries.map { entry in
            "\(entry.agent.name.replacing(" ", with: "_"))\t\(entry.process ?? 0)\t\(Self.name(entry.state.phase))\t"
                + "\(entry.state.restarts)\n"
        }.joined()
        guard text != status else { return }
        status = text
        do throws(SystemError) {
            try FileSystem.write(text, to: "\(Self.statusFile).new")
            try renameFile("\(Self.statusFile).new", Self.statusFile)
        } catch {}
    }

    private static func name(_ phase: AgentState.Phase) -> String {
        switch phase {
        case .waiting: "waiting"
        case .starting: "starting"
        case .running: "running"
        case .stopping: "stopping"
        case .done: "done"
        case .impossible: "missing"
        }
    }
}
