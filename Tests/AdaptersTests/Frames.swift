import NetEngine

/// Frames that tests send.
enum TestFrame {
    static let address = MACAddress(0x00, 0x0c, 0x29, 1, 2, 3)
    static let other = MACAddress(0x00, 0x0c, 0x29, 9, 9, 9)

    static func plain(to target: MACAddress = address, _ count: Int = 60, fill: UInt8 = 0x5a, vlan: UInt16? = nil)
        -> [UInt8]
    {
        var frame = target.bytes + [2, 0, 0, 0, 0, 1]
        if let vlan { frame += [0x81, 0, UInt8(vlan >> 8), UInt8(vlan & 0xff)] }
        frame += [0x88, 0xb5]
        while frame.count < count { frame.append(fill &+ UInt8(truncatingIfNeeded: frame.count)) }
        return frame
    }

    enum Sums {
        /// All sums are right.
        case complete
        /// The pseudo header's sum stands where TCP's goes, as a sender leaves it to hardware.
        case partial
        /// As drivers leave it for segmentation: lengths are not part of it.
        case segmentation
    }

    /// A TCP packet with `count` bytes of data.
    static func tcp(_ count: Int, ipv6: Bool = false, vlan: UInt16? = nil, sums: Sums) -> [UInt8] {
        var network: [UInt8]
        let length = 20 + count
        if ipv6 {
            network = [0x60, 0, 0, 0] + big(UInt16(length)) + [6, 64]
            network += (0..<32).map { UInt8($0 + 1) }
        } else {
            network = [0x45, 0] + big(UInt16(20 + length)) + [0, 1, 0x40, 0, 64, 6, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2]
            if sums != .segmentation {
                let sum = checksum(network)
                network.replaceSubrange(10..<12, with: big(sum))
            }
        }
        var segment: [UInt8] = [0x12, 0x34, 0, 80, 0, 0, 0, 1, 0, 0, 0, 2, 0x50, 0x18, 0x20, 0, 0, 0, 0, 0]
        segment += (0..<count).map { UInt8(truncatingIfNeeded: $0 * 7) }
        let addresses = ipv6 ? Array(network[8...]) : Array(network[12...])
        switch sums {
        case .complete:
            segment.replaceSubrange(16..<18, with: big(checksum(addresses + big(6) + big(UInt16(length)) + segment)))
        case .partial:
            segment.replaceSubrange(16..<18, with: big(~checksum(addresses + big(6) + big(UInt16(length)))))
        case .segmentation: segment.replaceSubrange(16..<18, with: big(~checksum(addresses + big(6))))
        }
        var frame = address.bytes + [2, 0, 0, 0, 0, 1]
        if let vlan { frame += [0x81, 0] + big(vlan) }
        return frame + (ipv6 ? [0x86, 0xdd] : [8, 0]) + network + segment
    }

    static func big(_ value: UInt16) -> [UInt8] { [UInt8(value >> 8), UInt8(value & 0xff)] }

    /// RFC 1071, word by word.
    static func checksum(_ bytes: [UInt8]) -> UInt16 {
        var sum: UInt32 = 0
        for index in stride(from: 0, to: bytes.count, by: 2) {
            sum += UInt32(bytes[index]) << 8
            if index + 1 < bytes.count { sum += UInt32(bytes[index + 1]) }
            sum = (sum & 0xffff) + (sum >> 16)
        }
        return ~UInt16(sum)
    }
}
