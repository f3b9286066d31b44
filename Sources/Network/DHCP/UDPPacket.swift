public import Addresses
import Bytes

/// A UDP datagram in an Ethernet frame, for hosts that have no address yet (RFC 791, RFC 768, RFC 894).
public struct UDPPacket: Equatable, Sendable {
    public var sourceMAC: MACAddress
    public var destinationMAC: MACAddress
    public var source: IPv4Address
    public var destination: IPv4Address
    public var sourcePort: UInt16
    public var destinationPort: UInt16
    public var payload: [UInt8]

    public init(
        sourceMAC: MACAddress, destinationMAC: MACAddress = .broadcast, source: IPv4Address, destination: IPv4Address,
        sourcePort: UInt16, destinationPort: UInt16, payload: [UInt8]
    ) {
        self.sourceMAC = sourceMAC
        self.destinationMAC = destinationMAC
        self.source = source
        self.destination = destination
        self.sourcePort = sourcePort
        self.destinationPort = destinationPort
        self.payload = payload
    }

    /// The whole frame, checksums filled in.
    ///
    /// - Precondition: the payload has at most 65507 bytes.
    public var frame: [UInt8] {
        precondition(payload.count <= 65507, "too long for UDP")
        var udp = ByteWriter()
        udp.big(sourcePort)
        udp.big(destinationPort)
        udp.big(UInt16(8 + payload.count))
        udp.big(UInt16(0))
        udp.append(payload)
        var datagram = udp.bytes
        let sum = Self.checksum(pseudoHeader(length: datagram.count) + datagram)
        // Zero would mean that there is none.
        let checksum = sum == 0 ? 0xffff : sum
        datagram[6] = UInt8(checksum >> 8)
        datagram[7] = UInt8(truncatingIfNeeded: checksum)

        var ip = ByteWriter()
        // Version 4 and five words; no service class; length; no fragments; 64 hops; UDP.
        ip.append([0x45, 0])
        ip.big(UInt16(20 + datagram.count))
        ip.big(UInt32(0))
        ip.append([64, 17, 0, 0])
        ip.append(source.bytes)
        ip.append(destination.bytes)
        var header = ip.bytes
        let headerSum = Self.checksum(header)
        header[10] = UInt8(headerSum >> 8)
        header[11] = UInt8(truncatingIfNeeded: headerSum)
        return destinationMAC.bytes + sourceMAC.bytes + [0x08, 0x00] + header + datagram
    }

    private func pseudoHeader(length: Int) -> [UInt8] {
        source.bytes + destination.bytes + [
            0, 17, UInt8(truncatingIfNeeded: length >> 8), UInt8(truncatingIfNeeded: length),
        ]
    }

    /// Reads a frame; nil if it is no whole UDP datagram over IPv4.
    ///
    /// - Parameter hasChecksums: false if the UDP checksum is not filled in, as between links of one machine.
    public init?(frame: [UInt8], hasChecksums: Bool = true) {
        guard frame.count >= 14 + 20 + 8, frame[12] == 0x08, frame[13] == 0,
            let destinationMAC = MACAddress(frame[0..<6]), let sourceMAC = MACAddress(frame[6..<12])
        else { return nil }
        let packet = frame[14...]
        let first = packet.startIndex
        let headerSize = Int(packet[first] & 15) * 4
        guard packet[first] >> 4 == 4, headerSize >= 20, packet.count >= headerSize + 8 else { return nil }
        func big(_ offset: Int) -> Int { Int(packet[first + offset]) << 8 | Int(packet[first + offset + 1]) }
        func word(_ offset: Int) -> UInt32 { UInt32(big(offset)) << 16 | UInt32(big(offset + 2)) }
        let total = big(2)
        // Whole, UDP, no fragment (neither more to come nor an offset).
        guard total >= headerSize + 8, total <= packet.count, packet[first + 9] == 17, big(6) & 0x3fff == 0,
            Self.checksum(Array(packet.prefix(headerSize))) == 0
        else { return nil }
        let length = big(headerSize + 4)
        guard length >= 8, length <= total - headerSize else { return nil }
        self.sourceMAC = sourceMAC
        self.destinationMAC = destinationMAC
        source = IPv4Address(number: word(12))
        destination = IPv4Address(number: word(16))
        sourcePort = UInt16(big(headerSize))
        destinationPort = UInt16(big(headerSize + 2))
        let datagram = Array(packet.dropFirst(headerSize).prefix(length))
        payload = Array(datagram.dropFirst(8))
        if hasChecksums, big(headerSize + 6) != 0 {
            guard Self.checksum(pseudoHeader(length: length) + datagram) == 0 else { return nil }
        }
    }

    /// The Internet checksum (RFC 1071): the complement of the ones' complement sum of big-endian words.
    public static func checksum(_ bytes: [UInt8]) -> UInt16 {
        var sum: UInt64 = 0
        var isHigh = true
        for byte in bytes {
            sum += isHigh ? UInt64(byte) << 8 : UInt64(byte)
            isHigh.toggle()
        }
        while sum > 0xffff { sum = sum >> 16 + sum & 0xffff }
        return ~UInt16(sum)
    }
}
