public import Addresses
import Bytes

/// An ARP packet for IPv4 over Ethernet (RFC 826), as probes and announcements of addresses use it (RFC 5227).
public struct ARPPacket: Equatable, Sendable {
    public var isReply: Bool
    public var senderMAC: MACAddress
    public var sender: IPv4Address
    public var targetMAC: MACAddress
    public var target: IPv4Address

    /// Asks whether somebody has an address, without claiming it (RFC 5227, section 1.1).
    public static func probe(_ address: IPv4Address, from macAddress: MACAddress) -> ARPPacket {
        ARPPacket(
            isReply: false, senderMAC: macAddress, sender: IPv4Address(number: 0), targetMAC: .zero, target: address)
    }

    /// Tells that an address is in use (RFC 5227, section 1.1).
    public static func announcement(_ address: IPv4Address, from macAddress: MACAddress) -> ARPPacket {
        ARPPacket(isReply: false, senderMAC: macAddress, sender: address, targetMAC: .zero, target: address)
    }

    init(isReply: Bool, senderMAC: MACAddress, sender: IPv4Address, targetMAC: MACAddress, target: IPv4Address) {
        self.isReply = isReply
        self.senderMAC = senderMAC
        self.sender = sender
        self.targetMAC = targetMAC
        self.target = target
    }

    /// The whole frame, broadcast.
    public var frame: [UInt8] {
        var writer = ByteWriter()
        writer.append(MACAddress.broadcast.bytes)
        writer.append(senderMAC.bytes)
        writer.big(UInt16(0x0806))
        writer.append([0, 1, 8, 0, 6, 4, 0, isReply ? 2 : 1])
        writer.append(senderMAC.bytes)
        writer.append(sender.bytes)
        writer.append(targetMAC.bytes)
        writer.append(target.bytes)
        return writer.bytes
    }

    /// Reads a frame; nil if it is no ARP for IPv4 over Ethernet.
    public init?(frame: [UInt8]) {
        guard frame.count >= 42, frame[12..<20].elementsEqual([0x08, 0x06, 0, 1, 8, 0, 6, 4]), frame[20] == 0,
            frame[21] == 1 || frame[21] == 2, let sender = MACAddress(frame[22..<28]),
            let target = MACAddress(frame[32..<38])
        else { return nil }
        isReply = frame[21] == 2
        senderMAC = sender
        targetMAC = target
        self.sender = IPv4Address(number: frame[28..<32].reduce(0) { $0 << 8 | UInt32($1) })
        self.target = IPv4Address(number: frame[38..<42].reduce(0) { $0 << 8 | UInt32($1) })
    }
}
