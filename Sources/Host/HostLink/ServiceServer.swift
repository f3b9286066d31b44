public import Linux
public import Messages

/// Answers questions at a socket, on an event loop.
///
/// Handlers run on the loop's thread and must not wait; one that needs time keeps the `ServiceReply` and answers later.
public final class ServiceServer: EventHandler, @unchecked Sendable {
    // @unchecked: belongs to the loop's thread.

    private let listener: Descriptor
    private let loop: EventLoop
    private let path: String
    private var handlers: [UInt16: ([UInt8], ServiceReply) -> Void] = [:]
    private var connections: [ObjectIdentifier: ServicePeer] = [:]
    /// Called when a peer is gone.
    public var peerClosed: ((ServicePeer) -> Void)?

    /// Listens; on the loop's thread, or before it starts.
    ///
    /// - Parameter permissions: of the socket file; who may write it may ask.
    public init(path: String, permissions: UInt32 = 0o600, on loop: EventLoop) throws(SystemError) {
        self.path = path
        self.loop = loop
        listener = try UnixSocket.listen(path, permissions: permissions)
        super.init()
        try loop.watch(listener.raw, for: .readable, self)
    }

    /// Says who answers a question. What it throws becomes a refusal.
    public func on<Call: ServiceCall>(
        _ type: Call.Type, _ answer: @escaping (Call, ServicePeer) throws(ServiceError.Refusal) -> Call.Answer
    ) {
        later(type) { call, reply in
            do throws(ServiceError.Refusal) { reply.answer(try answer(call, reply.peer)) } catch { reply.refuse(error) }
        }
    }

    /// Says who answers a question that may take time. `reply` has to be used once; `answer` must get `Call.Answer`.
    public func later<Call: ServiceCall>(_ type: Call.Type, _ start: @escaping (Call, ServiceReply) -> Void) {
        handlers[Call.kind] = { payload, reply in
            do throws(MessageError) {
                var reader = FieldReader(payload)
                let call = try Call(from: &reader)
                try reader.finish()
                start(call, reply)
            } catch { reply.refuse(.init(.badRequest, "\(error)")) }
        }
    }

    /// Sends an event to every connected peer that wants events.
    public func announce(_ kind: UInt16, _ fields: some MessageField) {
        for peer in connections.values where peer.wantsEvents { peer.send(event: kind, fields) }
    }

    override public func ready(_ events: Readiness) {
        while let descriptor = UnixSocket.accept(listener.raw) {
            let credentials = UnixSocket.peer(of: descriptor.raw)
            guard let connection = try? MessageConnection(descriptor, on: loop) else { return }
            let peer = ServicePeer(connection, credentials)
            connections[ObjectIdentifier(connection)] = peer
            connection.received = { [weak self] _, frame in self?.serve(frame, peer) }
            connection.closed = { [weak self] connection, _ in
                self?.connections[ObjectIdentifier(connection)] = nil
                self?.peerClosed?(peer)
            }
        }
    }

    private func serve(_ frame: Frame, _ peer: ServicePeer) {
        let reply = ServiceReply(peer, frame.request)
        if frame.kind == ServiceProbe.kind { return reply.answer(Done()) }
        guard let handler = handlers[frame.kind] else {
            return reply.refuse(.init(.notSupported, "this service does not know messages of kind \(frame.kind)"))
        }
        handler(frame.payload, reply)
    }

    /// Removes the socket and drops all connections.
    public func close() {
        loop.unwatch(listener.raw)
        removeFile(path)
        for peer in connections.values { peer.connection.close() }
    }
}

/// Somebody connected to a service.
public final class ServicePeer {
    let connection: MessageConnection
    /// Who it was when it connected, by the kernel's word.
    public let credentials: PeerCredentials
    /// Set by a service when the peer has asked for events.
    public var wantsEvents = false

    init(_ connection: MessageConnection, _ credentials: PeerCredentials) {
        self.connection = connection
        self.credentials = credentials
    }

    public func send(event kind: UInt16, _ fields: some MessageField) {
        connection.send(Frame(kind: ReplyKind.event &+ kind, request: 0, fields: fields))
    }
}

/// Where an answer goes.
public struct ServiceReply {
    public let peer: ServicePeer
    private let request: UInt32

    init(_ peer: ServicePeer, _ request: UInt32) {
        self.peer = peer
        self.request = request
    }

    public func answer(_ fields: some MessageField) {
        peer.connection.send(Frame(kind: ReplyKind.answer, request: request, fields: fields))
    }

    public func refuse(_ refusal: ServiceError.Refusal) {
        peer.connection.send(Frame(kind: ReplyKind.refusal, request: request, fields: refusal))
    }
}
