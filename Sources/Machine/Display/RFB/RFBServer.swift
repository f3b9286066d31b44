public import Addresses
public import Linux

/// Shows a screen to clients of the remote framebuffer protocol, and gives their keys and pointers to the machine.
///
/// Belongs to an event loop: after `start` everything happens on its thread. The screen is drawn only while a client waits for changes, at
/// most some thirty times a second, and less often the longer nothing changes. Ends with `close`, not with its last reference.
public final class RFBServer: @unchecked Sendable {
    // @unchecked: `hub` is touched on the loop's thread only.

    private let hub: RFBHub
    private let loop: EventLoop

    /// - Parameters:
    ///   - screen: what to show; from now on only the loop's thread may touch it.
    ///   - name: the machine's name, which clients show as a title.
    ///   - input: where keys and pointers go.
    public init(_ screen: any Screen, name: String, input: any InputSink, loop: EventLoop) throws(SystemError) {
        self.loop = loop
        let hub = RFBHub(screen, name: name, input: input, loop: loop)
        self.hub = hub
        let failure = Failure()
        loop.performAndWait {
            do throws(SystemError) { try hub.start() } catch { failure.error = error }
        }
        if let error = failure.error { throw error }
    }

    /// Carries an error over from the loop's thread, which is waited for.
    private final class Failure: @unchecked Sendable {
        var error: SystemError?
    }

    /// Sets what clients have to know from the next connection on; nil lets everybody in. Only the first eight bytes count.
    public func setPassword(_ password: String?) { loop.performAndWait { [hub] in hub.password = password } }

    /// Lets clients connect to a Unix socket; who may write the file may connect. The file is removed at the end.
    public func listen(path: String) throws(SystemError) {
        let listener = try UnixSocket.listen(path)
        let raw = listener.raw
        let door = RFBDoor(hub, path: path, descriptor: listener) { UnixSocket.accept(raw) }
        try open(door)
    }

    /// Lets clients connect by TCP.
    ///
    /// - Parameter port: 5900 for the first screen of a host by convention; zero lets the kernel choose.
    /// - Returns: the port.
    @discardableResult
    public func listen(address: IPv4Address, port: UInt16) throws(SystemError) -> UInt16 {
        let listener = try InternetListener(address, port: port)
        let door = RFBDoor(hub, listener: listener) { listener.accept() }
        try open(door)
        return listener.port
    }

    private func open(_ door: RFBDoor) throws(SystemError) {
        let failure = Failure()
        loop.performAndWait { [hub] in
            do throws(SystemError) { try hub.open(door) } catch { failure.error = error }
        }
        if let error = failure.error { throw error }
    }

    /// Serves a client that is connected already: a stream socket that somebody else accepted.
    public func attach(_ connection: consuming Descriptor) {
        let raw = connection.release()
        loop.perform { [hub] in hub.attach(Descriptor(adopting: raw)) }
    }

    /// How many clients are connected.
    public var clientCount: Int {
        let count = Count()
        loop.performAndWait { [hub] in count.value = hub.clientCount }
        return count.value
    }

    private final class Count: @unchecked Sendable {
        var value = 0
    }

    /// Works on the screen as it is now, on the loop's thread: for a screenshot. Clients do not miss what has changed.
    public func withScreen(_ body: @escaping @Sendable (Surface) -> Void) {
        loop.performAndWait { [hub] in
            hub.look()
            body(hub.surface)
        }
    }

    /// Disconnects everybody and listens no more.
    public func close() { loop.performAndWait { [hub] in hub.close() } }
}

/// A listening socket of a server.
final class RFBDoor: EventHandler, @unchecked Sendable {
    private let hub: RFBHub
    private let descriptor: Descriptor?
    private let listener: InternetListener?
    private let accept: () -> Descriptor?
    let raw: CInt
    /// The socket's file.
    let path: String?

    init(_ hub: RFBHub, path: String, descriptor: consuming Descriptor, accept: @escaping () -> Descriptor?) {
        self.hub = hub
        self.path = path
        raw = descriptor.raw
        self.descriptor = consume descriptor
        listener = nil
        self.accept = accept
    }

    init(_ hub: RFBHub, listener: InternetListener, accept: @escaping () -> Descriptor?) {
        self.hub = hub
        path = nil
        raw = listener.raw
        descriptor = nil
        self.listener = listener
        self.accept = accept
    }

    override func ready(_ events: Readiness) {
        // What is left over is told again.
        for _ in 0..<16 {
            guard let connection = accept() else { return }
            hub.attach(connection)
        }
    }
}
