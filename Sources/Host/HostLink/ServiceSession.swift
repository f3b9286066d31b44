public import Linux
import Messages

/// Asks a service on an event loop: answers come later, events unasked. Whoever must not wait uses this instead of
/// `ServiceClient`.
public final class ServiceSession {
    // Everything belongs to the loop's thread.

    private let connection: MessageConnection
    private var request: UInt32 = 0
    private var waiting: [UInt32: (Result<Frame, ServiceError>) -> Void] = [:]
    private var isOpen = true

    /// An event came: its kind and its fields.
    public var event: ((_ kind: UInt16, _ payload: [UInt8]) -> Void)?
    /// The service is gone. Called once; never after `close`.
    public var closed: (() -> Void)?

    /// Connects to a service; on the loop's thread, or before it starts.
    public init(_ path: String, on loop: EventLoop) throws(ServiceError) {
        do throws(SystemError) {
            connection = try MessageConnection(try UnixSocket.connect(path), on: loop)
        } catch { throw .unavailable(service: path, reason: error.reason) }
        connection.received = { [weak self] _, frame in self?.take(frame) }
        connection.closed = { [weak self] _, reason in self?.end(reason.map { .protocolViolation($0) } ?? .closed) }
    }

    /// Asks. `answered` is called once, whatever happens.
    public func ask<Call: ServiceCall>(
        _ call: Call, _ answered: @escaping (Result<Call.Answer, ServiceError>) -> Void
    ) {
        guard isOpen else { return answered(.failure(.closed)) }
        request &+= 1
        if request == 0 { request = 1 }
        waiting[request] = { result in
            answered(
                Result { () throws(ServiceError) in
                    let frame = try result.get()
                    if frame.kind == ReplyKind.refusal {
                        throw .refused(try Self.decode(frame.payload))
                    }
                    return try Self.decode(frame.payload)
                })
        }
        var writer = FieldWriter()
        call.write(to: &writer)
        connection.send(Frame(kind: Call.kind, request: request, payload: writer.bytes))
    }

    /// Hangs up. Questions without an answer fail.
    public func close() {
        closed = nil
        connection.close()
    }

    private func take(_ frame: Frame) {
        if frame.request == 0 {
            event?(frame.kind &- ReplyKind.event, frame.payload)
        } else {
            waiting.removeValue(forKey: frame.request)?(.success(frame))
        }
    }

    private func end(_ reason: ServiceError) {
        guard isOpen else { return }
        isOpen = false
        let unanswered = waiting
        waiting = [:]
        for answered in unanswered.values { answered(.failure(reason)) }
        let closed = closed
        self.closed = nil
        event = nil
        closed?()
    }

    private static func decode<Fields: MessageField>(_ payload: [UInt8]) throws(ServiceError) -> Fields {
        do throws(MessageError) {
            var reader = FieldReader(payload)
            let fields = try Fields(from: &reader)
            try reader.finish()
            return fields
        } catch { throw .protocolViolation(error) }
    }
}
