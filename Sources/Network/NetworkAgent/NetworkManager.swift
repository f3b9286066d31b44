import Addresses
import DHCP
import HostModel
import Linux
import NetworkService
import VSwitch

/// Makes the host's network be as the settings say, again and again: after every change of settings, links or leases it looks at what
/// the kernel has and does what is missing. So a restarted manager takes over what an earlier one made.
final class NetworkManager {
    let loop: EventLoop
    let discovery: any AdapterDiscovery
    let source: any SettingsSource
    private let override: AddressOverride?
    /// What a host is called that neither the settings nor DHCP have named; nil leaves the name it has.
    private let unnamed: String?
    /// Where leases are kept.
    private let directory: String
    let log: (String) -> Void
    private var network: NetworkConfiguration
    private var events: NetworkEvents?
    private var timer: Timer?

    /// The settings as they were given.
    private(set) var settings: HostSettings?
    /// With the kernel command line's word.
    private(set) var effective = NetworkSettings()
    private(set) var plan = NetworkPlan(NetworkSettings(), .init())
    private(set) var actual = ActualNetwork()
    private(set) var addresses: [PresentAddress] = []
    private(set) var routes: [NetworkRoute] = []
    private(set) var adapters: [Adapter] = []
    private(set) var ports: [String: VMKernelPort] = [:]
    private(set) var problems: [String] = []
    private(set) var hostName = ""
    /// Of each switch, the adapter that carries its traffic.
    private var carriers: [String: String] = [:]
    /// Called after each look at the network.
    var looked: (() -> Void)?

    /// How long changes are gathered before the next look, in nanoseconds.
    private static let gathering: UInt64 = 20_000_000
    /// How long to wait after something could not be done.
    private static let retry: UInt64 = 5_000_000_000

    init(
        on loop: EventLoop, source: any SettingsSource, discovery: any AdapterDiscovery, directory: String,
        override: AddressOverride? = nil, unnamed: String? = nil, log: @escaping (String) -> Void
    ) throws(SystemError) {
        self.loop = loop
        self.source = source
        self.discovery = discovery
        self.directory = directory
        self.override = override
        self.unnamed = unnamed
        self.log = log
        network = try NetworkConfiguration()
        timer = try Timer(on: loop) { [weak self] in self?.reconcile() }
        events = try NetworkEvents(on: loop) { [weak self] in self?.lookSoon() }
        source.changed = { [weak self] in self?.take($0) }
    }

    func close() {
        events?.close(on: loop)
        timer?.close(on: loop)
        for port in ports.values { port.close() }
    }

    private func lookSoon() {
        if settings != nil { timer?.set(after: Self.gathering) }
    }

    private func take(_ settings: HostSettings) {
        self.settings = settings
        effective = override?.apply(to: settings.network) ?? settings.network
        effective.vmknics.removeAll { !$0.isEnabled }
        reconcile()
    }

    /// Looks at everything and does what is missing.
    func reconcile() {
        guard let settings else { return }
        var found: [String] = []
        do throws(SystemError) {
            try nameAdapters(settings.network.adapters)
            actual = try ActualNetwork(&network)
            adapters = discovery.adapters(among: actual.links, known: self.settings?.network.adapters ?? [])
            plan = NetworkPlan(effective, present())
            found += plan.problems
            found += try LinkExecutor.apply(plan.links, &network) { [log] in log("network: \($0)") }
            actual = try ActualNetwork(&network)
            notifySwitches()
            updatePorts()
            applyHostName()
            found += applyAddresses()
            addresses = try network.addresses()
            routes = try network.routes()
        } catch { found.append("\(error)") }
        for problem in found where !problems.contains(problem) { log("network: \(problem)") }
        problems = found
        looked?()
        if !found.isEmpty { timer?.set(after: Self.retry) }
    }

    // MARK: Adapters

    private func nameAdapters(_ known: [AdapterSettings]) throws(SystemError) {
        let links = try network.links()
        // Once: after a rename nothing is found any more under the names that these links had.
        let present = discovery.adapters(among: links, known: known)
        let names = AdapterNames(settings: known, present: present)
        for (from, to) in names.renames {
            if links.contains(where: { $0.name == from && $0.isUp }) { try network.setUp(from, false) }
            try network.rename(from, to: to)
            log("network: adapter \(from) is \(to)")
        }
        guard names.settings != known else { return }
        self.settings?.network.adapters = names.settings
        source.change { $0.adapters = AdapterNames(settings: $0.adapters, present: present).settings }
    }

    private func present() -> NetworkPlan.Present {
        var present = NetworkPlan.Present()
        present.adapters = adapters
        present.taps = actual.links.compactMap { link in LinkMark.portGroup(link.alias).map { (link.name, $0) } }
        let bridges = Dictionary(
            effective.switches.map { ($0.name, LinkNames.bridge(of: $0.name)) }, uniquingKeysWith: { first, _ in first }
        )
        present.uplinks = actual.uplinks(of: bridges, adapters: Set(adapters.map(\.link)))
        for vmknic in effective.vmknics {
            present.vmknicAddresses[vmknic.name] = actual.link(vmknic.name)?.macAddress
            present.vmknicMTUs[vmknic.name] = ports[vmknic.name]?.lease?.mtu.map(UInt32.init)
        }
        return present
    }

    /// When another adapter carries a switch's traffic, the stations behind it are found at another port of the physical switches.
    private func notifySwitches() {
        for (virtualSwitch, uplinks) in plan.uplinks {
            let up = uplinks.filter { actual.link($0).map { $0.hasCarrier && $0.bondPort?.isActive != false } == true }
            guard let carrier = up.first, carriers[virtualSwitch] != carrier else { continue }
            let before = carriers.updateValue(carrier, forKey: virtualSwitch)
            if let before { log("network: \(virtualSwitch): \(carrier) carries the traffic, \(before) does no more") }
            guard before != nil, let bridge = actual.link(LinkNames.bridge(of: virtualSwitch)),
                let uplink = actual.links.first(where: {
                    $0.master == bridge.index && ($0.name == carrier || $0.kind == "bond")
                }), let native = actual.vlans[uplink.index]?.untagged
            else { continue }
            let ports = Set(actual.links.filter { $0.master == bridge.index && $0.index != uplink.index }.map(\.index))
            guard let learned = try? network.learnedAddresses(),
                let socket = try? PacketSocket(.arp, link: uplink.index)
            else { continue }
            for station in learned where ports.contains(station.port) {
                let tag = station.vlan == native || station.vlan == 0 ? nil : station.vlan
                try? socket.send(MoveNotice.frame(for: station.address, vlan: tag))
            }
        }
    }

    // MARK: vmkernel ports

    /// The host's name as it is told to DHCP servers; nil while nobody has given it one.
    private var toldName: String? {
        guard let name = settings?.hostName, !name.isEmpty, name != "localhost" else { return nil }
        return name.split(separator: ".").first.map(String.init)
    }

    private func updatePorts() {
        var wanted: Set<String> = []
        for vmknic in effective.vmknics {
            guard let link = actual.link(vmknic.name), let address = link.macAddress,
                let virtualSwitch = plan.switchOfVMKNIC[vmknic.name], wanted.insert(vmknic.name).inserted
            else { continue }
            let uplinks = plan.uplinks[virtualSwitch] ?? []
            let hasLink = uplinks.contains { actual.link($0)?.hasCarrier == true }
            let state = VMKernelPort.Link(index: link.index, macAddress: address, hasLink: hasLink)
            setIPv6(vmknic)
            if let port = ports[vmknic.name] {
                port.update(vmknic, state, hostName: toldName)
                continue
            }
            do throws(SystemError) {
                let port = try VMKernelPort(
                    vmknic, state, hostName: toldName, leaseDirectory: directory, on: loop, log: log,
                    changed: { [weak self] in self?.lookSoon() })
                ports[vmknic.name] = port
                let present = try network.addresses().filter { $0.link == link.index }.map(\.address)
                port.start(present: present)
            } catch { problems.append("\(error)") }
        }
        for (name, port) in ports where !wanted.contains(name) {
            port.close()
            ports[name] = nil
        }
    }

    private func setIPv6(_ vmknic: VMKNICSettings) {
        guard vmknic.ipv6 else { return }
        // 2: also for a host that forwards packets, as one with bridges may be taken to.
        try? IPv6Setting.set("accept_ra", of: vmknic.name, to: vmknic.ipv6Automatic ? "2" : "0")
        try? IPv6Setting.set("autoconf", of: vmknic.name, to: vmknic.ipv6Automatic ? "1" : "0")
    }

    /// The name that a DHCP server has given the host.
    var dhcpHostName: String? {
        ports.values.sorted { $0.name < $1.name }.compactMap { $0.lease?.hostName }.first
    }

    /// `localhost` is what settings say that name nobody.
    static func hostName(given: String, dhcp: String?, unnamed: String?) -> String? {
        given.isEmpty || given == "localhost" ? dhcp ?? unnamed : given
    }

    private func applyHostName() {
        guard let name = Self.hostName(given: settings?.hostName ?? "", dhcp: dhcpHostName, unnamed: unnamed),
            name != hostName
        else { return }
        do {
            try Kernel.setHostName(name)
            hostName = name
        } catch { log("\(error)") }
    }

    // MARK: Addresses and routes

    private func applyAddresses() -> [String] {
        var found: [String] = []
        func attempt(_ step: () throws(SystemError) -> Void) {
            do { try step() } catch { found.append("\(error)") }
        }
        do throws(SystemError) {
            let present = try network.addresses()
            for port in ports.values.sorted(by: { $0.name < $1.name }) {
                let wanted = port.addresses
                let here = present.filter { $0.link == port.link.index }
                for address in here where !wanted.contains(address.address) && isOurs(address) {
                    attempt { () throws(SystemError) in try network.remove(address.address, from: port.name) }
                }
                for address in wanted where !here.contains(where: { $0.address == address }) {
                    attempt { () throws(SystemError) in try network.add(address, to: port.name) }
                }
            }
            let wanted = wantedRoutes()
            let indices = Set(ports.values.map(\.link.index))
            let origins: Set<NetworkRoute.Origin> = [.administrator, .dhcp, .boot]
            let routes = try network.routes().filter { indices.contains($0.link) && origins.contains($0.origin) }
            for route in routes where !wanted.contains(where: { Self.isSame($0, route) }) {
                attempt { () throws(SystemError) in try network.remove(route) }
            }
            for route in wanted where !routes.contains(where: { Self.isSame($0, route) }) {
                attempt { () throws(SystemError) in try network.add(route) }
            }
        } catch { found.append("\(error)") }
        return found
    }

    /// IPv4 addresses are all the agent's; of IPv6 ones those that were set, not those the kernel makes itself.
    private func isOurs(_ address: PresentAddress) -> Bool {
        if case .ipv4 = address.address { return true }
        return address.isPermanent && !address.address.isLinkLocal
    }

    /// The kernel gives IPv6 ways a metric if there is none.
    private static func isSame(_ wanted: NetworkRoute, _ present: NetworkRoute) -> Bool {
        var present = present
        if wanted.metric == 0, case .ipv6 = wanted.gateway { present.metric = 0 }
        return wanted == present
    }

    private func wantedRoutes() -> [NetworkRoute] {
        // The host has one way out: the first management port's, else the first other one's.
        let order = ports.values.sorted {
            ($0.settings.isManagement ? 0 : 1, $0.name) < ($1.settings.isManagement ? 0 : 1, $1.name)
        }
        return [order.compactMap(\.defaultRoute).first, order.compactMap(\.ipv6DefaultRoute).first].compactMap { $0 }
            + order.flatMap(\.routes)
    }

    // MARK: Virtual machines' ports

    /// Connects a tap to a port group; nil takes it out of its.
    func connect(_ tap: String, to group: String?) throws(SystemError) {
        try network.setAlias(of: tap, to: group.map(LinkMark.port) ?? LinkMark.disconnected)
        if group == nil { try network.setMaster(of: tap, to: nil) }
        reconcile()
    }
}
