public import Addresses
public import HostModel
import Linux

/// What the kernel shall have, made from settings and the adapters that are there. Pure.
///
/// - A virtual switch is a bridge that keeps VLANs apart. Its frames without a tag are in its *native* VLAN: number 1, or the
///   highest free number if a port group uses 1 for itself.
/// - A port group is a membership: VLAN 0 is the native one; 1 to 4094 is that one, untagged at the port; 4095 is the native one
///   untagged and all others tagged.
/// - An uplink carries the native VLAN untagged and tagged those that port groups use. Several uplinks are one bond (`Teaming`).
/// - A vmkernel port is a pair of links, `vmk0` for the host and `vmk0p` in the switch. It has the address of its switch's first
///   uplink, as on ESXi; so the adapter itself gets another one, for a bridge takes frames to a port's own address for its own.
public struct NetworkPlan: Equatable, Sendable {
    /// In the order they have to be made.
    public var links: [DesiredLink] = []
    /// What cannot be done, for the administrator.
    public var problems: [String] = []
    /// Of each switch, the uplinks in use and by, in order of preference.
    public var uplinks: [String: [String]] = [:]
    /// Of each vmkernel port that could be connected, its switch.
    public var switchOfVMKNIC: [String: String] = [:]

    /// What is there.
    public struct Present: Equatable, Sendable {
        /// Adapters by their lasting names.
        public var adapters: [Adapter] = []
        /// Taps and the port groups they are connected to.
        public var taps: [(name: String, portGroup: String)] = []
        /// The uplinks each switch has now, by the switch's name.
        public var uplinks: [String: [String]] = [:]
        /// The addresses that vmkernel ports have now.
        public var vmknicAddresses: [String: MACAddress] = [:]
        /// The largest packets, in bytes, of vmkernel ports whose network was found to take no larger ones.
        public var vmknicMTUs: [String: UInt32] = [:]

        public init() {}

        public static func == (left: Present, right: Present) -> Bool {
            left.adapters == right.adapters && left.uplinks == right.uplinks
                && left.vmknicAddresses == right.vmknicAddresses && left.vmknicMTUs == right.vmknicMTUs
                && left.taps.elementsEqual(right.taps) { $0.name == $1.name && $0.portGroup == $1.portGroup }
        }
    }

    public static let nativeVLAN: UInt16 = 1
    private static let allVLANs: UInt16 = 4095

    private let settings: NetworkSettings
    private let present: Present
    private var groups: [String: PortGroupSettings] = [:]
    /// Native VLANs by switch.
    private var natives: [String: UInt16] = [:]

    public init(_ settings: NetworkSettings, _ present: Present) {
        self.settings = settings
        self.present = present
        for group in settings.portGroups where groups[group.name] == nil { groups[group.name] = group }
        for virtualSwitch in settings.switches where natives[virtualSwitch.name] == nil { add(virtualSwitch) }
        var names: Set<String> = []
        for vmknic in settings.vmknics where names.insert(vmknic.name).inserted { add(vmknic) }
        for tap in present.taps { add(tap: tap.name, tap.portGroup) }
        let used = Set(uplinks.values.joined())
        for adapter in present.adapters where !used.contains(adapter.link) {
            // Up, so that its link can be seen, and as it was built otherwise.
            var spare = DesiredLink(adapter.link, .foreign)
            spare.macAddress = adapter.macAddress
            links.append(spare)
        }
    }

    // MARK: Switches and uplinks

    private mutating func add(_ virtualSwitch: VirtualSwitchSettings) {
        guard !virtualSwitch.name.isEmpty else { return problems.append("a virtual switch has no name") }
        let mtu = min(max(virtualSwitch.mtu, 1280), 9000)
        if mtu != virtualSwitch.mtu {
            problems.append(
                "\(virtualSwitch.name): MTU \(virtualSwitch.mtu) is not between 1280 and 9000; \(mtu) is used")
        }
        let vlans = settings.portGroups.filter { $0.virtualSwitch == virtualSwitch.name }.map(\.vlan)
        let native = Self.native(vlans)
        natives[virtualSwitch.name] = native
        var bridge = DesiredLink(LinkNames.bridge(of: virtualSwitch.name), .bridge)
        bridge.mtu = mtu
        bridge.alias = LinkMark.ours("switch:\(virtualSwitch.name)")
        links.append(bridge)

        let chosen = chooseUplinks(virtualSwitch)
        uplinks[virtualSwitch.name] = chosen
        var tagged = Set(vlans.filter { (1...4094).contains($0) })
        if vlans.contains(Self.allVLANs) { tagged = Set(1...4094) }
        var uplink = DesiredLink(chosen.first ?? "", .foreign)
        if chosen.count > 1 {
            var bond = DesiredLink(
                LinkNames.bond(of: virtualSwitch.name), .bond(Self.teaming(virtualSwitch, first: chosen.first)))
            bond.alias = LinkMark.ours("uplinks:\(virtualSwitch.name)")
            for name in chosen {
                var adapter = DesiredLink(name, .foreign)
                adapter.master = bond.name
                links.append(adapter)
            }
            uplink = bond
        }
        guard let first = chosen.first, let adapter = present.adapters.first(where: { $0.link == first }) else {
            return
        }
        uplink.master = bridge.name
        uplink.mtu = mtu
        uplink.macAddress = Self.stepAside(adapter.macAddress)
        uplink.vlans = PortVLANs(untagged: native, tagged: tagged)
        uplink.port = .init(learns: true, floods: true)
        // A bond is made before its adapters join it.
        links.insert(uplink, at: links.count - (chosen.count > 1 ? chosen.count : 0))
    }

    private static func native(_ vlans: [UInt16]) -> UInt16 {
        if !vlans.contains(nativeVLAN) { return nativeVLAN }
        return (2...4094).reversed().first { !vlans.contains($0) } ?? nativeVLAN
    }

    /// The adapters of a switch, the preferred first: those that are there.
    private mutating func chooseUplinks(_ virtualSwitch: VirtualSwitchSettings) -> [String] {
        let taken = Set(uplinks.values.joined())
        let there = present.adapters.filter { !taken.contains($0.link) }
            .sorted { (AdapterNames.number(of: $0.link) ?? .max) < (AdapterNames.number(of: $1.link) ?? .max) }
        if virtualSwitch.activeUplinks == ["*"] {
            // Not moved without need: the one in use stays, unless it has no link and another one has.
            let reserved = Set(
                settings.switches.filter { $0.name != virtualSwitch.name }
                    .flatMap { $0.activeUplinks + $0.standbyUplinks })
            let candidates = there.filter { !reserved.contains($0.link) }
            let current = candidates.first { present.uplinks[virtualSwitch.name]?.contains($0.link) == true }
            if let current, current.hasLink { return [current.link] }
            return [(candidates.first { $0.hasLink } ?? current ?? candidates.first)?.link].compactMap { $0 }
        }
        var active: [Adapter] = []
        var standby: [Adapter] = []
        var seen: Set<String> = []
        for (name, isActive) in virtualSwitch.activeUplinks.map({ ($0, true) })
            + virtualSwitch.standbyUplinks.map({ ($0, false) }) where seen.insert(name).inserted
        {
            if taken.contains(name) {
                problems.append("\(virtualSwitch.name): \(name) is another switch's uplink")
            } else if let adapter = there.first(where: { $0.link == name }) {
                if isActive { active.append(adapter) } else { standby.append(adapter) }
            } else {
                problems.append("\(virtualSwitch.name): there is no adapter \(name)")
            }
        }
        // A bond that spreads packets knows no ports that stand by: they replace the others when none of those has a link.
        if virtualSwitch.teaming == .ipHash, !active.isEmpty, !standby.isEmpty {
            let useStandby = !active.contains(where: \.hasLink) && standby.contains(where: \.hasLink)
            return (useStandby ? standby : active).map(\.link)
        }
        return (active + standby).map(\.link)
    }

    /// The bond that stands for a teaming policy; docs/formats/network.md says why.
    static func teaming(_ virtualSwitch: VirtualSwitchSettings, first: String?) -> DesiredLink.Teaming {
        switch virtualSwitch.teaming {
        case .ipHash:
            .init(mode: .balanceXOR, hashPolicy: .layer2And3, primary: nil, reselect: .always)
        case .sourcePort, .sourceMAC, .explicit:
            .init(
                mode: .activeBackup, hashPolicy: .layer2, primary: first,
                reselect: virtualSwitch.failback ? .always : .failure)
        }
    }

    /// The address of an adapter whose own one a vmkernel port has: locally administered, and never the same.
    static func stepAside(_ address: MACAddress) -> MACAddress {
        MACAddress(number: (address.number ^ 0x0400_0000_0000) | 0x0200_0000_0000)
    }

    // MARK: Ports

    /// Where a port group's ports are: its bridge, the switch's settings, and the VLANs; nil if it leads nowhere.
    private func place(of group: String) -> (bridge: String, virtualSwitch: VirtualSwitchSettings, vlans: PortVLANs)? {
        guard let group = groups[group], let native = natives[group.virtualSwitch],
            let virtualSwitch = settings.switches.first(where: { $0.name == group.virtualSwitch })
        else { return nil }
        let vlans: PortVLANs
        switch group.vlan {
        case 1...4094: vlans = PortVLANs(untagged: group.vlan)
        case Self.allVLANs: vlans = PortVLANs(untagged: native, tagged: Set(1...4094))
        default: vlans = PortVLANs(untagged: native)
        }
        return (LinkNames.bridge(of: virtualSwitch.name), virtualSwitch, vlans)
    }

    private mutating func add(_ vmknic: VMKNICSettings) {
        guard LinkNames.isVMKNIC(vmknic.name) else {
            return problems.append("\"\(vmknic.name)\" is no vmkernel port's name: vmk0, vmk1 …")
        }
        guard let place = place(of: vmknic.portGroup) else {
            return problems.append("\(vmknic.name): there is no port group \"\(vmknic.portGroup)\"")
        }
        let mtu = min(max(place.virtualSwitch.mtu, 1280), 9000)
        let plug = LinkNames.plug(of: vmknic.name)
        let mark = LinkMark.ours("vmknic:\(vmknic.name)")
        var host = DesiredLink(vmknic.name, .pair(peer: plug))
        host.mtu = min(mtu, present.vmknicMTUs[vmknic.name] ?? mtu)
        host.ipv6 = vmknic.ipv6
        host.macAddress = address(of: vmknic, place.virtualSwitch.name)
        host.alias = mark
        var port = DesiredLink(plug, .pair(peer: vmknic.name))
        port.mtu = mtu
        port.master = place.bridge
        port.vlans = place.vlans
        port.port = .init(learns: true, floods: true)
        port.alias = mark
        links += [host, port]
        switchOfVMKNIC[vmknic.name] = place.virtualSwitch.name
    }

    /// The first vmkernel port of a switch has its first uplink's address; others have made-up ones (VMware's range for made-up
    /// addresses, 00:50:56:60:00:00 and up, as ESXi takes), which stay as long as that uplink does.
    private func address(of vmknic: VMKNICSettings, _ virtualSwitch: String) -> MACAddress? {
        guard let name = uplinks[virtualSwitch]?.first,
            let adapter = present.adapters.first(where: { $0.link == name })
        else { return nil }
        let first = settings.vmknics.first { groups[$0.portGroup]?.virtualSwitch == virtualSwitch }
        if first?.name == vmknic.name {
            // Another order of the uplinks is no reason to become somebody else for DHCP servers and neighbours.
            let own = present.adapters.filter { uplinks[virtualSwitch]?.contains($0.link) == true }.map(\.macAddress)
            if let current = present.vmknicAddresses[vmknic.name], own.contains(current) { return current }
            return adapter.macAddress
        }
        let number = UInt64(vmknic.name.dropFirst(3)) ?? 0
        let low = (adapter.macAddress.number &+ number &* 0x1_0001) & 0xf_ffff
        return MACAddress(number: 0x0050_5660_0000 | low)
    }

    private mutating func add(tap: String, _ group: String) {
        var port = DesiredLink(tap, .foreign)
        port.alias = LinkMark.port(of: group)
        if let place = place(of: group) {
            port.master = place.bridge
            port.mtu = min(max(place.virtualSwitch.mtu, 1280), 9000)
            port.vlans = place.vlans
            port.port = .init(learns: true, floods: true)
        } else {
            problems.append("\(tap): there is no port group \"\(group)\"; it is not connected")
        }
        links.append(port)
    }
}
