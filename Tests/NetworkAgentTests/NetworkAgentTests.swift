import Addresses
import HostLink
import HostModel
import Linux
import NetworkService
import TestFiles
import TestNetwork
import Testing
import VSwitch

@testable import NetworkAgent

/// Takes veth links called `nicN` or `vmnicN` for adapters.
private struct VethDiscovery: AdapterDiscovery {
    func adapters(among links: [NetworkLink], known: [AdapterSettings]) -> [Adapter] {
        links.compactMap { link in
            guard link.kind == "veth", link.name.contains("nic") else { return nil }
            // A link's number stays the same whatever it is called.
            return Adapter(
                link: link.name, macAddress: MACAddress(number: 0x0200_0000_0000 + UInt64(link.index)),
                bus: "0000:00:\(link.index + 10).0", hasLink: link.hasCarrier)
        }
    }
    func hardware(of link: String) -> (driver: String, numbers: String) { ("veth", "") }
    func speed(of link: String) -> (megabits: UInt32, isFullDuplex: Bool)? { (10_000, true) }
}

@Suite("The network agent", .enabled(if: networkUnavailable == nil, Comment(rawValue: networkUnavailable ?? "")))
struct NetworkAgentTests {
    /// An agent that runs on a loop's thread of its own, in the calling thread's network.
    private final class Rig {
        let loop: EventLoop
        let source: DefaultSettings
        let agent: NetworkAgent
        let socket: String

        init(_ directory: String, _ settings: HostSettings = HostSettings()) throws {
            loop = try EventLoop(name: "netd")
            source = DefaultSettings(settings)
            socket = "\(directory)/net.sock"
            agent = try NetworkAgent(
                on: loop, source: source, discovery: VethDiscovery(), directory: directory, socket: socket,
                log: { _ in })
            try loop.start()
        }

        /// As a SIGKILL would, but for the descriptors: nothing is undone.
        func stop() {
            loop.performAndWait { [agent = Unchecked(agent)] in agent.value.close() }
            loop.stop()
        }

        func change(_ edit: @escaping @Sendable (inout NetworkSettings) -> Void) {
            let source = Unchecked(source)
            loop.performAndWait { source.value.change(edit) }
        }
    }

    /// Handed to the loop's thread and waited for.
    private struct Unchecked<Value>: @unchecked Sendable {
        var value: Value
        init(_ value: Value) { self.value = value }
    }

    private func eventually(_ what: Comment, _ holds: () throws -> Bool) throws {
        let limit = monotonicNanoseconds() + 15_000_000_000
        while try !holds() {
            guard monotonicNanoseconds() < limit else {
                Issue.record(what)
                return
            }
            _ = try poll([], milliseconds: 20)
        }
    }

    @Test("settings on trial come back unless they are confirmed, even if the agent is started again meanwhile")
    func trial() throws {
        try withTemporaryDirectory { directory in
            try inOwnNetwork {
                let rig = try Rig(directory)
                var client = try ServiceClient(rig.socket)
                #expect(throws: ServiceError.self) { try client.ask(ConfirmTrial()) }
                _ = try client.ask(BeginTrial(seconds: 2))
                rig.change { $0.portGroups[1].vlan = 99 }
                #expect(try client.ask(GetNetworkStatus()).switches[0].portGroups[1].vlan == 99)
                #expect(try client.ask(GetNetworkStatus()).trialSecondsLeft != nil)
                let settings = rig.source.settings
                rig.stop()
                let again = try Rig(directory, settings)
                client = try ServiceClient(again.socket)
                try eventually("the settings did not come back") {
                    try client.ask(GetNetworkStatus()).switches[0].portGroups[1].vlan == 0
                }
                #expect(try client.ask(GetNetworkStatus()).trialSecondsLeft == nil)

                _ = try client.ask(BeginTrial(seconds: 3600))
                again.change { $0.portGroups[1].vlan = 98 }
                _ = try client.ask(ConfirmTrial())
                #expect(!fileExists("\(directory)/trial"))
                #expect(try client.ask(GetNetworkStatus()).switches[0].portGroups[1].vlan == 98)
                again.stop()
            }
        }
    }

    @Test("questions that cannot be answered are refused with a sentence")
    func refusals() throws {
        try withTemporaryDirectory { directory in
            try inOwnNetwork {
                let rig = try Rig(directory)
                defer { rig.stop() }
                let client = try ServiceClient(rig.socket)
                #expect(throws: ServiceError.refused(.init(.notFound, "there is no port group \"x\""))) {
                    try client.ask(ConnectPort(portGroup: "x", tap: "tap0"))
                }
                #expect(throws: ServiceError.refused(.init(.notFound, "there is no tap tap0"))) {
                    try client.ask(ConnectPort(portGroup: "VM Network", tap: "tap0"))
                }
                #expect(throws: ServiceError.refused(.init(.invalid, "lo is not a virtual machine's tap"))) {
                    try client.ask(ConnectPort(portGroup: "VM Network", tap: "lo"))
                }
                #expect(throws: ServiceError.refused(.init(.invalid, "no DNS servers are set"))) {
                    try client.ask(Resolve("example.org"))
                }
                #expect(throws: ServiceError.refused(.init(.invalid, "\"a b\" is not a host's name"))) {
                    try client.ask(Resolve("a b"))
                }
                #expect(try client.ask(Resolve("localhost")) == ["127.0.0.1"])
                var network = try NetworkConfiguration()
                try network.setUp("lo")
                let ping = try client.ask(Ping("127.0.0.1", count: 1))
                #expect(ping.received == 1, "\(ping)")
                #expect(try client.ask(Ping("192.0.2.1")).problem == "send to 192.0.2.1: Network is unreachable")
            }
        }
    }

    @Test(
        "adapters get their names, machines their ports; a started-again agent takes over and touches nothing",
        .enabled(if: virtualSwitchesUnavailable == nil, Comment(rawValue: virtualSwitchesUnavailable ?? "")))
    func takeOver() throws {
        try withTemporaryDirectory { directory in
            try inOwnNetwork {
                var network = try NetworkConfiguration()
                try network.addPair("nic3", "wire3")
                try network.setUp("wire3")
                var settings = HostSettings()
                settings.network.vmknics[0].ipv4 = .fixed
                settings.network.vmknics[0].address = IPv4Address(10, 5, 0, 7)
                settings.network.vmknics[0].gateway = IPv4Address(10, 5, 0, 1)
                let rig = try Rig(directory, settings)
                let tap = try TapQueue("tap0")
                let client = try ServiceClient(rig.socket)
                _ = try client.ask(ConnectPort(portGroup: "VM Network", tap: tap.name))
                try eventually("there is no link") {
                    try client.ask(GetNetworkStatus()).adapters.first?.hasLink == true
                }
                let status = try client.ask(GetNetworkStatus())
                #expect(status.adapters.map(\.name) == ["vmnic0"])
                #expect(status.switches[0].uplinks == ["vmnic0"])
                #expect(status.switches[0].portGroups.map(\.ports) == [["tap0"], ["vmk0"]])
                #expect(
                    status.vmknics[0].ipv4 == IPv4Status(address: IPv4Address(10, 5, 0, 7), prefix: 24, origin: .fixed))
                #expect(status.gateway == IPv4Address(10, 5, 0, 1))
                #expect(status.problems == [])
                #expect(rig.source.settings.network.adapters.map(\.name) == ["vmnic0"])
                let learned = rig.source.settings
                rig.stop()

                let before = try ActualNetwork(&network)
                let addresses = try network.addresses()
                let routes = try network.routes()
                let again = try Rig(directory, learned)
                let other = try ServiceClient(again.socket)
                #expect(try other.ask(GetNetworkStatus()).switches == status.switches)
                #expect(try ActualNetwork(&network) == before)
                #expect(try network.addresses() == addresses)
                #expect(try network.routes() == routes)

                // A port group that goes takes its ports along; one that comes back takes them back.
                again.change { $0.portGroups[0].name = "Other" }
                #expect(try network.links().first { $0.name == "tap0" }?.master == 0)
                again.change { $0.portGroups[0].name = "VM Network" }
                #expect(try network.links().first { $0.name == "tap0" }?.master != 0)
                _ = try other.ask(DisconnectPort(tap: "tap0"))
                #expect(try network.links().first { $0.name == "tap0" }?.master == 0)

                // An adapter that is plugged in later gets the next name and is ready.
                try network.addPair("nic5", "wire5")
                try eventually("the new adapter was not noticed") {
                    try other.ask(GetNetworkStatus()).adapters.map(\.name) == ["vmnic0", "vmnic1"]
                }
                again.stop()
            }
        }
    }
}
