public import Addresses
import CLinux

extension NetworkConfiguration {
    /// Every link of this network, by its number.
    public mutating func links() throws(SystemError) -> [NetworkLink] {
        let request = linkRequest(RTM_GETLINK, flags: NLM_F_DUMP)
        let messages = try netlink.dump(request, "list network links")
        return messages.compactMap { Int($0.type) == RTM_NEWLINK ? NetworkLink($0) : nil }.sorted {
            $0.index < $1.index
        }
    }

    /// Makes a bridge that keeps VLANs apart and puts new ports into none. As
    /// `ip link add NAME type bridge vlan_filtering 1 vlan_default_pvid 0`.
    public mutating func addVLANBridge(_ name: String, alias: String = "") throws(SystemError) {
        var request = linkRequest(RTM_NEWLINK, flags: NLM_F_CREATE | NLM_F_EXCL)
        request.attribute(IFLA_IFNAME, name)
        request.nest(IFLA_LINKINFO) { information in
            information.attribute(IFLA_INFO_KIND, "bridge")
            information.nest(IFLA_INFO_DATA) { data in
                data.attribute(IFLA_BR_VLAN_FILTERING, UInt8(1))
                data.attribute(IFLA_BR_VLAN_DEFAULT_PVID, UInt16(0))
                // No spanning tree, so a port need not wait before it forwards.
                data.attribute(IFLA_BR_FORWARD_DELAY, UInt32(0))
                // There is no querier in here that would keep multicast groups known.
                data.attribute(IFLA_BR_MCAST_SNOOPING, UInt8(0))
            }
        }
        try netlink.perform(request, "create virtual switch", name)
        try setAlias(of: name, to: alias)
    }

    /// Makes a bond without ports. As `ip link add NAME type bond …`.
    public mutating func addBond(_ name: String, _ options: BondOptions, alias: String = "") throws(SystemError) {
        var request = linkRequest(RTM_NEWLINK, flags: NLM_F_CREATE | NLM_F_EXCL)
        request.attribute(IFLA_IFNAME, name)
        request.nest(IFLA_LINKINFO) { information in
            information.attribute(IFLA_INFO_KIND, "bond")
            information.nest(IFLA_INFO_DATA) { data in
                data.attribute(IFLA_BOND_MODE, options.mode.rawValue)
                data.attribute(IFLA_BOND_MIIMON, options.monitorMilliseconds)
                if options.mode == .activeBackup {
                    data.attribute(IFLA_BOND_PRIMARY_RESELECT, options.reselect.rawValue)
                } else {
                    data.attribute(IFLA_BOND_XMIT_HASH_POLICY, options.hashPolicy.rawValue)
                }
            }
        }
        try netlink.perform(request, "create team of adapters", name)
        try setAlias(of: name, to: alias)
    }

    /// Says which port of a bond in active-backup mode is preferred, and when it is taken again.
    public mutating func setPreference(
        of bond: String, primary: String?, reselect: BondOptions.Reselect
    ) throws(SystemError) {
        var index: UInt32 = 0
        if let primary { index = try Self.index(of: primary) }
        var request = linkRequest(RTM_NEWLINK, index: try Self.index(of: bond))
        request.nest(IFLA_LINKINFO) { information in
            information.attribute(IFLA_INFO_KIND, "bond")
            information.nest(IFLA_INFO_DATA) { data in
                data.attribute(IFLA_BOND_PRIMARY, index)
                data.attribute(IFLA_BOND_PRIMARY_RESELECT, reselect.rawValue)
            }
        }
        try netlink.perform(request, "set preferred adapter of team", bond)
    }

    /// Makes two links that are each other's cable. As `ip link add NAME type veth peer name PEER`.
    public mutating func addPair(_ name: String, _ peer: String, alias: String = "") throws(SystemError) {
        var request = linkRequest(RTM_NEWLINK, flags: NLM_F_CREATE | NLM_F_EXCL)
        request.attribute(IFLA_IFNAME, name)
        request.nest(IFLA_LINKINFO) { information in
            information.attribute(IFLA_INFO_KIND, "veth")
            information.nest(IFLA_INFO_DATA) { data in
                data.nest(Int(VETH_INFO_PEER)) { peerRequest in
                    // struct ifinfomsg of the peer.
                    for _ in 0..<4 { peerRequest.append(UInt32(0)) }
                    peerRequest.attribute(IFLA_IFNAME, peer)
                }
            }
        }
        try netlink.perform(request, "create port", name)
        try setAlias(of: name, to: alias)
        try setAlias(of: peer, to: alias)
    }

    /// Gives a link a text to be known by. As `ip link set NAME alias TEXT`.
    public mutating func setAlias(of link: String, to text: String) throws(SystemError) {
        if text.isEmpty { return }
        var request = linkRequest(RTM_NEWLINK, index: try Self.index(of: link))
        // Without a null byte, unlike a name: the kernel keeps what it is given.
        request.attribute(IFLA_IFALIAS, Array(text.utf8.prefix(255)))
        try netlink.perform(request, "name link", link)
    }

    /// Gives a link an Ethernet address. Some drivers take it only while the link is down.
    public mutating func setMACAddress(of link: String, to address: MACAddress) throws(SystemError) {
        var request = linkRequest(RTM_NEWLINK, index: try Self.index(of: link))
        request.attribute(IFLA_ADDRESS, address.bytes)
        try netlink.perform(request, "set MAC address \(address) of link", link)
    }

    /// Says how a bridge treats a port.
    public mutating func setBridgePort(_ link: String, _ options: NetworkLink.BridgePort) throws(SystemError) {
        var request = linkRequest(RTM_NEWLINK, index: try Self.index(of: link))
        request.nest(IFLA_LINKINFO) { information in
            information.attribute(IFLA_INFO_SLAVE_KIND, "bridge")
            information.nest(IFLA_INFO_SLAVE_DATA) { data in
                data.attribute(IFLA_BRPORT_LEARNING, UInt8(options.learns ? 1 : 0))
                data.attribute(IFLA_BRPORT_UNICAST_FLOOD, UInt8(options.floods ? 1 : 0))
            }
        }
        try netlink.perform(request, "set up switch port", link)
    }
}

extension NetworkConfiguration {
    /// Moves a link to another network (namespaces(7)), where it begins without addresses and switched off.
    ///
    /// - Parameter network: a descriptor of that network, such as `/proc/thread-self/ns/net` opened by a thread in it.
    public mutating func move(_ link: String, to network: CInt) throws(SystemError) {
        var request = linkRequest(RTM_NEWLINK, index: try Self.index(of: link))
        request.attribute(IFLA_NET_NS_FD, UInt32(bitPattern: network))
        try netlink.perform(request, "move link", link)
    }
}
