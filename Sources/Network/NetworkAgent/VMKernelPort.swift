import Addresses
import DHCP
import HostModel
import Linux
import NetworkService
import VSwitch

/// The addresses of one vmkernel port: keeps them as the settings say, by DHCP or of its own choice where they say so.
final class VMKernelPort {
    /// What the kernel has of it.
    struct Link: Equatable {
        var index: UInt32
        var macAddress: MACAddress
        /// An uplink of its switch has a cable.
        var hasLink: Bool
    }

    let name: String
    private let loop: EventLoop
    private let leases: LeaseFile
    /// Says that addresses, routes or names changed.
    private let changed: () -> Void
    private let log: (String) -> Void

    private(set) var settings: VMKNICSettings
    private(set) var link: Link
    private var hostName: String?
    private(set) var dhcp: DHCPClient?
    private(set) var linkLocal: LinkLocalClient?
    private var timer: Timer?
    private var sockets: PortSockets
    /// What DHCP gave.
    private(set) var lease: DHCPLease?
    private(set) var chosen: IPv4Address?

    init(
        _ settings: VMKNICSettings, _ link: Link, hostName: String?, leaseDirectory: String, on loop: EventLoop,
        log: @escaping (String) -> Void, changed: @escaping () -> Void
    ) throws(SystemError) {
        name = settings.name
        self.settings = settings
        self.link = link
        self.hostName = hostName
        self.loop = loop
        self.log = log
        self.changed = changed
        leases = LeaseFile(directory: leaseDirectory, vmknic: settings.name)
        sockets = PortSockets(settings.name, on: loop)
        timer = try Timer(on: loop) { [weak self] in self?.timeIsUp() }
        sockets.message = { [weak self] in self?.dhcpEvent(.message($0)) }
        sockets.arp = { [weak self] in self?.arp($0) }
    }

    /// Lets go of the port; what the kernel has stays.
    func close() {
        sockets.close()
        timer?.close(on: loop)
        timer = nil
    }

    // MARK: What shall be

    /// Begins, with addresses that the port may have from before.
    func start(present: [LinkAddress]) {
        if settings.ipv4 == .dhcp { startDHCP(present: present) }
    }

    /// Takes changed settings or a changed link.
    func update(_ settings: VMKNICSettings, _ link: Link, hostName: String?) {
        let before = (self.settings, self.link, self.hostName)
        self.settings = settings
        self.link = link
        self.hostName = hostName
        let isOther = before.1.index != link.index || before.1.macAddress != link.macAddress
        if settings.ipv4 != .dhcp {
            if dhcp != nil { stopDHCP(release: true) }
        } else if dhcp == nil || isOther {
            // A lease belongs to an address of the hardware; under another one the host is somebody else.
            if dhcp != nil { stopDHCP(release: false) }
            startDHCP(present: [])
        } else {
            if before.2 != hostName {
                dhcp?.identity.hostName = hostName
                dhcpEvent(.renew)
            }
            if before.1.hasLink != link.hasLink { dhcpEvent(link.hasLink ? .linkUp : .linkDown) }
        }
    }

    /// Asks for more time, or begins anew.
    func renew() {
        if dhcp != nil { dhcpEvent(.renew) }
    }

    /// Gives everything up and begins anew.
    func restart() {
        guard settings.ipv4 == .dhcp else { return }
        stopDHCP(release: true)
        startDHCP(present: [])
    }

    /// What the port has to have.
    var addresses: [LinkAddress] {
        var result: [LinkAddress] = []
        switch settings.ipv4 {
        case .disabled: break
        case .fixed:
            if let address = settings.address {
                result.append(.ipv4(address, prefix: UInt8(clamping: settings.prefix)))
            }
        case .dhcp:
            if let lease {
                result.append(.ipv4(lease.address, prefix: lease.prefix))
            } else if let chosen {
                result.append(.ipv4(chosen, prefix: 16))
            }
        }
        if settings.ipv6 { result += settings.ipv6Addresses.map { .ipv6($0) } }
        return result
    }

    /// Its ways to other networks, without the way out: of those there is one for the whole host.
    var routes: [NetworkRoute] {
        guard settings.ipv4 == .dhcp, let lease else { return [] }
        return lease.routes.filter { $0.prefix > 0 }.map {
            NetworkRoute(
                destination: .ipv4($0.network, prefix: $0.prefix), gateway: $0.router.map { .ipv4($0) },
                link: link.index, origin: .dhcp)
        }
    }

    var defaultRoute: NetworkRoute? {
        switch settings.ipv4 {
        case .disabled: nil
        case .fixed: settings.gateway.map { NetworkRoute(gateway: .ipv4($0), link: link.index) }
        case .dhcp: lease?.gateway.map { NetworkRoute(gateway: .ipv4($0), link: link.index, origin: .dhcp) }
        }
    }

    var ipv6DefaultRoute: NetworkRoute? {
        guard settings.ipv6, let gateway = settings.ipv6Gateway else { return nil }
        return NetworkRoute(gateway: .ipv6(gateway), link: link.index)
    }

    var dhcpState: DHCPState {
        switch dhcp?.state {
        case nil, .stopped: .off
        case .waitingForLink: .waitingForLink
        case .selecting, .rebooting, .pausing: .searching
        case .requesting, .probing: .requesting
        case .bound: .bound
        case .renewing, .rebinding: .renewing
        }
    }

    /// Seconds until the lease ends.
    var leaseSecondsLeft: UInt32? {
        guard lease?.seconds != nil, let end = dhcp?.held?.end else { return nil }
        let now = monotonicNanoseconds()
        return end > now ? UInt32(clamping: (end - now) / 1_000_000_000) : 0
    }

    // MARK: DHCP

    private func startDHCP(present: [LinkAddress]) {
        let held = leases.load(link.macAddress)
        let isConfigured = held.map { present.contains(.ipv4($0.lease.address, prefix: $0.lease.prefix)) } ?? false
        let seed = Self.seed()
        dhcp = DHCPClient(
            .init(macAddress: link.macAddress, hostName: hostName), held: held, isConfigured: isConfigured, seed: seed)
        // So that what a restarted agent finds stays, even before anybody has confirmed it.
        if isConfigured { lease = held?.lease }
        var preferred: IPv4Address?
        for case .ipv4(let address, _) in present where address.isLinkLocal { preferred = address }
        linkLocal = LinkLocalClient(macAddress: link.macAddress, seed: ~seed, preferred: preferred)
        if lease == nil { chosen = preferred }
        if chosen != nil { linkLocalEvent(.start) }
        dhcpEvent(link.hasLink ? .linkUp : .linkDown)
    }

    private func stopDHCP(release: Bool) {
        if release { dhcpEvent(.release) }
        dhcp = nil
        linkLocal = nil
        lease = nil
        chosen = nil
        leases.save(nil, link.macAddress)
        sockets.close()
        timer?.cancel()
    }

    private static func seed() -> UInt64 {
        // The kernel's generator does not fail for so few bytes; without it the clock still differs.
        let bytes = (try? Random.bytes(8)) ?? []
        return bytes.reduce(monotonicNanoseconds()) { $0 &* 257 ^ UInt64($1) }
    }

    private func timeIsUp() {
        if let due = dhcp?.deadline, due <= monotonicNanoseconds() { dhcpEvent(.timer) }
        if let due = linkLocal?.deadline, due <= monotonicNanoseconds() { linkLocalEvent(.timer) }
        rearm()
    }

    private func arp(_ packet: ARPPacket) {
        dhcpEvent(.arp(packet))
        linkLocalEvent(.arp(packet))
    }

    private func dhcpEvent(_ event: DHCPClient.Event) {
        guard var client = dhcp else { return }
        let before = client.state
        let actions = client.handle(event, now: monotonicNanoseconds())
        dhcp = client
        for action in actions { perform(action) }
        if dhcp?.held != leaseOnFile, dhcp?.state == .bound {
            leaseOnFile = dhcp?.held
            leases.save(leaseOnFile, link.macAddress)
        }
        rearm()
        if before != client.state { changed() }
    }

    private var leaseOnFile: DHCPClient.Held?

    private func perform(_ action: DHCPClient.Action) {
        switch action {
        case .broadcast(let message, let source): sockets.broadcast(message, from: source, link)
        case .unicast(let message, let server): sockets.unicast(message, from: lease?.address, to: server)
        case .send(let packet): sockets.send(packet, link)
        case .configure(let lease):
            if lease != self.lease {
                log("\(name): \(lease.address)/\(lease.prefix) from DHCP server \(lease.server)")
            }
            self.lease = lease
            linkLocalEvent(.stop)
            changed()
        case .deconfigure:
            if let lease { log("\(name): address \(lease.address) is no more") }
            lease = nil
            leaseOnFile = nil
            leases.save(nil, link.macAddress)
            changed()
        case .noServer:
            if chosen == nil { log("\(name): no DHCP server answers; going on asking") }
            linkLocalEvent(.start)
        }
    }

    private func linkLocalEvent(_ event: LinkLocalClient.Event) {
        guard var client = linkLocal else { return }
        let actions = client.handle(event, now: monotonicNanoseconds())
        linkLocal = client
        for action in actions {
            switch action {
            case .send(let packet): sockets.send(packet, link)
            case .configure(let address):
                log("\(name): link-local address \(address)")
                chosen = address
                changed()
            case .deconfigure:
                chosen = nil
                changed()
            }
        }
        rearm()
    }

    /// Has the sockets that the present state needs, and a timer for what is due next.
    private func rearm() {
        let state = dhcp?.state
        let isAsking =
            state == .selecting || state == .requesting || state == .rebooting || state == .rebinding
            || state == .renewing
        sockets.want(messages: isAsking, arp: state == .probing || linkLocal?.isRunning == true, link: link.index)
        guard let due = [dhcp?.deadline, linkLocal?.deadline].compactMap({ $0 }).min() else {
            timer?.cancel()
            return
        }
        let now = monotonicNanoseconds()
        timer?.set(after: due > now ? due - now : 0)
    }
}
