public import Addresses
import CLinux

/// Changes to the host's network: links, bridges, addresses, routes (rtnetlink, `linux/rtnetlink.h`).
public struct NetworkConfiguration: ~Copyable {
    var netlink: NetlinkSocket

    public init() throws(SystemError) { netlink = try NetlinkSocket(family: NETLINK_ROUTE) }

    /// The kernel's number for a link.
    public static func index(of link: String) throws(SystemError) -> UInt32 {
        let index = unsafe if_nametoindex(link)
        if index == 0 { throw SystemError.last("find network link", link) }
        return index
    }

    /// Makes an Ethernet bridge. As `ip link add NAME type bridge`.
    public mutating func addBridge(_ name: String) throws(SystemError) {
        var request = linkRequest(RTM_NEWLINK, flags: NLM_F_CREATE | NLM_F_EXCL)
        request.attribute(IFLA_IFNAME, name)
        request.nest(IFLA_LINKINFO) { $0.attribute(IFLA_INFO_KIND, "bridge") }
        try netlink.perform(request, "create bridge", name)
    }

    /// Removes a link. As `ip link delete NAME`.
    public mutating func delete(_ link: String) throws(SystemError) {
        let request = linkRequest(RTM_DELLINK, index: try Self.index(of: link))
        try netlink.perform(request, "delete link", link)
    }

    /// Switches a link on or off. As `ip link set NAME up`.
    public mutating func setUp(_ link: String, _ up: Bool = true) throws(SystemError) {
        let request = linkRequest(
            RTM_NEWLINK, index: try Self.index(of: link), change: 1 /* IFF_UP */, state: up ? 1 : 0)
        try netlink.perform(request, up ? "bring up link" : "take down link", link)
    }

    /// Makes a link a port of a bridge, or of none. As `ip link set NAME master BRIDGE`.
    public mutating func setMaster(of link: String, to bridge: String?) throws(SystemError) {
        var request = linkRequest(RTM_NEWLINK, index: try Self.index(of: link))
        let master: UInt32
        if let bridge { master = try Self.index(of: bridge) } else { master = 0 }
        request.attribute(IFLA_MASTER, master)
        try netlink.perform(request, "attach to bridge \(bridge ?? "none") link", link)
    }

    /// Gives a link that is down another name. As `ip link set OLD name NEW`.
    public mutating func rename(_ link: String, to name: String) throws(SystemError) {
        var request = linkRequest(RTM_NEWLINK, index: try Self.index(of: link))
        request.attribute(IFLA_IFNAME, name)
        try netlink.perform(request, "rename to \(name) link", link)
    }

    /// Sets a link's largest packet in bytes. As `ip link set NAME mtu BYTES`.
    public mutating func setMTU(of link: String, to size: UInt32) throws(SystemError) {
        var request = linkRequest(RTM_NEWLINK, index: try Self.index(of: link))
        request.attribute(IFLA_MTU, size)
        try netlink.perform(request, "set MTU \(size) of link", link)
    }

    /// Gives a link an address. As `ip address add ADDRESS/PREFIX dev NAME`.
    public mutating func add(_ address: IPv4Address, prefix: UInt8, to link: String) throws(SystemError) {
        var request = NetlinkRequest(RTM_NEWADDR, flags: NLM_F_CREATE | NLM_F_REPLACE)
        request.append(UInt8(AF_INET))
        request.append(prefix)
        request.append(UInt8(0))
        request.append(UInt8(0))
        request.append(try Self.index(of: link))
        request.attribute(IFA_LOCAL, address.bytes)
        request.attribute(IFA_ADDRESS, address.bytes)
        try netlink.perform(request, "add address \(address)/\(prefix) to link", link)
    }

    /// Sends what has no better route to a gateway. As `ip route replace default via GATEWAY`.
    public mutating func setDefaultGateway(_ gateway: IPv4Address) throws(SystemError) {
        var request = NetlinkRequest(RTM_NEWROUTE, flags: NLM_F_CREATE | NLM_F_REPLACE)
        // struct rtmsg: family, destination and source prefix lengths, TOS, table, protocol, scope, type, flags.
        let fixed: [UInt8] = [
            UInt8(AF_INET), 0, 0, 0, UInt8(RT_TABLE_MAIN.rawValue), UInt8(RTPROT_STATIC),
            UInt8(RT_SCOPE_UNIVERSE.rawValue), UInt8(RTN_UNICAST),
        ]
        for byte in fixed { request.append(byte) }
        request.append(UInt32(0))
        request.attribute(Int(RTA_GATEWAY.rawValue), gateway.bytes)
        try netlink.perform(request, "set default gateway", "\(gateway)")
    }

    /// A request about a link: struct ifinfomsg with `change` as the mask of flags to set to `state`.
    func linkRequest(
        _ type: Int, flags: CInt = 0, index: UInt32 = 0, change: UInt32 = 0, state: UInt32 = 0,
        family: UInt8 = UInt8(AF_UNSPEC)
    ) -> NetlinkRequest {
        var request = NetlinkRequest(type, flags: flags)
        request.append(family)
        request.append(UInt8(0))
        request.append(UInt16(0))
        request.append(index)
        request.append(state)
        request.append(change)
        return request
    }
}
