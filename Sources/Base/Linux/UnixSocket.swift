import CLinux

/// Stream sockets in the file system, between processes of one host.
public enum UnixSocket {
    /// The longest path a socket can have, in bytes.
    public static let pathMax = 107

    /// Listens at a path, with a socket that does not block. A socket file left by a process that is gone is replaced;
    /// one that somebody listens on is not.
    ///
    /// - Parameter permissions: of the socket file; who may write it may connect.
    public static func listen(_ path: String, permissions: UInt32 = 0o600) throws(SystemError) -> Descriptor {
        if isAnswered(path) { throw SystemError(number: EADDRINUSE, operation: "listen on", subject: path) }
        _ = unsafe unlink(path)
        let socket = try make()
        let raw = socket.raw
        try unsafe withAddress(path, "listen on") { address, length in unsafe bind(raw, address, length) }
        try retrying("listen on", path) { unsafe chmod(path, permissions) }
        try retrying("listen on", path) { CLinux.listen(raw, 16) }
        return socket
    }

    /// Connects to who listens at a path. The connection does not block after this.
    public static func connect(_ path: String) throws(SystemError) -> Descriptor {
        let socket = try make()
        let raw = socket.raw
        try unsafe withAddress(path, "connect to") { address, length in unsafe CLinux.connect(raw, address, length) }
        return socket
    }

    /// Takes a waiting connection, non-blocking; nil if there is none.
    public static func accept(_ listener: CInt) -> Descriptor? {
        let raw = wafer_accept4(listener)
        return raw >= 0 ? Descriptor(adopting: raw) : nil
    }

    /// Whether somebody accepts connections at the path.
    public static func isAnswered(_ path: String) -> Bool {
        do {
            _ = try connect(path)
            return true
        } catch {
            // A full queue means that somebody is there, only busy.
            return error.number == EAGAIN
        }
    }

    private static var streamType: CInt {
        CInt(SOCK_STREAM.rawValue) | CInt(SOCK_CLOEXEC.rawValue) | CInt(SOCK_NONBLOCK.rawValue)
    }

    private static func make() throws(SystemError) -> Descriptor {
        Descriptor(adopting: try retrying("make a socket") { socket(AF_UNIX, streamType, 0) })
    }

    static func withAddress(
        _ path: String, _ operation: String, _ body: (UnsafePointer<sockaddr>?, socklen_t) -> CInt
    ) throws(SystemError) {
        var address = sockaddr_un()
        address.sun_family = sa_family_t(AF_UNIX)
        let bytes = Array(path.utf8)
        guard bytes.count <= pathMax, !bytes.contains(0) else {
            throw SystemError(number: ENAMETOOLONG, operation: operation, subject: path)
        }
        unsafe withUnsafeMutableBytes(of: &address.sun_path) { target in
            unsafe target.copyBytes(from: bytes)
        }
        let result = unsafe body(wafer_sockaddr_un(&address), socklen_t(MemoryLayout<sockaddr_un>.size))
        if result != 0 { throw SystemError.last(operation, path) }
    }
}

/// What became of a read or write that does not block.
public enum Transfer: Equatable, Sendable {
    case bytes(Int)
    /// Nothing could be moved now; wait for readiness.
    case wouldBlock
    /// The other side is gone.
    case closed
}

extension Descriptor {
    /// Reads what is there into `buffer`.
    public func read(into buffer: UnsafeMutableRawBufferPointer) -> Transfer {
        while true {
            let count = unsafe CLinux.read(raw, buffer.baseAddress, buffer.count)
            if count > 0 { return .bytes(count) }
            if count == 0 { return .closed }
            let number = wafer_errno()
            if number == EINTR { continue }
            return number == EAGAIN ? .wouldBlock : .closed
        }
    }

    /// Writes as much of `buffer` as goes. A peer that is gone raises no signal.
    public func write(_ buffer: UnsafeRawBufferPointer) -> Transfer {
        while true {
            let count = unsafe CLinux.write(raw, buffer.baseAddress, buffer.count)
            if count >= 0 { return .bytes(count) }
            let number = wafer_errno()
            if number == EINTR { continue }
            return number == EAGAIN ? .wouldBlock : .closed
        }
    }

    /// Waits until something can be read, the end included.
    public func waitUntilReadable() { wait(Int16(POLLIN)) }

    private func wait(_ events: Int16) {
        var poll = pollfd(fd: raw, events: events, revents: 0)
        _ = unsafe CLinux.poll(&poll, 1, -1)
    }

    /// Writes all bytes, waiting as often as needed.
    ///
    /// - Returns: false if the other side is gone.
    public func writeAll(_ bytes: [UInt8]) -> Bool {
        unsafe bytes.withUnsafeBytes { unsafe writeAll($0) }
    }

    /// The same without an array. Allocates nothing.
    public func writeAll(_ bytes: Span<UInt8>) -> Bool {
        unsafe bytes.withUnsafeBytes { unsafe writeAll($0) }
    }

    private func writeAll(_ buffer: UnsafeRawBufferPointer) -> Bool {
        var done = 0
        while done < buffer.count {
            switch unsafe write(UnsafeRawBufferPointer(rebasing: buffer[done...])) {
            case .bytes(let count): done += count
            case .wouldBlock: wait(Int16(POLLOUT))
            case .closed: return false
            }
        }
        return true
    }

    /// Reads up to `limit` bytes; nil when nothing is there now, empty when the other side is gone.
    public func readAvailable(limit: Int = 65536) -> [UInt8]? {
        var result = Transfer.closed
        let bytes = unsafe [UInt8](unsafeUninitializedCapacity: limit) { buffer, count in
            result = unsafe read(into: UnsafeMutableRawBufferPointer(buffer))
            if case .bytes(let read) = result { count = read }
        }
        return result == .wouldBlock ? nil : bytes
    }
}

/// Signals that concern the whole process.
public enum ProcessSignals {
    /// Writing to a connection whose other side is gone fails with an error instead of ending the process.
    public static func ignoreBrokenPipes() { _ = wafer_ignore_signal(SIGPIPE) }
}

/// Who is at the other end of a Unix socket, as the kernel saw it when the connection was made (unix(7), SO_PEERCRED).
public struct PeerCredentials: Equatable, Sendable {
    public var process: Int32
    public var user: UInt32
    public var group: UInt32
}

extension UnixSocket {
    /// The peer of a connected socket; an impossible user if the kernel does not say.
    public static func peer(of socket: CInt) -> PeerCredentials {
        var process: CInt = 0
        var user: CUnsignedInt = .max
        var group: CUnsignedInt = .max
        unsafe wafer_peer_credentials(socket, &process, &user, &group)
        return PeerCredentials(process: process, user: user, group: group)
    }
}
