public import Addresses
import CLinux

/// An address and a port to send to.
public struct InternetPeer: Hashable, Sendable, CustomStringConvertible {
    public enum Address: Hashable, Sendable {
        case v4(IPv4Address)
        case v6(IPv6Address)
    }

    public var address: Address
    public var port: UInt16

    public init(_ address: Address, port: UInt16) {
        self.address = address
        self.port = port
    }

    /// From an address as it is written; nil if it is none (a name, say).
    public init?(_ text: some StringProtocol, port: UInt16) {
        if let address = IPv4Address(text) {
            self.init(.v4(address), port: port)
        } else if let address = IPv6Address(text) {
            self.init(.v6(address), port: port)
        } else {
            return nil
        }
    }

    public var description: String {
        switch address {
        case .v4(let address): "\(address):\(port)"
        case .v6(let address): "[\(address)]:\(port)"
        }
    }
}

/// An Internet socket with one peer; it does not block.
public struct ConnectedSocket: ~Copyable {
    public enum Kind: Sendable {
        case datagram
        case stream
    }

    private let descriptor: Descriptor

    /// Connects. A stream is only about to be connected after this: it is writable once that is done, `failure` tells how.
    public init(_ kind: Kind, to peer: InternetPeer) throws(SystemError) {
        let type = kind == .datagram ? SOCK_DGRAM : SOCK_STREAM
        let flags = CInt(SOCK_CLOEXEC.rawValue) | CInt(SOCK_NONBLOCK.rawValue)
        let (family, bytes) =
            switch peer.address {
            case .v4(let address): (AF_INET, address.bytes)
            case .v6(let address):
                (
                    AF_INET6,
                    address.groups.flatMap { [UInt8(truncatingIfNeeded: $0 >> 8), UInt8(truncatingIfNeeded: $0)] }
                )
            }
        let descriptor = Descriptor(
            adopting: try retrying("make a socket") { socket(family, CInt(type.rawValue) | flags, 0) })
        let raw = descriptor.raw
        let result = unsafe bytes.withUnsafeBufferPointer { bytes in
            unsafe wafer_peer_connect(raw, family, bytes.baseAddress, peer.port)
        }
        if result != 0, wafer_errno() != EINPROGRESS { throw SystemError.last("connect to", "\(peer)") }
        self.descriptor = descriptor
    }

    /// The descriptor's number, borrowed, for waiting.
    public var raw: CInt { descriptor.raw }

    /// Why the connection failed or ended; nil as long as it has not. An error is told once.
    public func failure(_ subject: String) -> SystemError? {
        let number = wafer_socket_error(raw)
        return number == 0 ? nil : SystemError(number: number, operation: "connect to", subject: subject)
    }

    /// Sends as much as goes now; a datagram as a whole or not at all.
    public func send(_ bytes: Span<UInt8>) -> Transfer {
        while true {
            let raw = self.raw
            let count = unsafe bytes.withUnsafeBytes { unsafe wafer_send(raw, $0.baseAddress, $0.count) }
            if count >= 0 { return .bytes(count) }
            let number = wafer_errno()
            if number == EINTR { continue }
            return number == EAGAIN || number == ENOBUFS ? .wouldBlock : .closed
        }
    }

    /// Reads what a stream's peer sent; nil when nothing is there now, empty when it is gone.
    public func receive(limit: Int = 4096) -> [UInt8]? { descriptor.readAvailable(limit: limit) }

    /// Makes the kernel note when each datagram comes.
    public func wantTimestamps() throws(SystemError) {
        let raw = self.raw
        try retrying("ask for time stamps") { wafer_want_timestamps(raw) }
    }

    /// A datagram with the time it came at, by the kernel's clock (CLOCK_REALTIME); nil if there is none. An empty one
    /// stands for an error that came instead, such as the peer's not listening.
    ///
    /// - Parameter limit: what is longer is cut.
    public func receiveStamped(limit: Int) -> (bytes: [UInt8], seconds: Int64, nanoseconds: Int64)? {
        var bytes = [UInt8](repeating: 0, count: limit)
        var seconds: Int64 = 0
        var nanoseconds: Int64 = 0
        let raw = self.raw
        while true {
            let count = unsafe bytes.withUnsafeMutableBytes { buffer in
                unsafe wafer_receive_stamped(raw, buffer.baseAddress, buffer.count, &seconds, &nanoseconds)
            }
            if count >= 0 {
                bytes.removeLast(limit - count)
                return (bytes, seconds, nanoseconds)
            }
            let number = wafer_errno()
            if number == EINTR { continue }
            return number == EAGAIN ? nil : ([], 0, 0)
        }
    }
}
