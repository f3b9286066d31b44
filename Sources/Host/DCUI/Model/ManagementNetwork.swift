public import Addresses
public import HostModel

/// The settings of the management network in one piece, as the console's dialogs show them: a vmkernel port, its port group, its
/// switch's adapters, and the host's names. Changes gather here until they are applied together.
public struct ManagementNetwork: Equatable, Sendable {
    /// Adapters in use; empty: the first that has a link.
    public var uplinks: [String]
    /// 0 none, 1 to 4094, 4095 all.
    public var vlan: UInt16
    public var ipv4: VMKNICSettings.IPv4Mode
    public var address: IPv4Address?
    public var prefix: UInt16
    public var gateway: IPv4Address?
    public var ipv6: Bool
    public var ipv6Automatic: Bool
    public var ipv6Addresses: [IPv6Network]
    public var ipv6Gateway: IPv6Address?
    public var dnsAutomatic: Bool
    public var dnsServers: [IPv4Address]
    public var searchDomains: [String]
    public var hostName: String

    /// As settings have it; defaults for parts that settings lack.
    public init(_ settings: HostSettings) {
        let port = settings.network.vmknics.first(where: \.isManagement) ?? .management
        let group = settings.network.portGroups.first { $0.name == port.portGroup } ?? .management
        let uplinks =
            settings.network.switches.first { $0.name == group.virtualSwitch }?.activeUplinks ?? []
        self.uplinks = uplinks.filter { $0 != "*" }
        vlan = group.vlan
        ipv4 = port.ipv4
        address = port.address
        prefix = port.prefix
        gateway = port.gateway
        ipv6 = port.ipv6
        ipv6Automatic = port.ipv6Automatic
        ipv6Addresses = port.ipv6Addresses
        ipv6Gateway = port.ipv6Gateway
        dnsAutomatic = settings.network.dns.isAutomatic
        dnsServers = settings.network.dns.servers
        searchDomains = settings.network.dns.searchDomains
        hostName = settings.hostName
    }

    /// Puts these values into settings, and parts that settings lack with them. Everything else stays.
    public func apply(to settings: inout HostSettings) {
        var network = settings.network
        if !network.vmknics.contains(where: \.isManagement) { network.vmknics.insert(.management, at: 0) }
        guard let index = network.vmknics.firstIndex(where: \.isManagement) else { return }
        if !network.portGroups.contains(where: { $0.name == network.vmknics[index].portGroup }) {
            if !network.portGroups.contains(where: { $0.name == PortGroupSettings.management.name }) {
                network.portGroups.append(.management)
            }
            network.vmknics[index].portGroup = PortGroupSettings.management.name
        }
        let groupName = network.vmknics[index].portGroup
        if let group = network.portGroups.firstIndex(where: { $0.name == groupName }) {
            network.portGroups[group].vlan = vlan
            let switchName = network.portGroups[group].virtualSwitch
            if let place = network.switches.firstIndex(where: { $0.name == switchName }) {
                network.switches[place].activeUplinks = uplinks.isEmpty ? ["*"] : uplinks
                network.switches[place].standbyUplinks.removeAll { uplinks.contains($0) }
            }
        }
        network.vmknics[index].ipv4 = ipv4
        network.vmknics[index].address = address
        network.vmknics[index].prefix = prefix
        network.vmknics[index].gateway = gateway
        network.vmknics[index].ipv6 = ipv6
        network.vmknics[index].ipv6Automatic = ipv6Automatic
        network.vmknics[index].ipv6Addresses = ipv6Addresses
        network.vmknics[index].ipv6Gateway = ipv6Gateway
        network.dns.isAutomatic = dnsAutomatic
        network.dns.servers = dnsServers
        network.dns.searchDomains = searchDomains
        settings.network = network
        settings.hostName = hostName
    }
}
