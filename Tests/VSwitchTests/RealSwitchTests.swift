import Addresses
import HostModel
import Linux
import TestNetwork
import Testing

@testable import VSwitch

/// A virtual machine's end of a tap: sends and receives Ethernet frames.
final class Station {
    let tap: TapQueue
    let macAddress: MACAddress

    init(_ name: String, _ number: UInt64) throws {
        tap = try TapQueue(name)
        macAddress = MACAddress(number: 0x0200_0000_aa00 + number)
        var network = try NetworkConfiguration()
        try network.setUp(name)
    }

    /// Connects the tap to a port group, as the agent does.
    convenience init(_ name: String, _ number: UInt64, in group: String) throws {
        try self.init(name, number)
        var network = try NetworkConfiguration()
        try network.setAlias(of: name, to: LinkMark.port(of: group))
    }

    /// Sends a frame of a protocol for experiments (EtherType 0x88b5) to everybody.
    func send(_ marker: UInt8, vlan: UInt16? = nil) {
        var frame = MACAddress.broadcast.bytes + macAddress.bytes
        if let vlan { frame += [0x81, 0, UInt8(vlan >> 8), UInt8(truncatingIfNeeded: vlan)] }
        frame += [0x88, 0xb5, marker] + [UInt8](repeating: 0, count: 45)
        var bytes = [UInt8](repeating: 0, count: TapQueue.headerSize) + frame
        bytes.withUnsafeMutableBytes { buffer in
            var piece = IOVector(base: buffer.baseAddress, count: buffer.count)
            _ = writeRecord(tap.raw, &piece, 1)
        }
    }

    /// What has come of that protocol: markers with the tags they had.
    func received() -> [(marker: UInt8, vlan: UInt16?)] {
        var result: [(marker: UInt8, vlan: UInt16?)] = []
        var buffer = [UInt8](repeating: 0, count: 2048)
        while true {
            let count = buffer.withUnsafeMutableBytes { bytes -> Int in
                var piece = IOVector(base: bytes.baseAddress, count: bytes.count)
                guard case .done(let count) = readRecord(tap.raw, &piece, 1) else { return 0 }
                return count
            }
            guard count > TapQueue.headerSize else { return result }
            var frame = buffer[TapQueue.headerSize..<count].dropFirst(12)
            var vlan: UInt16?
            if frame.starts(with: [0x81, 0]) {
                vlan = frame.dropFirst(2).prefix(2).reduce(0) { $0 << 8 | UInt16($1) } & 0xfff
                frame = frame.dropFirst(4)
            }
            if frame.starts(with: [0x88, 0xb5]), let marker = frame.dropFirst(2).first {
                result.append((marker, vlan))
            }
        }
    }
}

/// Waits until something holds, trying for ten seconds.
func eventually(_ what: Comment, _ holds: () throws -> Bool) throws {
    let limit = monotonicNanoseconds() + 10_000_000_000
    while try !holds() {
        guard monotonicNanoseconds() < limit else {
            Issue.record(what)
            return
        }
        _ = try poll([], milliseconds: 20)
    }
}

@Suite(
    "Virtual switches in the kernel",
    .enabled(if: virtualSwitchesUnavailable == nil, Comment(rawValue: virtualSwitchesUnavailable ?? "")))
struct RealSwitchTests {
    /// What the kernel has, as a plan takes it, with veth pairs as adapters.
    private static func present(_ adapters: [String]) throws -> NetworkPlan.Present {
        var network = try NetworkConfiguration()
        let actual = try ActualNetwork(&network)
        var present = NetworkPlan.Present()
        present.adapters = adapters.compactMap { name in
            guard let link = actual.link(name), let number = AdapterNames.number(of: name) else { return nil }
            return Adapter(
                link: name, macAddress: MACAddress(number: 0x0200_0000_0000 + UInt64(number)), bus: name,
                hasLink: link.hasCarrier)
        }
        present.taps = actual.links.compactMap { link in LinkMark.portGroup(link.alias).map { (link.name, $0) } }
        return present
    }

    private static func apply(_ settings: NetworkSettings, _ adapters: [String]) throws -> [LinkOperation] {
        var network = try NetworkConfiguration()
        var steps: [LinkOperation] = []
        let plan = NetworkPlan(settings, try present(adapters))
        #expect(plan.problems == [])
        #expect(try LinkExecutor.apply(plan.links, &network) { steps.append($0) } == [])
        return steps
    }

    private static func group(_ name: String, _ virtualSwitch: String, vlan: UInt16) -> PortGroupSettings {
        var group = PortGroupSettings()
        group.name = name
        group.virtualSwitch = virtualSwitch
        group.vlan = vlan
        return group
    }

    /// Two switches whose uplinks are two ends of one cable, each with port groups of the same VLANs.
    private static var twoSwitches: NetworkSettings {
        var settings = NetworkSettings()
        settings.vmknics = []
        var second = VirtualSwitchSettings()
        second.name = "vSwitch1"
        second.activeUplinks = ["vmnic1"]
        settings.switches[0].activeUplinks = ["vmnic0"]
        settings.switches.append(second)
        settings.portGroups = []
        for (side, name) in [("vSwitch0", "left"), ("vSwitch1", "right")] {
            for vlan: UInt16 in [0, 10, 20, 4095] {
                settings.portGroups.append(group("\(name) \(vlan)", side, vlan: vlan))
            }
        }
        return settings
    }

    @Test("stations hear those of their VLAN on both switches, and nobody else; a trunk hears all with their tags")
    func vlans() throws {
        try inOwnNetwork {
            var network = try NetworkConfiguration()
            try network.addPair("vmnic0", "vmnic1")
            var stations: [String: Station] = [:]
            var number: UInt64 = 0
            for side in ["left", "right"] {
                for vlan in [0, 10, 20, 4095] {
                    number += 1
                    let group = "\(side) \(vlan)"
                    stations[group] = try Station("tap\(number)", number, in: group)
                }
            }
            _ = try Self.apply(Self.twoSwitches, ["vmnic0", "vmnic1"])
            #expect(try Self.apply(Self.twoSwitches, ["vmnic0", "vmnic1"]) == [])
            let right = try #require(stations["right 10"])
            // Until the first frame has come through, the links may be on their way up.
            try eventually("nothing came over the wire") {
                stations["left 10"]?.send(1)
                return right.received().contains { $0.marker == 1 }
            }
            for station in stations.values { _ = station.received() }
            for (index, vlan) in [0, 10, 20].enumerated() {
                let marker = UInt8(100 + index)
                stations["left \(vlan)"]?.send(marker)
                try eventually("VLAN \(vlan) did not come over") {
                    stations["right \(vlan)"]?.received().contains { $0 == (marker, nil) } == true
                }
            }
            // All three have arrived where they belong; had they gone anywhere else, they would be there by now, too.
            for (index, vlan) in [0, 10, 20].enumerated() {
                #expect(stations["right \(vlan)"]?.received().isEmpty == true)
                for side in ["left", "right"] {
                    for other in [0, 10, 20] where other != vlan {
                        let heard = stations["\(side) \(other)"]?.received() ?? []
                        #expect(!heard.contains { $0.marker == UInt8(100 + index) })
                    }
                }
            }
            let trunk = stations["right 4095"]?.received() ?? []
            #expect(trunk.map { $0.marker } == [100, 101, 102])
            #expect(trunk.map { $0.vlan } == [nil, 10, 20])
            // A trunk's own tags are followed.
            stations["left 4095"]?.send(7, vlan: 20)
            try eventually("a trunk's tagged frame did not arrive") {
                stations["right 20"]?.received().contains { $0 == (7, nil) } == true
            }
            #expect(stations["right 10"]?.received().contains { $0.marker == 7 } == false)
        }
    }

    @Test("another VLAN for a port group moves its ports at once and leaves others alone")
    func change() throws {
        try inOwnNetwork {
            var network = try NetworkConfiguration()
            try network.addPair("vmnic0", "vmnic1")
            let left = try Station("tap1", 1, in: "left 10")
            let right = try Station("tap2", 2, in: "right 20")
            var settings = Self.twoSwitches
            _ = try Self.apply(settings, ["vmnic0", "vmnic1"])
            settings.portGroups[1].vlan = 20
            let steps = try Self.apply(settings, ["vmnic0", "vmnic1"])
            #expect(steps.allSatisfy { if case .setVLANs = $0 { true } else { false } }, "\(steps)")
            try eventually("the station is not in its new VLAN") {
                left.send(9)
                return right.received().contains { $0.marker == 9 }
            }
            settings.portGroups = []
            settings.switches = []
            var there = NetworkPlan.Present()
            there.taps = [("tap1", "left 10"), ("tap2", "right 20")]
            let plan = NetworkPlan(settings, there)
            _ = try LinkExecutor.apply(plan.links, &network)
            #expect(try network.links().allSatisfy { $0.kind != "bridge" })
            #expect(try network.links().contains { $0.name == "tap1" && $0.master == 0 })
        }
    }

    @Test(
        "when an uplink fails the other one takes over, and hands back as the settings say", arguments: [true, false])
    func failover(failback: Bool) throws {
        try inOwnNetwork {
            var network = try NetworkConfiguration()
            try network.addBridge("wire")
            for number in 0...1 {
                try network.addPair("vmnic\(number)", "w\(number)")
                try network.setMaster(of: "w\(number)", to: "wire")
                try network.setUp("w\(number)")
            }
            try network.setUp("wire")
            let outside = try Station("out0", 1)
            try network.setMaster(of: "out0", to: "wire")
            let inside = try Station("tap0", 2, in: "VM Network")
            var settings = NetworkSettings()
            settings.vmknics = []
            settings.switches[0].activeUplinks = ["vmnic0", "vmnic1"]
            settings.switches[0].teaming = .explicit
            settings.switches[0].failback = failback
            _ = try Self.apply(settings, ["vmnic0", "vmnic1"])
            func passes(_ marker: UInt8) throws {
                try eventually("traffic does not pass (\(marker))") {
                    inside.send(marker)
                    return outside.received().contains { $0.marker == marker }
                }
            }
            func active() throws -> String? {
                var network = try NetworkConfiguration()
                let links = try network.links()
                let bond = links.first { $0.name == "bond-0" }?.bond
                return links.first { $0.index == bond?.active }?.name
            }
            try passes(1)
            #expect(try active() == "vmnic0")
            try network.setUp("w0", false)
            try eventually("the second uplink did not take over") { try active() == "vmnic1" }
            try passes(2)
            try network.setUp("w0", true)
            if failback {
                try eventually("the first uplink was not taken back") { try active() == "vmnic0" }
            } else {
                try eventually("the first uplink has no link") {
                    try network.links().first { $0.name == "vmnic0" }?.bondPort?.hasLink == true
                }
                #expect(try active() == "vmnic1")
            }
            try passes(3)
            #expect(try Self.apply(settings, ["vmnic0", "vmnic1"]) == [])
            // One uplink less, one more: the bond goes and comes.
            settings.switches[0].activeUplinks = ["vmnic1"]
            _ = try Self.apply(settings, ["vmnic0", "vmnic1"])
            #expect(try network.links().allSatisfy { $0.name != "bond-0" })
            try passes(4)
            settings.switches[0].activeUplinks = ["vmnic0", "vmnic1"]
            settings.switches[0].teaming = .ipHash
            _ = try Self.apply(settings, ["vmnic0", "vmnic1"])
            let bond = try network.links().first { $0.name == "bond-0" }?.bond
            #expect(bond?.mode == .balanceXOR)
            #expect(bond?.hashPolicy == .layer2And3)
        }
    }

    @Test("a bridge tells what it has learned behind its ports")
    func learned() throws {
        try inOwnNetwork {
            var network = try NetworkConfiguration()
            try network.addPair("vmnic0", "vmnic1")
            let left = try Station("tap1", 1, in: "left 10")
            _ = try Self.apply(Self.twoSwitches, ["vmnic0", "vmnic1"])
            let port = try NetworkConfiguration.index(of: "tap1")
            try eventually("the station was not learned") {
                left.send(1)
                return try network.learnedAddresses().contains(
                    LearnedAddress(port: port, address: left.macAddress, vlan: 10))
            }
        }
    }
}
