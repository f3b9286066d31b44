public import Linux

/// Questions and answers over one connection, on its event loop: an answer finds its question by the request number, and what
/// carries none is an event.
public final class MessageExchange {
    // Everything belongs to the loop's thread.

    /// Why a question gets no answer any more.
    public enum End: Error, Equatable, Sendable {
        case closed
        case protocolViolation(MessageError)
    }

    private let connection: MessageConnection
    private var request: UInt32 = 0
    private var waiting: [UInt32: (Result<Frame, End>) -> Void] = [:]
    private var isOpen = true

    /// A message came that answers nothing.
    public var event: ((Frame) -> Void)?
    /// The peer is gone. Called once; never after `close`.
    public var closed: (() -> Void)?

    /// Takes over a connected socket that does not block. On the loop's thread, or before it starts.
    public init(_ descriptor: consuming Descriptor, on loop: EventLoop) throws(SystemError) {
        connection = try MessageConnection(descriptor, on: loop)
        connection.received = { [weak self] _, frame in self?.take(frame) }
        connection.closed = { [weak self] _, reason in self?.end(reason.map { .protocolViolation($0) } ?? .closed) }
    }

    /// Sends a question. `answered` is called once, whatever happens.
    ///
    /// - Parameter frame: makes the message with the number it is given.
    public func ask(_ frame: (_ request: UInt32) -> Frame, _ answered: @escaping (Result<Frame, End>) -> Void) {
        guard isOpen else { return answered(.failure(.closed)) }
        request &+= 1
        // 0 is for events.
        if request == 0 { request = 1 }
        waiting[request] = answered
        connection.send(frame(request))
    }

    /// Hangs up. Questions without an answer fail.
    public func close() {
        closed = nil
        connection.close()
    }

    /// Hangs up on a peer that broke the protocol: `closed` is called.
    public func giveUp(_ error: MessageError) {
        end(.protocolViolation(error))
        connection.close()
    }

    private func take(_ frame: Frame) {
        if frame.request == 0 {
            event?(frame)
        } else {
            waiting.removeValue(forKey: frame.request)?(.success(frame))
        }
    }

    private func end(_ reason: End) {
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
}
