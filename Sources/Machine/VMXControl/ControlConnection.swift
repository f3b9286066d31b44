public import Linux
import Messages

/// A connection to one VM's control socket, on an event loop: questions are answered later, changes of state come unasked.
public final class ControlConnection {
    // Everything belongs to the loop's thread.

    private let connection: MessageConnection
    private var request: UInt32 = 0
    private var waiting: [UInt32: (Result<ControlReply, ControlError>) -> Void] = [:]
    private var isOpen = true

    /// The process that listens, by the kernel's word.
    public let process: Int32
    /// The VM's state is another one; comes after `watch` was asked.
    public var changed: ((_ state: String) -> Void)?
    /// The connection is gone. Called once; never after `close`.
    public var closed: (() -> Void)?

    /// Connects to a control socket; on the loop's thread, or before it starts.
    public init(_ path: String, on loop: EventLoop) throws(SystemError) {
        let socket = try UnixSocket.connect(path)
        process = UnixSocket.peer(of: socket.raw).process
        connection = try MessageConnection(socket, on: loop)
        connection.received = { [weak self] _, frame in self?.take(frame) }
        connection.closed = { [weak self] _, reason in
            self?.end(reason.map { .protocolViolation($0) } ?? .closed)
        }
    }

    /// Asks. `answered` is called once, whatever happens; a refusal is an error.
    public func ask(_ question: ControlRequest, _ answered: @escaping (Result<ControlReply, ControlError>) -> Void) {
        guard isOpen else { return answered(.failure(.closed)) }
        request &+= 1
        if request == 0 { request = 1 }
        waiting[request] = answered
        connection.send(question.frame(request: request))
    }

    /// Hangs up. Questions without an answer fail.
    public func close() {
        closed = nil
        connection.close()
    }

    private func take(_ frame: Frame) {
        let reply: ControlReply
        do throws(MessageError) { reply = try ControlReply(frame) } catch {
            end(.protocolViolation(error))
            connection.close()
            return
        }
        if frame.request == 0 {
            if case .changed(let state) = reply { changed?(state) }
            return
        }
        guard let answered = waiting.removeValue(forKey: frame.request) else { return }
        if case .refused(let refusal) = reply {
            answered(.failure(.refused(refusal)))
        } else {
            answered(.success(reply))
        }
    }

    private func end(_ reason: ControlError) {
        guard isOpen else { return }
        isOpen = false
        let unanswered = waiting
        waiting = [:]
        for answered in unanswered.values { answered(.failure(reason)) }
        let closed = closed
        self.closed = nil
        changed = nil
        closed?()
    }
}
