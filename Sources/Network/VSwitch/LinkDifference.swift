import Addresses
import Linux

/// What has to be done to the links there are, so that they are as planned. Pure: no steps means that nothing is touched.
public struct LinkDifference {
    public private(set) var operations: [LinkOperation] = []

    private let actual: ActualNetwork
    /// Links that the steps so far have made or made anew.
    private var fresh: Set<String> = []
    private var gone: Set<String> = []

    public init(from actual: ActualNetwork, to desired: [DesiredLink]) {
        self.actual = actual
        removeOld(desired)
        for link in desired {
            make(link)
            guard present(link.name) != nil || fresh.contains(link.name) else { continue }
            adjust(link)
        }
        for link in desired { prefer(link) }
    }

    /// The link as it is unless a step changes that altogether.
    private func present(_ name: String) -> NetworkLink? {
        fresh.contains(name) || gone.contains(name) ? nil : actual.link(name)
    }

    private mutating func remove(_ link: NetworkLink) {
        guard gone.insert(link.name).inserted else { return }
        if link.kind == "veth", let peer = link.peer.flatMap(actual.name) { gone.insert(peer) }
        operations.append(.delete(link.name))
    }

    /// Removes what this agent made once and the plan has no more, and what has to be made anew.
    private mutating func removeOld(_ desired: [DesiredLink]) {
        let wanted = Dictionary(desired.map { ($0.name, $0) }, uniquingKeysWith: { first, _ in first })
        for link in actual.links where LinkMark.isOurs(link.alias) && !gone.contains(link.name) {
            guard let desired = wanted[link.name] else {
                remove(link)
                continue
            }
            let isRight: Bool
            switch desired.kind {
            case .foreign: isRight = false
            case .bridge: isRight = link.bridge?.filtersVLANs == true && link.bridge?.defaultVLAN == 0
            case .bond(let teaming):
                // The mode of a bond with ports cannot be changed.
                isRight = link.bond.map { Self.isSame($0, teaming) } ?? false
            case .pair(let peer): isRight = link.kind == "veth" && link.peer.flatMap(actual.name) == peer
            }
            if !isRight { remove(link) }
        }
    }

    private static func isSame(_ bond: BondOptions, _ teaming: DesiredLink.Teaming) -> Bool {
        bond.mode == teaming.mode && bond.monitorMilliseconds > 0
            && (teaming.mode == .activeBackup || bond.hashPolicy == teaming.hashPolicy)
    }

    private mutating func make(_ link: DesiredLink) {
        guard present(link.name) == nil, !fresh.contains(link.name) else { return }
        switch link.kind {
        case .foreign: return
        case .bridge: operations.append(.addBridge(link.name, alias: link.alias))
        case .bond(let teaming): operations.append(.addBond(link.name, teaming, alias: link.alias))
        case .pair(let peer):
            operations.append(.addPair(link.name, peer: peer, alias: link.alias))
            fresh.insert(peer)
        }
        fresh.insert(link.name)
    }

    private mutating func adjust(_ link: DesiredLink) {
        let now = present(link.name)
        let master = now.flatMap {
            $0.master == 0 || gone.contains(actual.name($0.master) ?? "") ? nil : actual.name($0.master)
        }
        let joins = link.master != nil && (master != link.master || fresh.contains(link.master ?? ""))
        let isHardware = link.kind == .foreign
        var isUp = now?.isUp ?? false

        // A port of a bond has the bond's address.
        if let address = link.macAddress, address != now?.macAddress, !(isHardware && isBond(master)) || joins {
            // Many drivers take an address only while the link is down.
            if isUp, isHardware {
                operations.append(.setUp(link.name, false))
                isUp = false
            }
            operations.append(.setMACAddress(link.name, address))
        }
        if link.master == nil {
            if master != nil { operations.append(.setMaster(link.name, nil)) }
        } else if joins {
            if isUp, isBond(link.master) {
                // A bond takes only links that are down, and takes them up.
                operations.append(.setUp(link.name, false))
                isUp = false
            }
            operations.append(.setMaster(link.name, link.master))
        }
        if let mtu = link.mtu, mtu != now?.mtu { operations.append(.setMTU(link.name, mtu)) }
        if let vlans = link.vlans, link.master != nil {
            let old = joins ? PortVLANs() : now.flatMap { actual.vlans[$0.index] } ?? PortVLANs()
            if old != vlans { operations.append(.setVLANs(link.name, from: old, to: vlans)) }
        }
        if let port = link.port, link.master != nil, joins || now?.bridgePort != port {
            operations.append(.setPort(link.name, port))
        }
        if actual.ipv6.contains(link.name) != link.ipv6 || now == nil {
            operations.append(.setIPv6(link.name, link.ipv6))
        }
        if !isUp { operations.append(.setUp(link.name, true)) }
    }

    private func isBond(_ name: String?) -> Bool { name?.hasPrefix("bond-") ?? false }

    /// Once its adapters are there, a bond can be told which one is preferred.
    private mutating func prefer(_ link: DesiredLink) {
        guard case .bond(let teaming) = link.kind, teaming.mode == .activeBackup else { return }
        let bond = present(link.name)?.bond
        let primary = bond.flatMap { $0.primary == 0 ? nil : actual.name($0.primary) }
        if bond == nil || primary != teaming.primary || bond?.reselect != teaming.reselect {
            operations.append(.setPreference(bond: link.name, primary: teaming.primary, teaming.reselect))
        }
    }
}
