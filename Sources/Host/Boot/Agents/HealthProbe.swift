import HostLink
import Linux
import Messages

/// Asks an agent every few seconds whether it is there, over its own socket; any answer will do, a refusal too. Never waits.
final class HealthProbe {
    /// Between two questions.
    static let interval: UInt64 = 5_000_000_000
    /// While it has not answered yet, looks are closer: others wait for it.
    private static let firstInterval: UInt64 = 50_000_000

    private let path: String
    private var connection: Descriptor?
    private var parser = FrameParser()
    private var request: UInt32 = 0
    private var isAnswered = false
    private(set) var due: UInt64

    init(_ path: String, now: UInt64) {
        self.path = path
        due = now
    }

    /// Asks if it is time to.
    func advance(now: UInt64) {
        guard due <= now else { return }
        due = now &+ (isAnswered ? Self.interval : Self.firstInterval)
        if connection == nil {
            parser = FrameParser()
            // A full queue is an error here, too: the agent does not take its connections.
            connection = try? UnixSocket.connect(path)
            request = 0
        }
        // One question at a time: an agent that hangs is not sent any more.
        guard request == 0, connection != nil else { return }
        request = 1
        let bytes = Frame(kind: ServiceProbe.kind, request: request).bytes
        if connection?.write(some: bytes.span) != .bytes(bytes.count) { connection = nil }
    }

    /// - Parameter answered: called when the agent has answered.
    func watch(_ answered: @escaping () -> Void) -> Watch? {
        guard let raw = connection?.raw else { return nil }
        return Watch(raw, .readable) { [unowned self] _ in if self.read() { answered() } }
    }

    private func read() -> Bool {
        guard let bytes = connection?.readAvailable() else { return false }
        if bytes.isEmpty {
            connection = nil
            return false
        }
        parser.feed(bytes)
        var found = false
        // What is no message is an answer of sorts, but none to go on with.
        do { while let frame = try parser.next() { found = found || frame.request == request } } catch {
            connection = nil
        }
        if found {
            request = 0
            isAnswered = true
            due = monotonicNanoseconds() &+ Self.interval
        }
        return found
    }
}
