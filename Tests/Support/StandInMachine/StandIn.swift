import Linux
import Messages
import VMXControl

/// A control socket and a state.
final class StandIn: EventHandler, @unchecked Sendable {
    // @unchecked: belongs to the loop's thread.

    private let file: String
    private let path: String
    private let words: Set<String>
    private let loop: EventLoop
    private var listener: Descriptor?
    private var connections: [MessageConnection] = []
    private var watchers: [MessageConnection] = []
    private var state = "poweredOff"
    private var resets: UInt32 = 0
    private let started = monotonicNanoseconds()
    private var delay: Timer?

    init(_ file: String, _ words: Set<String>) throws {
        self.file = file
        self.words = words
        path = ControlAddress.socket(forFile: file)
        loop = try EventLoop(name: "stand-in")
        super.init()
        delay = try Timer(on: loop) { [unowned self] in listen() }
        delay?.set(after: words.contains("tardy") ? 300_000_000 : 1)
    }

    func run() { loop.run() }

    private func listen() {
        guard let socket = try? UnixSocket.listen(path) else { exitProcess(71) }
        let raw = socket.raw
        listener = consume socket
        try? loop.watch(raw, for: .readable, self)
        loop.perform { [self] in change(words.contains("asks") ? "question" : "running") }
    }

    override func ready(_ events: Readiness) {
        while let raw = listener?.raw, let socket = UnixSocket.accept(raw) {
            guard let connection = try? MessageConnection(socket, on: loop) else { return }
            connection.received = { [unowned self] connection, frame in serve(frame, connection) }
            connection.closed = { [unowned self] connection, _ in
                connections.removeAll { $0 === connection }
                watchers.removeAll { $0 === connection }
            }
            connections.append(connection)
        }
    }

    private func change(_ state: String) {
        self.state = state
        for watcher in watchers { watcher.send(ControlReply.changed(state: state).frame(request: 0)) }
    }

    private func serve(_ frame: Frame, _ connection: MessageConnection) {
        guard let request = try? ControlRequest(frame) else { exitProcess(71) }
        if request == .watch { watchers.append(connection) }
        connection.send(reply(to: request).frame(request: frame.request))
    }

    private func reply(to request: ControlRequest) -> ControlReply {
        switch request {
        case .status: return .status(status)
        case .powerOff: loop.perform { [self] in end() }
        case .shutdownGuest:
            if words.contains("deaf") {
                return .refused(.init(.notSupported, "the guest does not listen to its power button"))
            }
            if !words.contains("stubborn") { loop.perform { [self] in end() } }
        case .reset: resets += 1
        case .answer(let question, let choice):
            guard state == "question", question == 1, choice < 2 else {
                return .refused(.init(.notFound, "the VM does not ask question \(question)"))
            }
            change("running")
        default: break
        }
        return .done
    }

    private func end() {
        change("poweredOff")
        removeFile(path)
        exitProcess(0)
    }

    private var status: MachineStatus {
        let question = MachineStatus.Question(identifier: 1, text: "Go on?", choices: ["Yes", "No"])
        return MachineStatus(
            displayName: "", uuid: "", configurationFile: file, process: UInt32(processIdentifier()), state: state,
            uptime: (monotonicNanoseconds() - started) / 1_000_000, memoryMegabytes: 64, processors: 1, resets: resets,
            devices: [.init(name: "serial0", summary: "serial port", address: "")],
            question: state == "question" ? question : nil)
    }
}
