public import Linux
import Messages

/// Asks a service on an event loop: answers come later, events unasked. Whoever must not wait uses this instead of
/// `ServiceClient`.
public final class ServiceSession {
    // Everything belongs to the loop's thread.

    private let exchange: MessageExchange

    /// An event came: its kind and its fields.
    public var event: ((_ kind: UInt16, _ payload: [UInt8]) -> Void)?
    /// The service is gone. Called once; never after `close`.
    public var closed: (() -> Void)? {
        get { exchange.closed }
        set { exchange.closed = newValue }
    }

    /// Connects to a service; on the loop's thread, or before it starts.
    public init(_ path: String, on loop: EventLoop) throws(ServiceError) {
        do throws(SystemError) {
            exchange = try MessageExchange(try UnixSocket.connect(path), on: loop)
        } catch { throw .unavailable(service: path, reason: error.reason) }
        exchange.event = { [weak self] frame in self?.event?(frame.kind &- ReplyKind.event, frame.payload) }
    }

    /// Asks. `answered` is called once, whatever happens.
    public func ask<Call: ServiceCall>(
        _ call: Call, _ answered: @escaping (Result<Call.Answer, ServiceError>) -> Void
    ) {
        exchange.ask(call.frame(request:)) { result in
            answered(
                Result { () throws(ServiceError) in
                    switch result {
                    case .success(let frame): return try frame.answer()
                    case .failure(.closed): throw .closed
                    case .failure(.protocolViolation(let error)): throw .protocolViolation(error)
                    }
                })
        }
    }

    /// Hangs up. Questions without an answer fail.
    public func close() { exchange.close() }
}
