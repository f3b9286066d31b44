import Bytes
import Linux

/// Serves the lab channel (docs/formats/lab-channel.md): runs what system tests ask for on a simulated server.
final class LabServer: LabSink {
    private let port: Descriptor
    private let console: Console
    private let powerRequested: (Kernel.Power) -> Void
    private var reader = LabFrameReader()
    private var outbox: [UInt8] = []
    private var sent = 0
    private var channels: [UInt32: any LabActivity] = [:]
    /// Since when the port has had no peer; nil while it has one.
    private var disconnectedAt: UInt64?
    private var wasReset = false
    /// How long a peer may be gone before what it had running is ended. The kernel tells of peers that go and come on
    /// another path than their data: a new peer's first bytes can come before the old one is seen to go.
    private static let grace: UInt64 = 500_000_000

    /// - Parameters:
    ///   - port: the virtio-serial port, non-blocking.
    ///   - powerRequested: called when the client wants the host shut down.
    init(port: consuming Descriptor, console: Console, powerRequested: @escaping (Kernel.Power) -> Void) {
        self.port = port
        self.console = console
        self.powerRequested = powerRequested
    }

    /// Finds the virtio-serial port of this name and opens it.
    static func openPort(named name: String) -> Descriptor? {
        let root = "/sys/class/virtio-ports"
        for port in (try? listDirectory(root)) ?? []
        where (try? FileSystem.text(of: "\(root)/\(port)/name")) == name {
            return try? Descriptor(opening: "/dev/\(port)", [.readWrite, .nonBlocking])
        }
        return nil
    }

    // MARK: The loop

    func watches() -> [Watch] {
        var watches = channels.values.flatMap { $0.watches(self) }
        if disconnectedAt == nil {
            let events: PollEvents = sent < outbox.count ? [.readable, .writable] : .readable
            watches.append(Watch(port.raw, events) { [unowned self] in self.portReady($0) })
        }
        return watches
    }

    /// A port without a peer is ready for ever, so it is not waited for but looked at ten times a second.
    var deadline: UInt64? {
        let port = disconnectedAt == nil ? nil : monotonicNanoseconds() + 100_000_000
        return (channels.values.map(\.deadline) + [port]).compactMap { $0 }.min()
    }

    /// Lets every channel go on; called once a turn.
    func advance() {
        lookForPeer()
        for (number, activity) in channels where activity.advance(self) { channels[number] = nil }
        flush()
    }

    private func lookForPeer() {
        guard let since = disconnectedAt else { return }
        let state = try? poll([PollInterest(port.raw, .readable)], milliseconds: 0)
        if let events = state?.first, !events.contains(.hangUp) {
            disconnectedAt = nil
        } else if !wasReset, monotonicNanoseconds() - since > Self.grace {
            wasReset = true
            reset()
        }
    }

    func childEnded(_ process: Int32, _ status: ExitStatus) {
        for activity in channels.values { activity.childEnded(process, status) }
    }

    private func portReady(_ events: PollEvents) {
        if events.contains(.writable) { flush() }
        guard !events.isDisjoint(with: [.readable, .hangUp, .error]) else { return }
        guard let bytes = port.readAvailable(limit: 65_536) else { return }
        if bytes.isEmpty {
            disconnectedAt = monotonicNanoseconds()
            wasReset = false
            return
        }
        reader.append(bytes)
        while let item = reader.next() { handle(item) }
    }

    // MARK: Sending

    var hasRoom: Bool { outbox.count - sent < 4 * LabFrame.dataMax }

    func send(_ kind: LabFrame.Kind, _ channel: UInt32, _ body: [UInt8]) {
        outbox += LabFrame.encode(kind, channel: channel, body)
    }

    private func flush() {
        while sent < outbox.count {
            let end = min(outbox.count, sent + 32_768)
            let piece = outbox[sent..<end]
            guard case .bytes(let count) = port.write(some: piece.span) else { break }
            sent += count
        }
        if sent == outbox.count {
            outbox.removeAll(keepingCapacity: true)
            sent = 0
        } else if sent > 1 << 20 {
            outbox.removeFirst(sent)
            sent = 0
        }
    }

    private func reset() {
        for activity in channels.values { activity.abandon() }
        channels.removeAll()
        reader.reset()
        outbox.removeAll()
        sent = 0
    }

    // MARK: Frames

    private func handle(_ item: LabFrameReader.Item) {
        switch item {
        case .hello(let hello):
            for activity in channels.values { activity.abandon() }
            channels.removeAll()
            outbox += hello
        case .malformed:
            malformed("it is no frame")
        case .frame(let kind, let channel, let body):
            do {
                try handle(kind, channel, body)
            } catch {
                malformed("\(kind) on channel \(channel): \(error)")
            }
        }
    }

    private func malformed(_ why: String) {
        console.warn("lab channel: malformed frame, all channels are closed: \(why)")
        for activity in channels.values { activity.abandon() }
        channels.removeAll()
        reader.expectHello()
    }

    private func handle(_ kind: LabFrame.Kind, _ channel: UInt32, _ body: [UInt8]) throws(LabProtocolError) {
        guard let activity = channels[channel] else {
            // Credit, data or a close may cross the channel's end on the way; they mean nothing then.
            switch kind {
            case .credit, .data, .end, .signal, .close: return
            default: return try open(kind, channel, body)
            }
        }
        do {
            var fields = LabFields(body.span)
            switch kind {
            case .data:
                let stream = try fields.byte()
                guard activity.data(stream: stream, body.dropFirst(), self) else { throw LabProtocolError.notAllowed }
            case .end: activity.end(stream: try fields.byte())
            case .credit: activity.grant(stream: try fields.byte(), try fields.word())
            case .signal: activity.signal(CInt(bitPattern: try fields.word()))
            case .close:
                activity.abandon()
                channels[channel] = nil
                send(.done, channel, [])
            default: throw LabProtocolError.notAllowed
            }
        } catch let error as LabProtocolError {
            throw error
        } catch { throw .cutOff }
    }

    private func open(_ kind: LabFrame.Kind, _ channel: UInt32, _ body: [UInt8]) throws(LabProtocolError) {
        let request: LabRequest
        do { request = try LabRequest(kind, body.span) } catch { throw error }
        do {
            if let activity = try start(request, channel) { channels[channel] = activity }
        } catch { fail(channel, error) }
    }

    /// - Returns: what goes on with the channel; nil if it is finished already.
    private func start(_ request: LabRequest, _ channel: UInt32) throws(SystemError) -> (any LabActivity)? {
        switch request {
        case .start(let start):
            let launch = try start.launch()
            if !start.detached { return try LabProcess(channel: channel, launch: launch, self) }
            let process = try start.startDetached(launch)
            send(.opened, channel, littleEndian(UInt32(bitPattern: process)))
        case .put(let path, let permissions):
            return try LabPut(channel: channel, path: path, permissions: permissions, self)
        case .get(let path):
            return LabSource(channel: channel, file: try Descriptor(opening: path, [.readOnly, .nonBlocking]), self)
        case .connect(let path):
            return try LabRelay(channel: channel, path: path, self)
        case .list(let path):
            let text = try LabReports.directory(path)
            return LabSource(channel: channel, file: try .memoryFile(text), self)
        case .processes:
            return LabSource(channel: channel, file: try .memoryFile(LabReports.processes()), self)
        case .wait(let path, let milliseconds):
            return LabWait(channel: channel, path: path, milliseconds: milliseconds)
        case .makeDirectory(let path): try FileSystem.makeDirectory(path)
        case .remove(let path): try FileSystem.remove(path)
        case .power(let power): powerRequested(power)
        }
        send(.done, channel, [])
        return nil
    }
}
