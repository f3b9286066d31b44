public import Addresses
import CLinux

/// An address of a link.
public enum LinkAddress: Hashable, Sendable, CustomStringConvertible {
    case ipv4(IPv4Address, prefix: UInt8)
    case ipv6(IPv6Network)

    public var description: String {
        switch self {
        case .ipv4(let address, let prefix): "\(address)/\(prefix)"
        case .ipv6(let network): "\(network)"
        }
    }
}

/// An address that a link has now.
public struct PresentAddress: Equatable, Sendable {
    /// The link's number.
    public var link: UInt32
    public var address: LinkAddress
    /// Set by an administrator or an agent, as opposed to what the kernel made from an advertisement.
    public var isPermanent: Bool
    /// Not yet known to be nobody else's, or known to be somebody's (IPv6).
    public var isTentative: Bool
}

/// A way to other networks, in the main table.
public struct NetworkRoute: Hashable, Sendable {
    /// Who made it: the kernel's numbers (linux/rtnetlink.h, RTPROT_*).
    public enum Origin: UInt8, Sendable {
        case kernel = 2
        case boot = 3
        case administrator = 4
        case advertisement = 9
        case dhcp = 16
        case other = 0
    }

    /// Network and length of its prefix; nil for the way to everywhere else.
    public var destination: LinkAddress?
    /// nil: the network is on the link itself.
    public var gateway: Gateway?
    /// The link's number.
    public var link: UInt32
    public var origin: Origin
    /// Of equal ways the one with the lowest number is used.
    public var metric: UInt32

    public enum Gateway: Hashable, Sendable, CustomStringConvertible {
        case ipv4(IPv4Address)
        case ipv6(IPv6Address)

        public var description: String {
            switch self {
            case .ipv4(let address): "\(address)"
            case .ipv6(let address): "\(address)"
            }
        }
    }

    public init(
        destination: LinkAddress? = nil, gateway: Gateway? = nil, link: UInt32, origin: Origin = .administrator,
        metric: UInt32 = 0
    ) {
        self.destination = destination
        self.gateway = gateway
        self.link = link
        self.origin = origin
        self.metric = metric
    }

    var isIPv6: Bool {
        if case .ipv6 = destination { return true }
        if case .ipv6 = gateway { return true }
        return false
    }
}

extension NetworkConfiguration {
    /// The addresses of all links.
    public mutating func addresses() throws(SystemError) -> [PresentAddress] {
        var request = NetlinkRequest(RTM_GETADDR, flags: NLM_F_DUMP)
        for _ in 0..<2 { request.append(UInt32(0)) }
        return try netlink.dump(request, "list addresses").compactMap { message in
            guard Int(message.type) == RTM_NEWADDR, message.payload.count >= 8, let link = message.word(at: 4)
            else { return nil }
            // struct ifaddrmsg: family, prefix length, flags, scope, u32 index.
            let attributes = message.attributes(after: 8)
            let flags = attributes.word(Int(IFA_FLAGS)) ?? UInt32(message.payload[2])
            guard
                let bytes = attributes[Int(IFA_LOCAL)] ?? attributes[Int(IFA_ADDRESS)],
                let address = LinkAddress(bytes, prefix: message.payload[1])
            else { return nil }
            return PresentAddress(
                link: link, address: address, isPermanent: flags & UInt32(IFA_F_PERMANENT) != 0,
                isTentative: flags & UInt32(IFA_F_TENTATIVE | IFA_F_DADFAILED) != 0)
        }
    }

    /// Gives a link an address. One that is there already is no error.
    public mutating func add(_ address: LinkAddress, to link: String) throws(SystemError) {
        var request = try addressRequest(RTM_NEWADDR, address, link, flags: NLM_F_CREATE | NLM_F_REPLACE)
        // So that those who do not know their network's broadcast address need not be told.
        if case .ipv4(let number, let prefix) = address, prefix < 31 {
            let broadcast = IPv4Address(number: number.number | ~IPv4Address.mask(prefix: Int(prefix)).number)
            request.attribute(Int(IFA_BROADCAST), broadcast.bytes)
        }
        try netlink.perform(request, "add address \(address) to link", link)
    }

    /// Takes an address from a link. One that is not there is no error.
    public mutating func remove(_ address: LinkAddress, from link: String) throws(SystemError) {
        let request = try addressRequest(RTM_DELADDR, address, link)
        do { try netlink.perform(request, "remove address \(address) from link", link) } catch {
            if error.number != EADDRNOTAVAIL { throw error }
        }
    }

    private func addressRequest(
        _ type: Int, _ address: LinkAddress, _ link: String, flags: CInt = 0
    ) throws(SystemError) -> NetlinkRequest {
        var request = NetlinkRequest(type, flags: flags)
        request.append(address.family)
        request.append(address.prefix)
        request.append(UInt8(0))
        // RT_SCOPE_LINK for what is good only there, RT_SCOPE_UNIVERSE for others.
        request.append(UInt8(address.isLinkLocal ? 253 : 0))
        request.append(try Self.index(of: link))
        request.attribute(Int(IFA_LOCAL), address.bytes)
        request.attribute(Int(IFA_ADDRESS), address.bytes)
        return request
    }

    /// The ways of the main table, both families'.
    public mutating func routes() throws(SystemError) -> [NetworkRoute] {
        var result: [NetworkRoute] = []
        for family in [AF_INET, AF_INET6] {
            var request = NetlinkRequest(RTM_GETROUTE, flags: NLM_F_DUMP)
            request.append(UInt8(family))
            for _ in 0..<3 { request.append(UInt8(0)) }
            for _ in 0..<2 { request.append(UInt32(0)) }
            for message in try netlink.dump(request, "list routes") where Int(message.type) == RTM_NEWROUTE {
                if let route = Self.route(message) { result.append(route) }
            }
        }
        return result
    }

    private static func route(_ message: NetlinkMessage) -> NetworkRoute? {
        // struct rtmsg: family, destination and source prefix lengths, TOS, table, protocol, scope, type, u32 flags.
        guard message.payload.count >= 12, message.payload[7] == UInt8(RTN_UNICAST) else { return nil }
        let attributes = message.attributes(after: 12)
        let table = attributes.word(Int(RTA_TABLE.rawValue)) ?? UInt32(message.payload[4])
        guard table == UInt32(RT_TABLE_MAIN.rawValue), let link = attributes.word(Int(RTA_OIF.rawValue))
        else { return nil }
        let prefix = message.payload[1]
        var route = NetworkRoute(link: link, origin: .init(rawValue: message.payload[5]) ?? .other)
        route.metric = attributes.word(Int(RTA_PRIORITY.rawValue)) ?? 0
        if prefix > 0 {
            guard let bytes = attributes[Int(RTA_DST.rawValue)] else { return nil }
            route.destination = LinkAddress(bytes, prefix: prefix)
        }
        if let bytes = attributes[Int(RTA_GATEWAY.rawValue)] {
            switch LinkAddress(bytes, prefix: 0) {
            case .ipv4(let address, _): route.gateway = .ipv4(address)
            case .ipv6(let network): route.gateway = .ipv6(network.address)
            case nil: return nil
            }
        }
        return route
    }

    /// Makes a way, or changes the one to the same network with the same metric.
    public mutating func add(_ route: NetworkRoute) throws(SystemError) {
        let request = routeRequest(RTM_NEWROUTE, route, flags: NLM_F_CREATE | NLM_F_REPLACE)
        try netlink.perform(request, "add route to", Self.name(of: route))
    }

    /// Removes a way. One that is not there is no error.
    public mutating func remove(_ route: NetworkRoute) throws(SystemError) {
        let request = routeRequest(RTM_DELROUTE, route)
        do { try netlink.perform(request, "remove route to", Self.name(of: route)) } catch {
            if error.number != ESRCH { throw error }
        }
    }

    private static func name(of route: NetworkRoute) -> String {
        let target = route.destination.map { "\($0)" } ?? "everywhere"
        return route.gateway.map { "\(target) by \($0)" } ?? target
    }

    private func routeRequest(_ type: Int, _ route: NetworkRoute, flags: CInt = 0) -> NetlinkRequest {
        var request = NetlinkRequest(type, flags: flags)
        let family = UInt8(route.isIPv6 ? AF_INET6 : AF_INET)
        // A network on the link itself has RT_SCOPE_LINK in IPv4; IPv6 knows no scopes.
        let scope = UInt8(route.gateway == nil && !route.isIPv6 ? 253 : 0)
        let fixed: [UInt8] = [
            family, route.destination?.prefix ?? 0, 0, 0, UInt8(RT_TABLE_MAIN.rawValue), route.origin.rawValue, scope,
            UInt8(RTN_UNICAST),
        ]
        for byte in fixed { request.append(byte) }
        request.append(UInt32(0))
        if let destination = route.destination { request.attribute(Int(RTA_DST.rawValue), destination.bytes) }
        switch route.gateway {
        case .ipv4(let address): request.attribute(Int(RTA_GATEWAY.rawValue), address.bytes)
        case .ipv6(let address): request.attribute(Int(RTA_GATEWAY.rawValue), address.bytes)
        case nil: break
        }
        request.attribute(Int(RTA_OIF.rawValue), route.link)
        if route.metric > 0 { request.attribute(Int(RTA_PRIORITY.rawValue), route.metric) }
        return request
    }
}

extension LinkAddress {
    /// - Returns: nil unless there are 4 or 16 bytes and the prefix fits them.
    init?(_ bytes: ArraySlice<UInt8>, prefix: UInt8) {
        switch bytes.count {
        case 4:
            guard prefix <= 32 else { return nil }
            self = .ipv4(IPv4Address(number: bytes.reduce(0) { $0 << 8 | UInt32($1) }), prefix: prefix)
        case 16:
            guard let address = IPv6Address(bytes: bytes),
                let network = IPv6Network(address: address, prefix: prefix)
            else { return nil }
            self = .ipv6(network)
        default: return nil
        }
    }

    fileprivate var family: UInt8 {
        switch self {
        case .ipv4: UInt8(AF_INET)
        case .ipv6: UInt8(AF_INET6)
        }
    }

    fileprivate var prefix: UInt8 {
        switch self {
        case .ipv4(_, let prefix): prefix
        case .ipv6(let network): network.prefix
        }
    }

    fileprivate var bytes: [UInt8] {
        switch self {
        case .ipv4(let address, _): address.bytes
        case .ipv6(let network): network.address.bytes
        }
    }

    /// 169.254.0.0/16 or fe80::/10.
    public var isLinkLocal: Bool {
        switch self {
        case .ipv4(let address, _): address.isLinkLocal
        case .ipv6(let network): network.address.isLinkLocal
        }
    }
}
