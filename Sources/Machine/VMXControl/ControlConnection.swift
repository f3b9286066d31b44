public import Linux
import Messages

/// A connection to one VM's control socket, on an event loop: questions are answered later, changes of state come unasked.
public final class ControlConnection {
    // Everything belongs to the loop's thread.

    private let exchange: MessageExchange

    /// The process that listens, by the kernel's word.
    public let process: Int32
    /// The VM's state is another one; comes after `watch` was asked.
    public var changed: ((_ state: String) -> Void)?
    /// The connection is gone. Called once; never after `close`.
    public var closed: (() -> Void)? {
        get { exchange.closed }
        set { exchange.closed = newValue }
    }

    /// Connects to a control socket; on the loop's thread, or before it starts.
    public init(_ path: String, on loop: EventLoop) throws(SystemError) {
        let socket = try UnixSocket.connect(path)
        process = UnixSocket.peer(of: socket.raw).process
        exchange = try MessageExchange(socket, on: loop)
        exchange.event = { [weak self] frame in self?.take(frame) }
    }

    /// Asks. `answered` is called once, whatever happens; a refusal is an error.
    public func ask(_ question: ControlRequest, _ answered: @escaping (Result<ControlReply, ControlError>) -> Void) {
        exchange.ask(question.frame(request:)) { [weak exchange] result in
            switch result {
            case .failure(.closed): answered(.failure(.closed))
            case .failure(.protocolViolation(let error)): answered(.failure(.protocolViolation(error)))
            case .success(let frame):
                do throws(MessageError) {
                    switch try ControlReply(frame) {
                    case .refused(let refusal): answered(.failure(.refused(refusal)))
                    case let reply: answered(.success(reply))
                    }
                } catch {
                    answered(.failure(.protocolViolation(error)))
                    exchange?.giveUp(error)
                }
            }
        }
    }

    /// Hangs up. Questions without an answer fail.
    public func close() { exchange.close() }

    private func take(_ frame: Frame) {
        do throws(MessageError) {
            if case .changed(let state) = try ControlReply(frame) { changed?(state) }
        } catch { exchange.giveUp(error) }
    }
}
