public import Addresses

/// An address for a time, and what a server tells about the network.
public struct DHCPLease: Equatable, Sendable {
    public var address: IPv4Address
    public var prefix: UInt8
    public var server: IPv4Address
    /// Seconds from when it was asked for; nil: for ever.
    public var seconds: UInt32?
    /// Seconds until the server is asked for more time (T1).
    public var renewalSeconds: UInt32
    /// Seconds until any server is asked (T2).
    public var rebindingSeconds: UInt32
    /// Ways to other networks, the default one included.
    public var routes: [Route] = []
    public var nameServers: [IPv4Address] = []
    public var domain: String?
    public var searchDomains: [String] = []
    public var hostName: String?
    /// Largest packet in bytes.
    public var mtu: UInt16?
    public var ntpServers: [IPv4Address] = []

    public struct Route: Hashable, Sendable {
        public var network: IPv4Address
        public var prefix: UInt8
        /// nil: the network is on the link itself.
        public var router: IPv4Address?

        public init(network: IPv4Address, prefix: UInt8, router: IPv4Address?) {
            self.network = network
            self.prefix = prefix
            self.router = router
        }
    }

    /// No server is taken seriously that wants to be asked more often than this.
    static let secondsMin: UInt32 = 60
    /// What `leaseTime` is when there is no end (RFC 2131, section 3.3).
    static let forever: UInt32 = .max

    /// What an offer or an acknowledgement gives; nil if something that is needed is missing or cannot be.
    public init?(_ message: DHCPMessage) {
        let options = message.options
        guard Self.isHost(message.yourAddress), let server = options.address(.serverIdentifier), Self.isHost(server),
            let time = options.number(.leaseTime), time > 0
        else { return nil }
        address = message.yourAddress
        self.server = server
        seconds = time == Self.forever ? nil : max(time, Self.secondsMin)
        let length = seconds ?? Self.forever
        // RFC 2131, section 4.4.5: half and seven eighths of the time, unless the server has a better idea that is one.
        let t2 = options.number(.rebindingTime).flatMap { $0 > 0 && $0 < length ? $0 : nil } ?? length / 8 * 7
        rebindingSeconds = t2
        renewalSeconds = options.number(.renewalTime).flatMap { $0 > 0 && $0 < t2 ? $0 : nil } ?? min(length / 2, t2)
        prefix =
            options.address(.subnetMask)?.prefixOfMask.flatMap { $0 == 0 ? nil : UInt8($0) }
            ?? Self.prefixOfClass(address)
        // RFC 3442: whoever sends these routes means no others.
        if let routes = options.classlessRoutes {
            self.routes = routes
        } else if let router = options.addresses(.routers).first(where: Self.isHost) {
            routes = [Route(network: IPv4Address(number: 0), prefix: 0, router: router)]
        }
        nameServers = Array(options.addresses(.nameServers).filter(Self.isHost).prefix(8))
        ntpServers = Array(options.addresses(.ntpServers).filter(Self.isHost).prefix(8))
        domain = options.name(.domainName)
        searchDomains = options.searchDomains
        hostName = options.name(.hostName)
        // RFC 2132, section 5.1: at least 68; less than 576 can hardly be meant (RFC 791).
        mtu = options.short(.mtu).flatMap { $0 >= 576 ? $0 : nil }
    }

    init(address: IPv4Address, prefix: UInt8, server: IPv4Address, seconds: UInt32?, renewal: UInt32, rebinding: UInt32)
    {
        self.address = address
        self.prefix = prefix
        self.server = server
        self.seconds = seconds
        renewalSeconds = renewal
        rebindingSeconds = rebinding
    }

    /// The way out.
    public var gateway: IPv4Address? { routes.first { $0.prefix == 0 }?.router }

    /// Whether an address can be one host's: not zero, loopback, multicast or broadcast.
    static func isHost(_ address: IPv4Address) -> Bool {
        let first = address.number >> 24
        return first != 0 && first != 127 && first < 224
    }

    /// What a network had before there were masks (RFC 791, section 3.2).
    private static func prefixOfClass(_ address: IPv4Address) -> UInt8 {
        switch address.number >> 24 {
        case 0..<128: 8
        case 128..<192: 16
        default: 24
        }
    }
}
