import CLinux

/// VLANs that a bridge's port is in (IEEE 802.1Q).
public struct PortVLANs: Equatable, Sendable {
    /// Where untagged frames belong, and whose frames leave without a tag; nil: untagged frames are dropped.
    public var untagged: UInt16?
    /// Those whose frames carry their tag.
    public var tagged: Set<UInt16>

    public init(untagged: UInt16? = nil, tagged: Set<UInt16> = []) {
        self.untagged = untagged
        self.tagged = tagged.subtracting(untagged.map { [$0] } ?? [])
    }
}

extension NetworkConfiguration {
    /// The VLANs of every bridge port, by its number.
    public mutating func portVLANs() throws(SystemError) -> [UInt32: PortVLANs] {
        var request = linkRequest(RTM_GETLINK, flags: NLM_F_DUMP, family: UInt8(AF_BRIDGE))
        // Ranges instead of up to 4094 entries.
        request.attribute(IFLA_EXT_MASK, UInt32(RTEXT_FILTER_BRVLAN_COMPRESSED))
        var result: [UInt32: PortVLANs] = [:]
        for message in try netlink.dump(request, "list VLANs") where Int(message.type) == RTM_NEWLINK {
            guard let index = message.word(at: 4) else { continue }
            let attributes = message.attributes(after: 16)
            guard let entries = attributes.nested(IFLA_AF_SPEC) else { continue }
            result[index] = Self.vlans(entries)
        }
        return result
    }

    private static func vlans(_ entries: NetlinkAttributes) -> PortVLANs {
        var untagged: UInt16?
        var tagged: Set<UInt16> = []
        var begin: UInt16?
        for (type, value) in entries.all where type == Int(IFLA_BRIDGE_VLAN_INFO) && value.count == 4 {
            // struct bridge_vlan_info: u16 flags, u16 number.
            let flags = CInt(littleEndian(value.prefix(2)))
            let number = UInt16(truncatingIfNeeded: littleEndian(value.suffix(2)))
            guard (1...4094).contains(number) else { continue }
            if flags & BRIDGE_VLAN_INFO_RANGE_BEGIN != 0 {
                begin = number
                continue
            }
            if flags & BRIDGE_VLAN_INFO_PVID != 0 { untagged = number }
            let first = min(begin ?? number, number)
            begin = nil
            if flags & BRIDGE_VLAN_INFO_UNTAGGED == 0 { tagged.formUnion(first...number) }
        }
        return PortVLANs(untagged: untagged, tagged: tagged)
    }

    /// Puts a bridge port into just these VLANs. What stays the same is not touched, so that its traffic goes on.
    public mutating func setVLANs(of port: String, from old: PortVLANs, to new: PortVLANs) throws(SystemError) {
        var drop = old.tagged.subtracting(new.tagged)
        if let untagged = old.untagged, untagged != new.untagged { drop.insert(untagged) }
        if let untagged = new.untagged { drop.remove(untagged) }
        var add = new.tagged.subtracting(old.tagged)
        // A VLAN that was untagged is entered anew as tagged.
        if let untagged = old.untagged, new.tagged.contains(untagged) { add.insert(untagged) }
        drop.subtract(add)
        try changeVLANs(of: port, RTM_DELLINK, drop, flags: 0)
        try changeVLANs(of: port, RTM_SETLINK, add, flags: 0)
        if let untagged = new.untagged, untagged != old.untagged {
            let flags = BRIDGE_VLAN_INFO_PVID | BRIDGE_VLAN_INFO_UNTAGGED
            try changeVLANs(of: port, RTM_SETLINK, [untagged], flags: flags)
        }
    }

    private mutating func changeVLANs(
        of port: String, _ type: Int, _ numbers: Set<UInt16>, flags: CInt
    ) throws(SystemError) {
        if numbers.isEmpty { return }
        var request = linkRequest(type, index: try Self.index(of: port), family: UInt8(AF_BRIDGE))
        request.nest(IFLA_AF_SPEC) { entries in
            for range in Self.ranges(numbers) {
                let single = range.count == 1
                Self.entry(&entries, range.lowerBound, flags | (single ? 0 : BRIDGE_VLAN_INFO_RANGE_BEGIN))
                if !single { Self.entry(&entries, range.upperBound, flags | BRIDGE_VLAN_INFO_RANGE_END) }
            }
        }
        try netlink.perform(request, "set VLANs of port", port)
    }

    private static func entry(_ request: inout NetlinkRequest, _ number: UInt16, _ flags: CInt) {
        let flags = UInt16(truncatingIfNeeded: flags)
        request.attribute(
            Int(IFLA_BRIDGE_VLAN_INFO), [flags, number].flatMap { [UInt8(truncatingIfNeeded: $0), UInt8($0 >> 8)] })
    }

    /// Runs of numbers that follow one another.
    static func ranges(_ numbers: Set<UInt16>) -> [ClosedRange<UInt16>] {
        var ranges: [ClosedRange<UInt16>] = []
        for number in numbers.sorted() {
            if let last = ranges.last, last.upperBound &+ 1 == number {
                ranges[ranges.count - 1] = last.lowerBound...number
            } else {
                ranges.append(number...number)
            }
        }
        return ranges
    }
}
