import AgentLink
import HostLink
import HostModel
import Linux
import Log
import LogService
import TLS

/// Takes messages from the host's processes and its kernel, keeps them, shows them and passes them on.
final class LogAgent: EventHandler, @unchecked Sendable {
    // @unchecked: belongs to the loop's thread.

    /// Reads the kernel's messages.
    private final class KernelReader: EventHandler, @unchecked Sendable {
        unowned let agent: LogAgent
        let device: Descriptor
        init(_ agent: LogAgent, _ device: consuming Descriptor) {
            self.agent = agent
            self.device = device
        }
        override func ready(_ events: Readiness) { agent.readKernel(device) }
    }

    /// Messages read at a time before others get their turn.
    private static let batch = 256

    private let loop: EventLoop
    private let store: LogStore
    private let names: NameCache
    private let socket: Descriptor
    private var server: ServiceServer?
    private var senders: [SyslogSender] = []
    private var files: LogFiles?
    private var settings = LoggingSettings()
    private var directory: String { settings.directory }
    private var filesFailed = false
    private var hostName: String

    /// - Parameters:
    ///   - socket: where messages come in.
    ///   - directory: where logs are kept in memory.
    ///   - readsKernel: whether to take the kernel's messages.
    init(
        socket: consuming Descriptor, store directory: String, address: String, readsKernel: Bool, on loop: EventLoop
    ) throws(SystemError) {
        self.loop = loop
        self.socket = socket
        store = try LogStore(directory)
        names = NameCache(on: loop)
        hostName = Kernel.hostName
        super.init()
        let server = try ServiceServer(path: address, on: loop)
        server.on(ListLogs.self) { [store] _, _ throws(ServiceError.Refusal) in store.list() }
        server.on(ReadLog.self) { [store] call, _ throws(ServiceError.Refusal) in
            guard let answer = store.read(call) else {
                throw ServiceError.Refusal(.notFound, "there is no log named \(call.name)")
            }
            return answer
        }
        self.server = server
        try loop.watch(self.socket.raw, for: .readable, self)
        if readsKernel, let device = try? Descriptor(opening: "/dev/kmsg", [.readOnly, .nonBlocking]) {
            let reader = KernelReader(self, device)
            try loop.watch(reader.device.raw, for: .readable, reader)
        }
    }

    // MARK: Settings

    /// Sends to these servers and keeps files in this directory from now on.
    func configure(_ settings: LoggingSettings) {
        hostName = Kernel.hostName
        // They come with every change of whatever setting.
        if settings == self.settings { return }
        let directoryChanged = settings.directory != self.settings.directory
        self.settings = settings
        var wanted: [(target: SyslogTarget, trust: TLSTrust?)] = []
        for text in settings.targets {
            guard let target = SyslogTarget(text) else {
                say(
                    .warning,
                    "\(text) is no log server: it must be udp://HOST[:PORT], tcp://HOST[:PORT] or tls://HOST[:PORT]")
                continue
            }
            do throws(LoggingSettings.Refusal) {
                let trust = try settings.trust(for: target)
                if trust == .unverified { say(.warning, "log server \(target) is not asked who it is") }
                if !wanted.contains(where: { $0.target == target }) { wanted.append((target, trust)) }
            } catch { say(.warning, "log server \(target) gets nothing: \(error)") }
        }
        senders.removeAll { sender in
            if wanted.contains(where: { $0.target == sender.target }) { return false }
            sender.close()
            return true
        }
        for (target, trust) in wanted {
            if let sender = senders.first(where: { $0.target == target }) {
                sender.change(trust: trust)
                continue
            }
            do throws(SystemError) {
                senders.append(
                    try SyslogSender(target, trust: trust, on: loop, resolve: names.peer) { [weak self] isBack, text in
                        self?.say(isBack ? .notice : .warning, text)
                    })
            } catch { say(.error, "log server \(target) gets nothing: \(error)") }
        }
        if directoryChanged {
            files = nil
            filesFailed = false
            openFiles()
        }
    }

    /// Takes leave of the servers, before the process ends.
    func close() {
        for sender in senders { sender.close() }
        senders = []
    }

    private func openFiles() {
        guard !directory.isEmpty else { return }
        do throws(SystemError) { files = try LogFiles(directory) } catch { filesFailed(error) }
    }

    private func filesFailed(_ error: SystemError) {
        files = nil
        if filesFailed { return }
        filesFailed = true
        say(.warning, "no log files are written to \(directory): \(error.reason)")
    }

    /// Looks whether the host has another name now, and tries again to write log files; called now and then.
    func refresh() {
        hostName = Kernel.hostName
        guard files == nil, !directory.isEmpty else { return }
        do throws(SystemError) {
            files = try LogFiles(directory)
            filesFailed = false
            say(.notice, "log files are written to \(directory) again")
        } catch {}
    }

    // MARK: Messages

    override func ready(_ events: Readiness) {
        for _ in 0..<Self.batch {
            guard let bytes = socket.readAvailable(limit: LogDatagram.bytesMax) else { return }
            for record in LogDatagram.parse(bytes, time: Self.now()) { keep(record) }
        }
    }

    private func readKernel(_ device: borrowing Descriptor) {
        let next = store.kernelSequence
        // The kernel's clock runs since it started, as does ours.
        let start = Self.now() &- monotonicNanoseconds()
        for _ in 0..<Self.batch {
            guard let bytes = device.readAvailable(limit: KernelMessage.bytesMax) else { return }
            // Empty: some were overwritten before they were read; the next call goes on behind them.
            guard let message = KernelMessage(bytes), message.sequence >= next else { continue }
            let time = start &+ message.microseconds &* 1000
            let component = message.isForeign ? "kmsg" : "kernel"
            keep(
                LogRecord(time: time, severity: message.severity, component: component, process: 0, text: message.text),
                kernelSequence: message.sequence &+ 1)
        }
    }

    private func say(_ severity: LogSeverity, _ text: String) {
        let process = UInt32(bitPattern: processIdentifier())
        keep(LogRecord(time: Self.now(), severity: severity, component: "logd", process: process, text: text))
    }

    private func keep(_ record: LogRecord, kernelSequence: UInt64? = nil) {
        // Memory may be short; then this line is lost, and nobody could be told.
        try? store.append(record, kernelSequence: kernelSequence)
        if !senders.isEmpty {
            let message = SyslogMessage.encode(record, hostName: hostName)
            for sender in senders { sender.send(message) }
        }
        if let files {
            do throws(SystemError) { try files.append(record) } catch { filesFailed(error) }
        }
    }

    private static func now() -> UInt64 {
        let now = wallClock()
        return UInt64(max(0, now.seconds)) &* 1_000_000_000 &+ UInt64(max(0, now.nanoseconds))
    }
}
