public import Addresses

/// Tells physical switches that a station is to be found at another of their ports from now on: a frame from its address.
///
/// As ESXi does it ("notify switches"): a broadcast RARP request (RFC 903), which nobody answers.
public enum MoveNotice {
    /// - Parameter vlan: the frame's tag; nil for none.
    public static func frame(for address: MACAddress, vlan: UInt16?) -> [UInt8] {
        var bytes = MACAddress.broadcast.bytes + address.bytes
        if let vlan { bytes += [0x81, 0x00, UInt8(vlan >> 8), UInt8(truncatingIfNeeded: vlan)] }
        // Ethernet, IPv4, address lengths, operation 3: which address have I?
        bytes += [0x80, 0x35, 0, 1, 8, 0, 6, 4, 0, 3]
        bytes += address.bytes + [0, 0, 0, 0] + address.bytes + [0, 0, 0, 0]
        // The shortest Ethernet frame without its checksum.
        return bytes + [UInt8](repeating: 0, count: max(0, 60 - bytes.count))
    }
}
