public import Addresses
import CLinux

/// An Ethernet address that a bridge has learned.
public struct LearnedAddress: Hashable, Sendable {
    /// The port's number.
    public var port: UInt32
    public var address: MACAddress
    /// 0: none.
    public var vlan: UInt16

    public init(port: UInt32, address: MACAddress, vlan: UInt16) {
        self.port = port
        self.address = address
        self.vlan = vlan
    }
}

extension NetworkConfiguration {
    /// What all bridges have learned, without their ports' own addresses. As `bridge fdb`.
    public mutating func learnedAddresses() throws(SystemError) -> [LearnedAddress] {
        var request = NetlinkRequest(RTM_GETNEIGH, flags: NLM_F_DUMP)
        // struct ndmsg: family, padding, s32 link, u16 state, u8 flags, u8 type.
        request.append(UInt8(AF_BRIDGE))
        for _ in 0..<3 { request.append(UInt8(0)) }
        for _ in 0..<2 { request.append(UInt32(0)) }
        return try netlink.dump(request, "list learned addresses").compactMap { message in
            guard Int(message.type) == RTM_NEWNEIGH, let port = message.word(at: 4), let state = message.word(at: 8)
            else { return nil }
            let attributes = message.attributes(after: 12)
            guard state & 0x80 == 0,  // NUD_PERMANENT
                attributes.number(Int(NDA_MASTER)) != nil,
                let address = attributes[Int(NDA_LLADDR)].flatMap({ MACAddress($0) })
            else { return nil }
            return LearnedAddress(
                port: port, address: address,
                vlan: UInt16(truncatingIfNeeded: attributes.number(Int(NDA_VLAN)) ?? 0))
        }
    }
}
