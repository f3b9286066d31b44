public import Addresses
public import Messages

/// The host's network as it is now.
public struct NetworkStatus: MessageField, Equatable, Sendable {
    /// What the host is called now.
    public var hostName = ""
    /// The host's name came from DHCP.
    public var isHostNameFromDHCP = false
    public var adapters: [AdapterStatus] = []
    public var switches: [SwitchStatus] = []
    public var vmknics: [VMKNICStatus] = []
    /// The way out.
    public var gateway: IPv4Address?
    public var ipv6Gateway: IPv6Address?
    /// In the order they are asked.
    public var dnsServers: [IPv4Address] = []
    public var searchDomains: [String] = []
    /// Servers and suffixes came from DHCP.
    public var isDNSFromDHCP = false
    /// Time servers that DHCP names.
    public var ntpServers: [IPv4Address] = []
    /// Seconds until settings on trial are taken back; nil: none are on trial.
    public var trialSecondsLeft: UInt32?
    /// What of the settings could not be made so, each a sentence for the administrator.
    public var problems: [String] = []

    public init() {}

    public init(from reader: inout FieldReader) throws(MessageError) {
        hostName = try reader.read()
        isHostNameFromDHCP = try reader.read()
        adapters = try reader.read()
        switches = try reader.read()
        vmknics = try reader.read()
        gateway = try reader.read()
        ipv6Gateway = try reader.read()
        dnsServers = try reader.read()
        searchDomains = try reader.read()
        isDNSFromDHCP = try reader.read()
        ntpServers = try reader.read()
        trialSecondsLeft = try reader.read()
        problems = try reader.read()
    }

    public func write(to writer: inout FieldWriter) {
        writer.write(hostName)
        writer.write(isHostNameFromDHCP)
        writer.write(adapters)
        writer.write(switches)
        writer.write(vmknics)
        writer.write(gateway)
        writer.write(ipv6Gateway)
        writer.write(dnsServers)
        writer.write(searchDomains)
        writer.write(isDNSFromDHCP)
        writer.write(ntpServers)
        writer.write(trialSecondsLeft)
        writer.write(problems)
    }

    /// The address to reach the host at: a management port's, a routable one before a link-local one.
    public var managementAddress: IPv4Address? {
        let management = vmknics.filter(\.isManagement).compactMap(\.ipv4)
        return (management.first { !$0.address.isLinkLocal } ?? management.first)?.address
    }
}

/// A physical adapter.
public struct AdapterStatus: MessageField, Equatable, Sendable {
    /// `vmnicN`.
    public var name = ""
    /// The one burnt in.
    public var macAddress = ""
    /// Where it sits, such as `0000:01:00.0`.
    public var bus = ""
    public var driver = ""
    /// Maker and device by their PCI numbers, such as `8086:1521`; empty for others.
    public var hardware = ""
    public var hasLink = false
    /// Mbit/s; 0 if unknown or without link.
    public var speed: UInt32 = 0
    public var isFullDuplex = false
    /// Whose uplink it is; empty for none.
    public var virtualSwitch = ""
    /// Carries traffic of its switch now, as opposed to standing by.
    public var isActive = false

    public init() {}

    public init(from reader: inout FieldReader) throws(MessageError) {
        name = try reader.read()
        macAddress = try reader.read()
        bus = try reader.read()
        driver = try reader.read()
        hardware = try reader.read()
        hasLink = try reader.read()
        speed = try reader.read()
        isFullDuplex = try reader.read()
        virtualSwitch = try reader.read()
        isActive = try reader.read()
    }

    public func write(to writer: inout FieldWriter) {
        writer.write(name)
        writer.write(macAddress)
        writer.write(bus)
        writer.write(driver)
        writer.write(hardware)
        writer.write(hasLink)
        writer.write(speed)
        writer.write(isFullDuplex)
        writer.write(virtualSwitch)
        writer.write(isActive)
    }
}

/// A virtual switch.
public struct SwitchStatus: MessageField, Equatable, Sendable {
    public var name = ""
    /// Those that are there and connected.
    public var uplinks: [String] = []
    public var mtu: UInt32 = 0
    public var portGroups: [PortGroupStatus] = []

    public init() {}

    public init(from reader: inout FieldReader) throws(MessageError) {
        name = try reader.read()
        uplinks = try reader.read()
        mtu = try reader.read()
        portGroups = try reader.read()
    }

    public func write(to writer: inout FieldWriter) {
        writer.write(name)
        writer.write(uplinks)
        writer.write(mtu)
        writer.write(portGroups)
    }
}

/// A port group and who is connected to it.
public struct PortGroupStatus: MessageField, Equatable, Sendable {
    public var name = ""
    public var vlan: UInt16 = 0
    /// Names of vmkernel ports and virtual machines' taps.
    public var ports: [String] = []

    public init() {}

    public init(from reader: inout FieldReader) throws(MessageError) {
        name = try reader.read()
        vlan = try reader.read()
        ports = try reader.read()
    }

    public func write(to writer: inout FieldWriter) {
        writer.write(name)
        writer.write(vlan)
        writer.write(ports)
    }
}

/// A vmkernel port.
public struct VMKNICStatus: MessageField, Equatable, Sendable {
    /// `vmkN`.
    public var name = ""
    public var portGroup = ""
    public var macAddress = ""
    public var mtu: UInt32 = 0
    public var isManagement = false
    /// An uplink of its switch has a link.
    public var hasLink = false
    /// nil while it has none.
    public var ipv4: IPv4Status?
    public var ipv6: [IPv6Status] = []
    public var dhcp = DHCPState.off
    /// Who gave the lease.
    public var dhcpServer: IPv4Address?
    /// Seconds until the lease ends; nil: no lease, or one without end.
    public var leaseSecondsLeft: UInt32?

    public init() {}

    public init(from reader: inout FieldReader) throws(MessageError) {
        name = try reader.read()
        portGroup = try reader.read()
        macAddress = try reader.read()
        mtu = try reader.read()
        isManagement = try reader.read()
        hasLink = try reader.read()
        ipv4 = try reader.read()
        ipv6 = try reader.read()
        dhcp = try reader.read()
        dhcpServer = try reader.read()
        leaseSecondsLeft = try reader.read()
    }

    public func write(to writer: inout FieldWriter) {
        writer.write(name)
        writer.write(portGroup)
        writer.write(macAddress)
        writer.write(mtu)
        writer.write(isManagement)
        writer.write(hasLink)
        writer.write(ipv4)
        writer.write(ipv6)
        writer.write(dhcp)
        writer.write(dhcpServer)
        writer.write(leaseSecondsLeft)
    }
}

/// How far the DHCP client is.
public enum DHCPState: UInt8, MessageField, Sendable {
    case off = 0
    /// No cable.
    case waitingForLink
    /// Asking, without an answer yet.
    case searching
    /// Taking what a server offered.
    case requesting
    case bound
    /// Asking for more time; the address is still good.
    case renewing
}

/// Where an address is from.
public enum AddressOrigin: UInt8, MessageField, Sendable {
    /// The settings, or the kernel's command line.
    case fixed = 1
    case dhcp
    /// Chosen by the host itself, good on its own network only.
    case linkLocal
    /// Made from a router's advertisement.
    case advertised
}

public struct IPv4Status: MessageField, Equatable, Sendable {
    public var address: IPv4Address
    public var prefix: UInt8
    public var origin: AddressOrigin

    public init(address: IPv4Address, prefix: UInt8, origin: AddressOrigin) {
        self.address = address
        self.prefix = prefix
        self.origin = origin
    }

    public init(from reader: inout FieldReader) throws(MessageError) {
        address = try reader.read()
        prefix = try reader.read()
        origin = try reader.read()
    }

    public func write(to writer: inout FieldWriter) {
        writer.write(address)
        writer.write(prefix)
        writer.write(origin)
    }
}

public struct IPv6Status: MessageField, Equatable, Sendable {
    public var network: IPv6Network
    public var origin: AddressOrigin

    public init(network: IPv6Network, origin: AddressOrigin) {
        self.network = network
        self.origin = origin
    }

    public init(from reader: inout FieldReader) throws(MessageError) {
        let address: IPv6Address = try reader.read()
        let prefix: UInt8 = try reader.read()
        guard let network = IPv6Network(address: address, prefix: prefix) else {
            throw .unknownValue(UInt64(prefix))
        }
        self.network = network
        origin = try reader.read()
    }

    public func write(to writer: inout FieldWriter) {
        writer.write(network.address)
        writer.write(network.prefix)
        writer.write(origin)
    }
}

extension IPv4Address: MessageField {
    public func write(to writer: inout FieldWriter) { writer.write(number) }
    public init(from reader: inout FieldReader) throws(MessageError) { self.init(number: try reader.read()) }
}

extension IPv6Address: MessageField {
    public func write(to writer: inout FieldWriter) { writer.raw(bytes) }
    public init(from reader: inout FieldReader) throws(MessageError) {
        guard let address = IPv6Address(bytes: try reader.raw(16)) else { throw .truncated }
        self = address
    }
}
