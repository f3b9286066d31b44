public import Addresses
import CLinux

/// An Internet socket that does not block.
public final class InternetSocket: Sendable {
    private let descriptor: Descriptor

    public enum Kind: Sendable {
        case udp
        case tcp
        /// ICMP; needs CAP_NET_RAW. Received packets have their IPv4 header before them.
        case icmp
        /// ICMPv6; needs CAP_NET_RAW. The kernel fills in checksums; received packets have no IPv6 header.
        case icmp6
    }

    public init(_ kind: Kind) throws(SystemError) {
        let (family, type, number): (CInt, CInt, CInt) =
            switch kind {
            case .udp: (AF_INET, CInt(SOCK_DGRAM.rawValue), 0)
            case .tcp: (AF_INET, CInt(SOCK_STREAM.rawValue), 0)
            case .icmp: (AF_INET, CInt(SOCK_RAW.rawValue), CInt(IPPROTO_ICMP))
            case .icmp6: (AF_INET6, CInt(SOCK_RAW.rawValue), CInt(IPPROTO_ICMPV6))
            }
        descriptor = Descriptor(
            adopting: try retrying("open Internet socket") {
                socket(family, type | CInt(SOCK_CLOEXEC.rawValue) | CInt(SOCK_NONBLOCK.rawValue), number)
            })
    }

    /// The descriptor's number, borrowed, for waiting.
    public var raw: CInt { descriptor.raw }

    /// Takes an address and a port of this host; the port may be shared with others that say so, too.
    public func bind(_ address: IPv4Address, port: UInt16) throws(SystemError) {
        var on: CInt = 1
        _ = unsafe setsockopt(raw, SOL_SOCKET, SO_REUSEADDR, &on, socklen_t(MemoryLayout<CInt>.size))
        let raw = descriptor.raw
        try retrying("use address", "\(address):\(port)") { wafer_inet_bind(raw, address.number, port) }
    }

    /// Uses one link only, whatever the routes say.
    public func bind(link: String) throws(SystemError) {
        let raw = descriptor.raw
        try retrying("use link", link) {
            unsafe setsockopt(raw, SOL_SOCKET, SO_BINDTODEVICE, link, socklen_t(link.utf8.count))
        }
    }

    /// Sends to and receives from one peer only. With TCP the connection may not be there yet: wait until writable.
    public func connect(_ address: IPv4Address, port: UInt16) throws(SystemError) {
        let bytes = address.bytes
        if unsafe wafer_peer_connect(raw, AF_INET, bytes, port) == 0 { return }
        let error = SystemError.last("connect to", "\(address):\(port)")
        if error.number != EINPROGRESS { throw error }
    }

    /// Whether a connection that was begun came about.
    public func connectionError() -> SystemError? {
        let number = wafer_socket_error(raw)
        return number == 0 ? nil : SystemError(number: number, operation: "connect")
    }

    /// Sends a datagram to whom `connect` named.
    public func send(_ bytes: [UInt8]) throws(SystemError) {
        let raw = descriptor.raw
        try retrying("send") { unsafe wafer_send(raw, bytes, bytes.count) }
    }

    public func send(_ bytes: [UInt8], to address: IPv4Address, port: UInt16) throws(SystemError) {
        let raw = descriptor.raw
        try retrying("send to", "\(address)") {
            unsafe wafer_inet_send(raw, bytes, bytes.count, address.number, port)
        }
    }

    /// - Parameter scope: the link's number, for link-local addresses.
    public func send(_ bytes: [UInt8], to address: IPv6Address, scope: UInt32 = 0) throws(SystemError) {
        let raw = descriptor.raw
        let target = address.bytes
        try retrying("send to", "\(address)") { unsafe wafer_inet6_send(raw, bytes, bytes.count, target, scope) }
    }

    /// What came of an attempt to receive.
    public enum Received: Sendable {
        case bytes([UInt8], from: IPv4Address)
        /// Nothing is there now.
        case nothing
        /// An error came back, such as an unreachable port.
        case failed(SystemError)
    }

    /// The next datagram or piece of a stream; an empty one is the stream's end.
    public func receive(limit: Int = 4096) -> Received {
        var buffer = [UInt8](repeating: 0, count: limit)
        var address: UInt32 = 0
        var port: UInt16 = 0
        while true {
            let count = unsafe wafer_inet_receive(raw, &buffer, buffer.count, &address, &port)
            if count >= 0 { return .bytes(Array(buffer[..<count]), from: IPv4Address(number: address)) }
            let error = SystemError.last("receive")
            if error.number == EINTR { continue }
            return error.number == EAGAIN ? .nothing : .failed(error)
        }
    }

    /// The next ICMPv6 packet; nil if there is none now.
    public func receive6(limit: Int = 4096) -> (bytes: [UInt8], from: IPv6Address)? {
        var buffer = [UInt8](repeating: 0, count: limit)
        var address = [UInt8](repeating: 0, count: 16)
        while true {
            let count = unsafe wafer_inet6_receive(raw, &buffer, buffer.count, &address)
            if count >= 0, let sender = IPv6Address(bytes: address) { return (Array(buffer[..<count]), sender) }
            if count < 0, wafer_errno() == EINTR { continue }
            return nil
        }
    }
}
