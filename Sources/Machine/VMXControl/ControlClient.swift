public import Linux
public import Messages

/// A VM cannot be reached or does not answer.
public enum ControlError: Error, Sendable, CustomStringConvertible {
    case connection(SystemError)
    case closed
    case protocolViolation(MessageError)
    case refused(ControlReply.Refusal)
    case unexpected(ControlReply)

    public var description: String {
        switch self {
        case .connection(let error): "the VM does not run, or not here: \(error)"
        case .closed: "the VM's process ended before it answered"
        case .protocolViolation(let error): "the VM's process speaks another protocol: \(error)"
        case .refused(let refusal): refusal.text
        case .unexpected: "the VM's process gave an answer to another question"
        }
    }
}

/// Asks one VM one thing after another, and waits for each answer.
public final class ControlClient {
    private let descriptor: Descriptor
    private var parser = FrameParser()
    private var request: UInt32 = 0

    /// Connects to a control socket.
    public init(_ path: String) throws(ControlError) {
        do { descriptor = try UnixSocket.connect(path) } catch { throw .connection(error) }
    }

    /// Sends a request and waits for the answer; refusals are thrown.
    public func ask(_ question: ControlRequest) throws(ControlError) -> ControlReply {
        request += 1
        let bytes = question.frame(request: request).bytes
        guard descriptor.writeAll(bytes) else { throw .closed }
        while true {
            let (frame, reply) = try next()
            guard frame == request else { continue }  // events in between
            if case .refused(let refusal) = reply { throw .refused(refusal) }
            return reply
        }
    }

    /// Waits for the next message, whichever it is.
    ///
    /// - Returns: the request it answers, 0 for events, and the message.
    public func next() throws(ControlError) -> (request: UInt32, reply: ControlReply) {
        while true {
            do throws(MessageError) {
                if let frame = try parser.next() { return (frame.request, try ControlReply(frame)) }
            } catch { throw .protocolViolation(error) }
            descriptor.waitUntilReadable()
            guard let bytes = descriptor.readAvailable() else { continue }
            if bytes.isEmpty { throw .closed }
            parser.feed(bytes)
        }
    }
}
