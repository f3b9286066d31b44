import Linux
import Messages
import VMXControl

/// Serves a VM's control socket, on the machine's loop.
final class ControlServer: EventHandler, @unchecked Sendable {
    // @unchecked: belongs to the loop's thread.

    let path: String
    private let listener: Descriptor
    private let loop: EventLoop
    private let handler: (ControlRequest) -> ControlReply
    private var connections: [MessageConnection] = []
    private var watchers: [MessageConnection] = []

    /// - Parameter handler: carries a request out.
    init(
        path: String, loop: EventLoop, _ handler: @escaping (ControlRequest) -> ControlReply
    ) throws(SystemError) {
        self.path = path
        self.loop = loop
        self.handler = handler
        listener = try UnixSocket.listen(path)
        super.init()
        try loop.watch(listener.raw, for: .readable, self)
    }

    override func ready(_ events: Readiness) {
        while let descriptor = UnixSocket.accept(listener.raw) {
            guard let connection = try? MessageConnection(descriptor, on: loop) else { return }
            connection.received = { [weak self] connection, frame in self?.serve(frame, connection) }
            connection.closed = { [weak self] connection, _ in
                self?.connections.removeAll { $0 === connection }
                self?.watchers.removeAll { $0 === connection }
            }
            connections.append(connection)
        }
    }

    private func serve(_ frame: Frame, _ connection: MessageConnection) {
        let reply: ControlReply
        do throws(MessageError) {
            let request = try ControlRequest(frame)
            if request == .watch { watchers.append(connection) }
            reply = handler(request)
        } catch {
            reply = .refused(ControlReply.Refusal(.badRequest, "\(error)"))
        }
        connection.send(reply.frame(request: frame.request))
    }

    /// Tells those who watch.
    func announce(_ state: String) {
        for watcher in watchers { watcher.send(ControlReply.changed(state: state).frame(request: 0)) }
    }

    /// Removes the socket and drops all connections.
    func close() {
        loop.unwatch(listener.raw)
        removeFile(path)
        for connection in connections { connection.close() }
    }
}
