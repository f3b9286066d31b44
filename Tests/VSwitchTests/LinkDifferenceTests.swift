import Addresses
import HostModel
import Linux
import Testing

@testable import VSwitch

/// A kernel in memory: does what the steps say as far as the differ looks at it.
struct ImaginaryKernel {
    var network = ActualNetwork()
    private var next: UInt32 = 10

    mutating func add(_ name: String, kind: String? = nil, alias: String = "") -> UInt32 {
        var link = NetworkLink()
        link.index = next
        link.name = name
        link.kind = kind
        link.alias = alias
        link.mtu = 1500
        link.macAddress = MACAddress(number: 0x0600_0000_0000 + UInt64(next))
        next += 1
        network.links.append(link)
        network.ipv6.insert(name)
        return link.index
    }

    private mutating func change(_ name: String, _ edit: (inout NetworkLink) -> Void) {
        guard let index = network.links.firstIndex(where: { $0.name == name }) else {
            Issue.record("there is no link \(name)")
            return
        }
        edit(&network.links[index])
    }

    mutating func perform(_ operation: LinkOperation) {
        switch operation {
        case .addBridge(let name, let alias):
            _ = add(name, kind: "bridge", alias: alias)
            change(name) {
                $0.bridge = BridgeOptions()
                $0.bridge?.filtersVLANs = true
                $0.bridge?.defaultVLAN = 0
            }
        case .addBond(let name, let teaming, let alias):
            _ = add(name, kind: "bond", alias: alias)
            change(name) {
                $0.bond = BondOptions()
                $0.bond?.mode = teaming.mode
                $0.bond?.hashPolicy = teaming.hashPolicy
                $0.bond?.reselect = teaming.reselect
            }
        case .addPair(let name, let peer, let alias):
            let first = add(name, kind: "veth", alias: alias)
            let second = add(peer, kind: "veth", alias: alias)
            change(name) { $0.peer = second }
            change(peer) { $0.peer = first }
        case .delete(let name):
            guard let link = network.link(name) else {
                Issue.record("deletes \(name), which is not there")
                return
            }
            network.links.removeAll { $0.name == name || ($0.index == link.peer && link.kind == "veth") }
            for index in network.links.indices where network.links[index].master == link.index {
                network.links[index].master = 0
            }
        case .setUp(let name, let up): change(name) { $0.isUp = up }
        case .setMaster(let name, let master):
            let index = master.flatMap { network.link($0)?.index } ?? 0
            if let bond = master.flatMap({ network.link($0) }), bond.kind == "bond" {
                #expect(network.link(name)?.isUp == false, "a bond takes only links that are down")
                change(name) { $0.isUp = true }
            }
            if let link = network.link(name) { network.vlans[link.index] = nil }
            change(name) {
                $0.master = index
                $0.bridgePort = nil
            }
        case .setMTU(let name, let mtu): change(name) { $0.mtu = mtu }
        case .setMACAddress(let name, let address): change(name) { $0.macAddress = address }
        case .setVLANs(let name, let old, let new):
            guard let link = network.link(name) else { return }
            #expect(network.vlans[link.index] ?? PortVLANs() == old, "\(name)")
            network.vlans[link.index] = new
        case .setPort(let name, let port): change(name) { $0.bridgePort = port }
        case .setPreference(let name, let primary, let reselect):
            let index = primary.flatMap { network.link($0)?.index } ?? 0
            change(name) {
                $0.bond?.primary = index
                $0.bond?.reselect = reselect
            }
        case .setIPv6(let name, let on): if on { network.ipv6.insert(name) } else { network.ipv6.remove(name) }
        }
    }

    /// Does what is missing until nothing is.
    ///
    /// - Returns: all steps taken.
    mutating func converge(_ plan: NetworkPlan) -> [LinkOperation] {
        var all: [LinkOperation] = []
        for _ in 0..<4 {
            let operations = LinkDifference(from: network, to: plan.links).operations
            if operations.isEmpty { return all }
            for operation in operations { perform(operation) }
            all += operations
        }
        Issue.record("does not come to an end: \(LinkDifference(from: network, to: plan.links).operations)")
        return all
    }
}

@Suite("Steps from what there is to what shall be")
struct LinkDifferenceTests {
    private func kernel(adapters: Int) -> ImaginaryKernel {
        var kernel = ImaginaryKernel()
        for number in 0..<adapters { _ = kernel.add("vmnic\(number)") }
        return kernel
    }

    @Test("a bare kernel becomes as planned, and then nothing is touched any more")
    func fromNothing() {
        var kernel = kernel(adapters: 1)
        let plan = NetworkPlan(NetworkSettings(), present(adapter(0)))
        #expect(!kernel.converge(plan).isEmpty)
        #expect(kernel.converge(plan) == [])
        #expect(kernel.network.link("vmk0")?.macAddress == adapter(0).macAddress)
        #expect(kernel.network.link("vmnic0")?.master == kernel.network.link("vSwitch0")?.index)
        #expect(kernel.network.ipv6 == ["vmk0"])
    }

    @Test("another VLAN for the port group changes its ports and the uplink, and nothing else")
    func otherVLAN() {
        var kernel = kernel(adapters: 1)
        _ = kernel.converge(NetworkPlan(NetworkSettings(), present(adapter(0))))
        var settings = NetworkSettings()
        settings.portGroups[1].vlan = 7
        let steps = kernel.converge(NetworkPlan(settings, present(adapter(0))))
        #expect(
            steps == [
                .setVLANs("vmnic0", from: PortVLANs(untagged: 1), to: PortVLANs(untagged: 1, tagged: [7])),
                .setVLANs("vmk0p", from: PortVLANs(untagged: 1), to: PortVLANs(untagged: 7)),
            ])
    }

    @Test("a second uplink makes a bond; taking it away again leaves none behind")
    func bond() {
        var kernel = kernel(adapters: 2)
        let one = NetworkPlan(settings(["vmnic0"]), present(adapter(0), adapter(1)))
        let two = NetworkPlan(settings(["vmnic0", "vmnic1"]), present(adapter(0), adapter(1)))
        _ = kernel.converge(one)
        _ = kernel.converge(two)
        let bond = kernel.network.link("bond-0")
        #expect(bond?.master == kernel.network.link("vSwitch0")?.index)
        #expect(kernel.network.link("vmnic0")?.master == bond?.index)
        #expect(kernel.network.link("vmnic1")?.master == bond?.index)
        #expect(bond?.bond?.primary == kernel.network.link("vmnic0")?.index)
        #expect(kernel.converge(two) == [])
        _ = kernel.converge(one)
        #expect(kernel.network.link("bond-0") == nil)
        #expect(kernel.network.link("vmnic0")?.master == kernel.network.link("vSwitch0")?.index)
        #expect(kernel.network.link("vmnic1")?.master == 0)
        #expect(kernel.converge(one) == [])
    }

    @Test("another policy makes the bond anew, for a bond with ports cannot change its mode")
    func otherPolicy() {
        var kernel = kernel(adapters: 2)
        let there = present(adapter(0), adapter(1))
        _ = kernel.converge(NetworkPlan(settings(["vmnic0", "vmnic1"]), there))
        let steps = kernel.converge(NetworkPlan(settings(["vmnic0", "vmnic1"], .ipHash), there))
        #expect(steps.first == .delete("bond-0"))
        #expect(kernel.network.link("bond-0")?.bond?.mode == .balanceXOR)
        #expect(kernel.network.link("vmnic1")?.master == kernel.network.link("bond-0")?.index)
    }

    @Test("what the agent made and the settings have no more goes; what others made stays")
    func removes() {
        var kernel = kernel(adapters: 1)
        _ = kernel.add("docker0", kind: "bridge")
        _ = kernel.add("tap9", kind: "tun", alias: "wafer:port:VM Network")
        _ = kernel.converge(NetworkPlan(NetworkSettings(), present(adapter(0))))
        var empty = NetworkSettings()
        empty.switches = []
        empty.vmknics = []
        _ = kernel.converge(NetworkPlan(empty, present(adapter(0))))
        #expect(kernel.network.links.map(\.name).sorted() == ["docker0", "tap9", "vmnic0"])
    }
}
