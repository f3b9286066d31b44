import Linux

/// Where a channel's frames go.
protocol LabSink: AnyObject {
    /// Queues a frame.
    func send(_ kind: LabFrame.Kind, _ channel: UInt32, _ body: [UInt8])
    /// Whether the queue is short enough to take data; answers are queued in any case.
    var hasRoom: Bool { get }
}

extension LabSink {
    func sendWord(_ kind: LabFrame.Kind, _ channel: UInt32, stream: UInt8, _ word: UInt32) {
        send(kind, channel, [stream] + littleEndian(word))
    }
}

func littleEndian(_ word: UInt32) -> [UInt8] { (0..<4).map { UInt8(truncatingIfNeeded: word >> (8 * UInt32($0))) } }

/// Carries bytes from a descriptor to one stream of a channel, as fast as the client gives credit.
final class LabOutlet {
    private var descriptor: Descriptor?
    private let channel: UInt32
    private let stream: UInt8
    private var credit = LabFrame.window
    /// The writer is known to be gone: an empty pipe that others still hold open counts as ended.
    var isDraining = false

    init(_ descriptor: consuming Descriptor, channel: UInt32, stream: UInt8) {
        self.descriptor = consume descriptor
        self.channel = channel
        self.stream = stream
    }

    /// Everything was sent, the end included.
    var isEnded: Bool { descriptor == nil }

    func grant(_ bytes: UInt32) { credit = min(credit + Int(bytes), LabFrame.window) }

    func watch(_ sink: any LabSink) -> Watch? {
        guard let raw = descriptor?.raw, credit > 0, sink.hasRoom else { return nil }
        return Watch(raw, .readable) { [unowned self] _ in self.pump(sink) }
    }

    /// Moves one piece, if there is one.
    func pump(_ sink: any LabSink) {
        guard descriptor != nil, credit > 0, sink.hasRoom else { return }
        // An error on reading (a pseudo-terminal whose other side closed, a /proc file whose process left) is an end.
        guard let bytes = descriptor?.readAvailable(limit: min(credit, LabFrame.dataMax)) else {
            if isDraining { finish(sink) }
            return
        }
        if bytes.isEmpty { return finish(sink) }
        credit -= bytes.count
        sink.send(.data, channel, [stream] + bytes)
    }

    private func finish(_ sink: any LabSink) {
        descriptor = nil
        sink.send(.end, channel, [stream])
    }
}

/// Carries bytes from a client to a descriptor, and gives credit back as it takes them.
final class LabInlet {
    private var descriptor: Descriptor?
    private let channel: UInt32
    private var queue: [UInt8] = []
    private var written = 0
    private var endComes = false
    private let isSocket: Bool

    /// - Parameter isSocket: the end of the data shuts down one direction of a socket that goes on being read.
    init(_ descriptor: consuming Descriptor, channel: UInt32, isSocket: Bool = false) {
        self.descriptor = consume descriptor
        self.channel = channel
        self.isSocket = isSocket
    }

    /// - Returns: false if the client sent more than its credit.
    func take(_ bytes: ArraySlice<UInt8>, _ sink: any LabSink) -> Bool {
        guard queue.count - written + bytes.count <= LabFrame.window, !endComes else { return false }
        if descriptor == nil {
            // The reader left; the client learns that from the process's end. Its bytes are consumed.
            sink.sendWord(.credit, channel, stream: 0, UInt32(bytes.count))
            return true
        }
        queue.removeFirst(written)
        written = 0
        queue += bytes
        pump(sink)
        return true
    }

    /// No more comes; what is queued is still delivered.
    func end() {
        endComes = true
        closeIfDone()
    }

    func watch(_ sink: any LabSink) -> Watch? {
        guard let raw = descriptor?.raw, written < queue.count else { return nil }
        return Watch(raw, .writable) { [unowned self] _ in self.pump(sink) }
    }

    private func pump(_ sink: any LabSink) {
        guard descriptor != nil, written < queue.count else { return }
        let piece = queue[written...]
        let result = descriptor?.write(some: piece.span) ?? .closed
        switch result {
        case .bytes(let count):
            written += count
            if count > 0 { sink.sendWord(.credit, channel, stream: 0, UInt32(count)) }
        case .wouldBlock: break
        case .closed:
            sink.sendWord(.credit, channel, stream: 0, UInt32(queue.count - written))
            written = queue.count
            descriptor = nil
        }
        closeIfDone()
    }

    private func closeIfDone() {
        guard endComes, written == queue.count else { return }
        if isSocket { descriptor?.shutDownWriting() }
        descriptor = nil
    }
}
