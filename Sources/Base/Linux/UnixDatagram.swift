import CLinux

/// Datagram sockets in the file system: whole messages between processes of one host, nobody waits for anybody.
public enum UnixDatagram {
    /// Takes messages at a path, with a socket that does not block. What stands at the path is replaced.
    ///
    /// - Parameter permissions: of the socket file; who may write it may send.
    public static func bind(_ path: String, permissions: UInt32 = 0o600) throws(SystemError) -> Descriptor {
        _ = unsafe unlink(path)
        let socket = try make()
        let raw = socket.raw
        try unsafe UnixSocket.withAddress(path, "listen on") { address, length in
            unsafe CLinux.bind(raw, address, length)
        }
        try retrying("listen on", path) { unsafe chmod(path, permissions) }
        return socket
    }

    /// A socket to send from; it has no address of its own and does not block.
    public static func make() throws(SystemError) -> Descriptor {
        let type = CInt(SOCK_DGRAM.rawValue) | CInt(SOCK_CLOEXEC.rawValue) | CInt(SOCK_NONBLOCK.rawValue)
        return Descriptor(adopting: try retrying("make a socket") { socket(AF_UNIX, type, 0) })
    }

    /// Sends one message to whoever takes messages at a path.
    ///
    /// - Returns: `.wouldBlock` if the receiver's queue is full, `.closed` if nobody takes messages there.
    public static func send(_ bytes: [UInt8], from socket: CInt, to path: String) -> Transfer {
        var result = Transfer.closed
        do throws(SystemError) {
            try unsafe UnixSocket.withAddress(path, "send to") { address, length in
                while true {
                    let count = unsafe bytes.withUnsafeBytes { buffer in
                        unsafe sendto(socket, buffer.baseAddress, buffer.count, 0, address, length)
                    }
                    if count >= 0 {
                        result = .bytes(count)
                        return 0
                    }
                    let number = wafer_errno()
                    if number == EINTR { continue }
                    if number == EAGAIN || number == ENOBUFS { result = .wouldBlock }
                    return 0
                }
            }
        } catch {}
        return result
    }
}
