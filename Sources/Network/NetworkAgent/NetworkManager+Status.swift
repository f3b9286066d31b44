import Addresses
import DHCP
import HostModel
import Linux
import NetworkService
import Resolver
import VSwitch

extension NetworkManager {
    /// What is there now.
    var status: NetworkStatus {
        var status = NetworkStatus()
        status.hostName = (try? FileSystem.text(of: "/proc/sys/kernel/hostname")) ?? hostName
        let leases = ports.values.sorted { $0.name < $1.name }.compactMap(\.lease)
        status.isHostNameFromDHCP = !hostName.isEmpty && hostName == dhcpHostName && hostName != settings?.hostName
        status.adapters = adapters.map(adapterStatus).sorted {
            (AdapterNames.number(of: $0.name) ?? .max) < (AdapterNames.number(of: $1.name) ?? .max)
        }
        status.switches = effective.switches.map(switchStatus)
        status.vmknics = effective.vmknics.map(vmknicStatus)
        for route in routes where route.destination == nil {
            switch route.gateway {
            case .ipv4(let address): if status.gateway == nil { status.gateway = address }
            case .ipv6(let address): if status.ipv6Gateway == nil { status.ipv6Gateway = address }
            case nil: break
            }
        }
        let resolver = resolverSettings
        status.dnsServers = resolver.servers
        status.searchDomains = resolver.searchDomains
        status.isDNSFromDHCP = effective.dns.isAutomatic && leases.contains { !$0.nameServers.isEmpty }
        status.ntpServers = leases.flatMap(\.ntpServers)
        status.problems = problems
        return status
    }

    /// Whom to ask for names: those the settings name go before DHCP's, if both are wanted.
    var resolverSettings: ResolverSettings {
        var settings = ResolverSettings(servers: effective.dns.servers, searchDomains: effective.dns.searchDomains)
        guard effective.dns.isAutomatic else { return settings }
        for lease in ports.values.sorted(by: { $0.name < $1.name }).compactMap(\.lease) {
            settings.servers += lease.nameServers.filter { !settings.servers.contains($0) }
            let domains = lease.searchDomains.isEmpty ? [lease.domain].compactMap { $0 } : lease.searchDomains
            settings.searchDomains += domains.filter { !settings.searchDomains.contains($0) }
        }
        return settings
    }

    private func adapterStatus(_ adapter: Adapter) -> AdapterStatus {
        var status = AdapterStatus()
        status.name = adapter.link
        status.macAddress = "\(adapter.macAddress)"
        status.bus = adapter.bus
        (status.driver, status.hardware) = discovery.hardware(of: adapter.link)
        guard let link = actual.link(adapter.link) else { return status }
        status.hasLink = link.hasCarrier
        if link.hasCarrier, let speed = discovery.speed(of: adapter.link) {
            status.speed = speed.megabits
            status.isFullDuplex = speed.isFullDuplex
        }
        status.virtualSwitch = plan.uplinks.first { $0.value.contains(adapter.link) }?.key ?? ""
        status.isActive = !status.virtualSwitch.isEmpty && link.hasCarrier && (link.bondPort?.isActive ?? true)
        return status
    }

    private func switchStatus(_ settings: VirtualSwitchSettings) -> SwitchStatus {
        var status = SwitchStatus()
        status.name = settings.name
        status.uplinks = plan.uplinks[settings.name] ?? []
        status.mtu = actual.link(LinkNames.bridge(of: settings.name))?.mtu ?? 0
        status.portGroups = effective.portGroups.filter { $0.virtualSwitch == settings.name }.map { group in
            var result = PortGroupStatus()
            result.name = group.name
            result.vlan = group.vlan
            result.ports =
                effective.vmknics.filter { $0.portGroup == group.name }.map(\.name)
                + actual.links.filter { LinkMark.portGroup($0.alias) == group.name }.map(\.name)
            return result
        }
        return status
    }

    private func vmknicStatus(_ settings: VMKNICSettings) -> VMKNICStatus {
        var status = VMKNICStatus()
        status.name = settings.name
        status.portGroup = settings.portGroup
        status.isManagement = settings.isManagement
        guard let link = actual.link(settings.name), let port = ports[settings.name] else { return status }
        status.macAddress = link.macAddress.map { "\($0)" } ?? ""
        status.mtu = link.mtu
        status.hasLink = port.link.hasLink
        status.dhcp = port.dhcpState
        status.dhcpServer = port.lease?.server
        status.leaseSecondsLeft = port.leaseSecondsLeft
        for present in addresses where present.link == link.index {
            switch present.address {
            case .ipv4(let address, let prefix):
                let origin: AddressOrigin =
                    settings.ipv4 == .fixed ? .fixed : port.lease?.address == address ? .dhcp : .linkLocal
                status.ipv4 = IPv4Status(address: address, prefix: prefix, origin: origin)
            case .ipv6(let network):
                if present.isTentative { continue }
                let origin: AddressOrigin =
                    network.address.isLinkLocal ? .linkLocal : present.isPermanent ? .fixed : .advertised
                status.ipv6.append(IPv6Status(network: network, origin: origin))
            }
        }
        return status
    }
}
