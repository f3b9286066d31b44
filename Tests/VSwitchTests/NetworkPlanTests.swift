import Addresses
import HostModel
import Linux
import Testing

@testable import VSwitch

/// An adapter called `vmnicN`.
func adapter(_ number: Int, hasLink: Bool = true) -> Adapter {
    Adapter(
        link: "vmnic\(number)", macAddress: MACAddress(number: 0x0200_0000_0000 + UInt64(number)),
        bus: "0000:0\(number):00.0", hasLink: hasLink)
}

/// What is there: adapters, nothing else.
func present(_ adapters: Adapter...) -> NetworkPlan.Present {
    var present = NetworkPlan.Present()
    present.adapters = adapters
    return present
}

/// `vSwitch0` with these uplinks.
func settings(
    _ active: [String], standby: [String] = [], _ teaming: VirtualSwitchSettings.Teaming = .sourcePort
) -> NetworkSettings {
    var settings = NetworkSettings()
    settings.switches[0].activeUplinks = active
    settings.switches[0].standbyUplinks = standby
    settings.switches[0].teaming = teaming
    return settings
}

extension NetworkPlan {
    func link(_ name: String) -> DesiredLink? { links.first { $0.name == name } }
}

@Suite("Plans of virtual switches")
struct NetworkPlanTests {
    @Test("a new host has vSwitch0 on its first adapter with a link, and vmk0 with that adapter's address")
    func firstStart() throws {
        let plan = NetworkPlan(NetworkSettings(), present(adapter(0, hasLink: false), adapter(1), adapter(2)))
        #expect(plan.problems == [])
        #expect(plan.uplinks == ["vSwitch0": ["vmnic1"]])
        let uplink = try #require(plan.link("vmnic1"))
        #expect(uplink.master == "vSwitch0")
        #expect(uplink.vlans == PortVLANs(untagged: 1))
        #expect(uplink.macAddress != adapter(1).macAddress)
        #expect(plan.link("vmk0")?.macAddress == adapter(1).macAddress)
        #expect(plan.link("vmk0")?.ipv6 == true)
        #expect(plan.link("vmk0p")?.master == "vSwitch0")
        #expect(plan.link("vmk0p")?.vlans == PortVLANs(untagged: 1))
        #expect(plan.link("vmnic0")?.master == nil)
    }

    @Test("the adapter that a switch found itself is kept, until it has no link and another one has")
    func sticky() {
        var there = present(adapter(0), adapter(1))
        there.uplinks = ["vSwitch0": ["vmnic1"]]
        #expect(NetworkPlan(NetworkSettings(), there).uplinks == ["vSwitch0": ["vmnic1"]])
        there.adapters = [adapter(0, hasLink: false), adapter(1, hasLink: false)]
        #expect(NetworkPlan(NetworkSettings(), there).uplinks == ["vSwitch0": ["vmnic1"]])
        there.adapters = [adapter(0), adapter(1, hasLink: false)]
        #expect(NetworkPlan(NetworkSettings(), there).uplinks == ["vSwitch0": ["vmnic0"]])
        #expect(NetworkPlan(NetworkSettings(), present()).uplinks == ["vSwitch0": []])
    }

    @Test("an adapter named as another switch's uplink is not taken as the first one found")
    func reserved() {
        var settings = NetworkSettings()
        var second = VirtualSwitchSettings()
        second.name = "vSwitch1"
        second.activeUplinks = ["vmnic0"]
        settings.switches.append(second)
        let plan = NetworkPlan(settings, present(adapter(0), adapter(1)))
        #expect(plan.uplinks == ["vSwitch0": ["vmnic1"], "vSwitch1": ["vmnic0"]])
    }

    @Test("VLANs: none is the native one, 1 to 4094 are tagged on the uplink, 4095 gets all")
    func vlans() {
        var settings = settings(["vmnic0"])
        settings.portGroups[1].vlan = 20
        let plain = NetworkPlan(settings, present(adapter(0)))
        #expect(plain.link("vmk0p")?.vlans == PortVLANs(untagged: 20))
        #expect(plain.link("vmnic0")?.vlans == PortVLANs(untagged: 1, tagged: [20]))

        settings.portGroups[0].vlan = 4095
        var there = present(adapter(0))
        there.taps = [("tap0", "VM Network"), ("tap1", "no such")]
        let trunk = NetworkPlan(settings, there)
        #expect(trunk.link("tap0")?.vlans == PortVLANs(untagged: 1, tagged: Set(2...4094)))
        #expect(trunk.link("vmnic0")?.vlans == PortVLANs(untagged: 1, tagged: Set(2...4094)))
        #expect(trunk.link("tap1")?.master == nil)
        #expect(trunk.problems == ["tap1: there is no port group \"no such\"; it is not connected"])
    }

    @Test("a port group may use VLAN 1: frames without a tag are then kept in another one")
    func vlanOne() {
        var settings = settings(["vmnic0"])
        settings.portGroups[1].vlan = 1
        let plan = NetworkPlan(settings, present(adapter(0)))
        #expect(plan.link("vmk0p")?.vlans == PortVLANs(untagged: 1))
        #expect(plan.link("vmnic0")?.vlans == PortVLANs(untagged: 4094, tagged: [1]))
    }

    @Test("several uplinks are one bond, whose mode follows the policy")
    func teaming() throws {
        let explicit = NetworkPlan(
            settings(["vmnic1", "vmnic0"], .explicit), present(adapter(0), adapter(1)))
        let bond = try #require(explicit.link("bond-0"))
        guard case .bond(let teaming) = bond.kind else {
            Issue.record("no bond")
            return
        }
        #expect(teaming.mode == .activeBackup)
        #expect(teaming.primary == "vmnic1")
        #expect(teaming.reselect == .always)
        #expect(bond.master == "vSwitch0")
        #expect(explicit.link("vmnic0")?.master == "bond-0")
        #expect(explicit.link("vmnic1")?.master == "bond-0")
        #expect(explicit.link("vmnic0")?.vlans == nil)
        #expect(explicit.link("vmk0")?.macAddress == adapter(1).macAddress)
        let order = explicit.links.map(\.name)
        #expect(try #require(order.firstIndex(of: "bond-0")) < #require(order.firstIndex(of: "vmnic0")))

        var once = settings(["vmnic0", "vmnic1"])
        once.switches[0].failback = false
        #expect(
            NetworkPlan(once, present(adapter(0), adapter(1))).link("bond-0")?.kind
                == .bond(.init(mode: .activeBackup, hashPolicy: .layer2, primary: "vmnic0", reselect: .failure)))
        #expect(
            NetworkPlan(settings(["vmnic0", "vmnic1"], .ipHash), present(adapter(0), adapter(1))).link("bond-0")?.kind
                == .bond(.init(mode: .balanceXOR, hashPolicy: .layer2And3, primary: nil, reselect: .always)))
    }

    @Test("adapters standing by follow the active ones; where packets are spread they wait outside")
    func standby() {
        let all = present(adapter(0), adapter(1), adapter(2))
        let backup = NetworkPlan(settings(["vmnic1"], standby: ["vmnic0"]), all)
        #expect(backup.uplinks == ["vSwitch0": ["vmnic1", "vmnic0"]])
        let spread = settings(["vmnic0", "vmnic1"], standby: ["vmnic2"], .ipHash)
        #expect(NetworkPlan(spread, all).uplinks == ["vSwitch0": ["vmnic0", "vmnic1"]])
        let dead = present(adapter(0, hasLink: false), adapter(1, hasLink: false), adapter(2))
        #expect(NetworkPlan(spread, dead).uplinks == ["vSwitch0": ["vmnic2"]])
    }

    @Test("vmk0 stays who it is when its switch's uplinks change their order")
    func addressStays() {
        var there = present(adapter(0), adapter(1))
        there.vmknicAddresses = ["vmk0": adapter(0).macAddress]
        let plan = NetworkPlan(settings(["vmnic1", "vmnic0"]), there)
        #expect(plan.link("vmk0")?.macAddress == adapter(0).macAddress)
        let moved = NetworkPlan(settings(["vmnic1"]), there)
        #expect(moved.link("vmk0")?.macAddress == adapter(1).macAddress)
    }

    @Test("no two vmkernel ports of a switch have one address")
    func moreVMKNICs() {
        var settings = settings(["vmnic0"])
        for name in ["vmk1", "vmk2"] {
            var vmknic = VMKNICSettings()
            vmknic.name = name
            vmknic.portGroup = "VM Network"
            settings.vmknics.append(vmknic)
        }
        let plan = NetworkPlan(settings, present(adapter(0)))
        let addresses = ["vmk0", "vmk1", "vmk2", "vmnic0"].compactMap { plan.link($0)?.macAddress }
        #expect(Set(addresses).count == 4)
        #expect(addresses.allSatisfy { !$0.isMulticast })
    }

    @Test("what cannot be is named, and the rest is done")
    func problems() {
        var settings = settings(["vmnic7", "vmnic0"])
        settings.switches[0].mtu = 20_000
        settings.vmknics[0].name = "eth0; rm"
        var lost = VMKNICSettings()
        lost.name = "vmk1"
        lost.portGroup = "gone"
        settings.vmknics.append(lost)
        let plan = NetworkPlan(settings, present(adapter(0)))
        #expect(
            plan.problems == [
                "vSwitch0: MTU 20000 is not between 1280 and 9000; 9000 is used",
                "vSwitch0: there is no adapter vmnic7",
                "\"eth0; rm\" is no vmkernel port's name: vmk0, vmk1 …", "vmk1: there is no port group \"gone\"",
            ])
        #expect(plan.link("vSwitch0")?.mtu == 9000)
        #expect(plan.uplinks == ["vSwitch0": ["vmnic0"]])
        #expect(plan.links.allSatisfy { $0.name != "vmk1" })
    }

    @Test(
        "a switch's name that is no link's name gets one, always the same",
        arguments: ["a/b", "Ünïcode", "vmk0", "lo", "a switch of 20 bytes", ""])
    func names(name: String) {
        let bridge = LinkNames.bridge(of: name)
        #expect(bridge.hasPrefix("vs-"))
        #expect(bridge.utf8.count <= 15)
        #expect(bridge == LinkNames.bridge(of: name))
        #expect(LinkNames.bond(of: name).utf8.count <= 15)
    }
}

@Suite("Names of adapters")
struct AdapterNamesTests {
    private func known(_ name: String, _ mac: Int, _ bus: Int) -> AdapterSettings {
        var entry = AdapterSettings()
        entry.name = name
        entry.macAddress = adapter(mac).macAddress.description
        entry.bus = adapter(bus).bus
        return entry
    }

    private func found(_ link: String, _ mac: Int, _ bus: Int) -> Adapter {
        Adapter(link: link, macAddress: adapter(mac).macAddress, bus: adapter(bus).bus, hasLink: false)
    }

    @Test("new adapters get the lowest free numbers in the order of their places")
    func new() {
        let names = AdapterNames(settings: [], present: [found("eth0", 5, 5), found("eth1", 4, 4)])
        #expect(names.names == ["eth1": "vmnic0", "eth0": "vmnic1"])
        #expect(names.settings.map(\.name) == ["vmnic0", "vmnic1"])
        let more = AdapterNames(
            settings: [known("vmnic0", 4, 4), known("vmnic2", 9, 9)],
            present: [found("eth0", 4, 4), found("eth1", 7, 7), found("eth2", 8, 8)])
        #expect(more.names == ["eth0": "vmnic0", "eth1": "vmnic1", "eth2": "vmnic3"])
    }

    @Test("a card that was moved keeps its name; one that was replaced gives its name to its successor")
    func moved() {
        let settings = [known("vmnic0", 1, 1), known("vmnic1", 2, 2)]
        let moved = AdapterNames(settings: settings, present: [found("eth0", 2, 1), found("eth1", 1, 2)])
        #expect(moved.names == ["eth0": "vmnic1", "eth1": "vmnic0"])
        #expect(moved.settings[0].bus == adapter(2).bus)
        let replaced = AdapterNames(settings: settings, present: [found("eth0", 7, 1), found("eth1", 2, 2)])
        #expect(replaced.names == ["eth0": "vmnic0", "eth1": "vmnic1"])
        #expect(replaced.settings[0].macAddress == adapter(7).macAddress.description)
    }

    @Test("names that are exchanged go by a third one")
    func exchange() {
        let settings = [known("vmnic0", 1, 1), known("vmnic1", 2, 2)]
        let names = AdapterNames(settings: settings, present: [found("vmnic1", 1, 1), found("vmnic0", 2, 2)])
        var links = ["vmnic0": 2, "vmnic1": 1]
        for (from, to) in names.renames {
            #expect(links[to] == nil, "the name \(to) is taken")
            links[to] = links.removeValue(forKey: from)
        }
        #expect(links == ["vmnic0": 1, "vmnic1": 2])
        #expect(AdapterNames(settings: settings, present: [found("vmnic0", 1, 1)]).renames.isEmpty)
    }
}
