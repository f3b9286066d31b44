import DHCP

/// An ICMP echo request or its reply (RFC 792; RFC 4443, section 4, for IPv6).
struct EchoPacket: Equatable {
    var identifier: UInt16
    var sequence: UInt16

    private static let payload: [UInt8] = (0..<48).map { $0 }

    /// A request, its checksum filled in where the kernel does not do that.
    func request(isIPv6: Bool) -> [UInt8] {
        var bytes: [UInt8] = [
            isIPv6 ? 128 : 8, 0, 0, 0, UInt8(identifier >> 8), UInt8(truncatingIfNeeded: identifier),
            UInt8(sequence >> 8), UInt8(truncatingIfNeeded: sequence),
        ]
        bytes += Self.payload
        if isIPv6 { return bytes }
        let sum = UDPPacket.checksum(bytes)
        bytes[2] = UInt8(sum >> 8)
        bytes[3] = UInt8(truncatingIfNeeded: sum)
        return bytes
    }

    /// Reads a reply; nil for every other packet. An IPv4 packet has its header before it.
    init?(reply bytes: [UInt8], isIPv6: Bool) {
        var start = 0
        if !isIPv6 {
            guard let first = bytes.first, first >> 4 == 4 else { return nil }
            start = Int(first & 15) * 4
        }
        guard start >= 0, bytes.count - start >= 8, bytes[start] == (isIPv6 ? 129 : 0), bytes[start + 1] == 0 else {
            return nil
        }
        identifier = UInt16(bytes[start + 4]) << 8 | UInt16(bytes[start + 5])
        sequence = UInt16(bytes[start + 6]) << 8 | UInt16(bytes[start + 7])
    }

    init(identifier: UInt16, sequence: UInt16) {
        self.identifier = identifier
        self.sequence = sequence
    }
}
