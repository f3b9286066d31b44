public import Addresses
import CLinux

/// Accepts TCP connections at an address and port of this host.
public final class InternetListener: Sendable {
    private let socket: InternetSocket
    /// The port it listens on.
    public let port: UInt16

    /// - Parameters:
    ///   - address: one of this host's; 0.0.0.0 for all.
    ///   - port: zero lets the kernel choose.
    public init(_ address: IPv4Address, port: UInt16) throws(SystemError) {
        socket = try InternetSocket(.tcp)
        try socket.bind(address, port: port)
        let raw = socket.raw
        try retrying("listen on", "\(address):\(port)") { CLinux.listen(raw, 16) }
        self.port = wafer_inet_port(raw)
    }

    /// The descriptor's number, borrowed, for waiting.
    public var raw: CInt { socket.raw }

    /// Takes a waiting connection, non-blocking and without delay for small packets; nil if there is none.
    public func accept() -> Descriptor? {
        let raw = wafer_accept4(socket.raw)
        guard raw >= 0 else { return nil }
        var on: CInt = 1
        _ = unsafe setsockopt(raw, CInt(IPPROTO_TCP), TCP_NODELAY, &on, socklen_t(MemoryLayout<CInt>.size))
        return Descriptor(adopting: raw)
    }
}
