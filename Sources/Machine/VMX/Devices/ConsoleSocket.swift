import DeviceModel
import Linux
import Synchronization

/// A character device's outside end as a Unix socket: whoever connects sees what the guest writes and types to it.
///
/// Several may be connected; each first gets the last output again, so that a console opened late shows its screen.
/// Belongs to an event loop; the guest's side may be called from any thread.
final class ConsoleSocket: CharacterBackend, Sendable {
    /// How much past output a new connection gets, in bytes; also how far a slow reader may fall behind.
    static let historySize = 64 << 10

    private struct State {
        var receiver: (any CharacterReceiver)?
        /// Output, a ring: byte n of the stream lies at n modulo its size.
        var history = [UInt8](repeating: 0, count: ConsoleSocket.historySize)
        /// How many bytes the guest has written in all.
        var written: UInt64 = 0
        /// The loop was told that there is output, and has not looked yet.
        var announced = false
    }

    private let state = Mutex(State())
    private let output: EventFD
    private let server: Server
    private let loop: EventLoop
    let path: String

    init(path: String, loop: EventLoop) throws(SystemError) {
        self.path = path
        self.loop = loop
        output = try EventFD()
        server = Server(listener: try UnixSocket.listen(path), loop: loop)
        server.console = self
        let server = server
        let output = output
        loop.performAndWait {
            try? loop.watch(server.listener.raw, for: .readable, server)
            try? loop.watch(output.raw, for: .readable, OutputReady(server, output))
        }
    }

    /// Disconnects everybody and removes the socket.
    func close() {
        loop.performAndWait { [self] in
            loop.unwatch(output.raw)
            server.close()
        }
        removeFile(path)
    }

    // MARK: The guest's side

    func transmit(_ bytes: Span<UInt8>) {
        let announce = state.withLock { state in
            for index in bytes.indices {
                state.history[Int(state.written % UInt64(Self.historySize))] = bytes[index]
                state.written += 1
            }
            let announce = !state.announced
            state.announced = true
            return announce
        }
        if announce { output.signal() }
    }

    func setReceiver(_ receiver: (any CharacterReceiver)?) { state.withLock { $0.receiver = receiver } }

    func receiverHasRoom() { output.signal() }

    // MARK: The outside (on the loop)

    fileprivate var receiver: (any CharacterReceiver)? { state.withLock { $0.receiver } }

    fileprivate func beginFlush() { state.withLock { $0.announced = false } }

    /// The oldest byte still there.
    fileprivate var oldest: UInt64 {
        state.withLock { $0.written > UInt64(Self.historySize) ? $0.written - UInt64(Self.historySize) : 0 }
    }

    /// Output from `position` on, at most 4 KiB; a reader that fell behind misses what is gone.
    fileprivate func output(from position: inout UInt64) -> [UInt8] {
        state.withLock { state in
            let size = UInt64(Self.historySize)
            let oldest = state.written > size ? state.written - size : 0
            position = max(position, oldest)
            let count = min(state.written - position, 4096)
            return (0..<count).map { state.history[Int((position + $0) % size)] }
        }
    }

    private final class OutputReady: EventHandler, @unchecked Sendable {
        private let server: Server
        private let event: EventFD
        init(_ server: Server, _ event: EventFD) {
            self.server = server
            self.event = event
        }
        override func ready(_ events: Readiness) {
            event.drain()
            server.flush()
        }
    }
}

/// Accepts connections to a console and moves bytes. On its loop's thread only.
private final class Server: EventHandler, @unchecked Sendable {
    let listener: Descriptor
    let loop: EventLoop
    weak var console: ConsoleSocket?
    private var connections: [Connection] = []

    init(listener: consuming Descriptor, loop: EventLoop) {
        self.listener = listener
        self.loop = loop
    }

    override func ready(_ events: Readiness) {
        while let descriptor = UnixSocket.accept(listener.raw), let console {
            let connection = Connection(descriptor, self, position: console.oldest)
            do {
                try loop.watch(connection.descriptor.raw, for: .readable, connection)
            } catch { return }
            connections.append(connection)
            connection.flush()
        }
    }

    func flush() {
        console?.beginFlush()
        for connection in connections {
            connection.flush()
            connection.deliver()
        }
    }

    func drop(_ connection: Connection) {
        loop.unwatch(connection.descriptor.raw)
        connections.removeAll { $0 === connection }
    }

    func close() {
        for connection in connections { drop(connection) }
        loop.unwatch(listener.raw)
    }
}

/// One who is connected to a console.
private final class Connection: EventHandler, @unchecked Sendable {
    let descriptor: Descriptor
    private unowned let server: Server
    /// How much of the output it has got.
    private var position: UInt64
    /// Typed, but not yet taken by the guest.
    private var input: ArraySlice<UInt8> = []
    private var waitsForRoom = false

    init(_ descriptor: consuming Descriptor, _ server: Server, position: UInt64) {
        self.descriptor = descriptor
        self.server = server
        self.position = position
    }

    override func ready(_ events: Readiness) {
        if events.contains(.readable), input.isEmpty {
            guard let bytes = descriptor.readAvailable(limit: 4096) else { return }
            if bytes.isEmpty { return server.drop(self) }
            input = bytes[...]
            deliver()
        }
        if events.contains(.writable) { flush() }
        if events.contains(.hangUp) || events.contains(.failed) { server.drop(self) }
    }

    /// Gives the guest what was typed. While it does not take it, nothing more is read from the socket.
    func deliver() {
        guard let receiver = server.console?.receiver, !input.isEmpty else { return }
        let bytes = Array(input)
        input = input.dropFirst(receiver.receive(bytes.span))
        watch()
    }

    /// Sends output as far as the socket takes it.
    func flush() {
        guard let console = server.console else { return }
        while true {
            let bytes = console.output(from: &position)
            if bytes.isEmpty { break }
            switch unsafe bytes.withUnsafeBytes({ unsafe descriptor.write($0) }) {
            case .bytes(let count): position += UInt64(count)
            case .wouldBlock:
                waitsForRoom = true
                return watch()
            case .closed: return  // the hang-up event drops it
            }
        }
        waitsForRoom = false
        watch()
    }

    private func watch() {
        var events: Readiness = input.isEmpty ? .readable : []
        if waitsForRoom { events.insert(.writable) }
        try? server.loop.rewatch(descriptor.raw, for: events)
    }
}
