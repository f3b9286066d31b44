import Addresses
import HostModel
import Linux
import NetworkService
import Testing

@testable import NetworkAgent

@Suite("The network on the kernel command line")
struct AddressOverrideTests {
    @Test("a network is an address with a prefix, and perhaps a gateway; or DHCP; or none")
    func forms() {
        #expect(
            AddressOverride("10.0.2.15/24,10.0.2.2")
                == .fixed(IPv4Address(10, 0, 2, 15), prefix: 24, gateway: IPv4Address(10, 0, 2, 2)))
        #expect(AddressOverride("192.168.1.1/32") == .fixed(IPv4Address(192, 168, 1, 1), prefix: 32, gateway: nil))
        #expect(AddressOverride("dhcp") == .dhcp)
        #expect(AddressOverride("none") == AddressOverride.none)
        #expect(KernelCommandLine("quiet wafer.net=none a=b wafer.net=dhcp\n").value("wafer.net") == "dhcp")
        #expect(KernelCommandLine("quiet").value("wafer.net") == nil)
        #expect(KernelCommandLine("wafer.hostname=lab7 wafer.net=dhcp").value("wafer.hostname") == "lab7")
    }

    @Test(
        "what is no network is refused",
        arguments: [
            "", "10.0.2.15", "10.0.2.15/33", "10.0.2/24", "10.0.2.256/24", "10.0.2.15/24,", "+1.0.0.1/8", "1.0.0.1/+8",
            "a/b,c",
        ])
    func refused(text: String) { #expect(AddressOverride(text) == nil) }

    @Test("it goes before the settings of the management port")
    func applied() throws {
        let settings = NetworkSettings()
        let fixed = try #require(AddressOverride("10.0.0.5/16")).apply(to: settings)
        #expect(fixed.vmknics[0].ipv4 == .fixed)
        #expect(fixed.vmknics[0].address == IPv4Address(10, 0, 0, 5))
        #expect(fixed.vmknics[0].prefix == 16)
        #expect(try #require(AddressOverride("none")).apply(to: settings).switches.isEmpty)
    }
}

@Suite("Settings on trial")
struct TrialTests {
    @Test("a trial written down is the same when it is read, its time going on")
    func text() {
        var before = NetworkSettings()
        before.portGroups[1].vlan = 12
        let trial = Trial(before: before, seconds: 60, now: 5)
        #expect(trial.secondsLeft(now: 5) == 60)
        let read = Trial(text: trial.text, now: 20_000_000_005)
        #expect(read == trial)
        #expect(read?.secondsLeft(now: 20_000_000_005) == 40)
        #expect(read?.secondsLeft(now: .max) == 0)
    }

    @Test(
        "what is no trial, or one from before the machine's start, is none",
        arguments: ["", "trial 1\n", "trial 1\nx\n", "trial 2\n5\n", "trial 1\n9000000000000000000\n"])
    func none(text: String) { #expect(Trial(text: text, now: 1) == nil) }
}

@Suite("Echo packets")
struct EchoPacketTests {
    @Test("a reply is known by its numbers; everything else is none")
    func reply() {
        let request = EchoPacket(identifier: 0x1234, sequence: 2).request(isIPv6: false)
        let header: [UInt8] = [0x45] + [UInt8](repeating: 0, count: 19)
        #expect(EchoPacket(reply: header + request, isIPv6: false) == nil)
        var answer = request
        answer[0] = 0
        #expect(EchoPacket(reply: header + answer, isIPv6: false) == EchoPacket(identifier: 0x1234, sequence: 2))
        answer[0] = 129
        #expect(EchoPacket(reply: answer, isIPv6: true) == EchoPacket(identifier: 0x1234, sequence: 2))
        for count in 0..<28 { #expect(EchoPacket(reply: Array((header + answer).prefix(count)), isIPv6: false) == nil) }
        #expect(EchoPacket(reply: [0x4f, 0, 0, 0, 0, 0, 0, 0, 0], isIPv6: false) == nil)
    }
}

@Suite("The host's name")
struct HostNameTests {
    @Test("the settings' name goes before DHCP's, and a name that was taken away is not kept")
    func choice() {
        func name(_ given: String, _ dhcp: String?, _ unnamed: String? = "localhost") -> String? {
            NetworkManager.hostName(given: given, dhcp: dhcp, unnamed: unnamed)
        }
        #expect(name("esx1", "lease7") == "esx1")
        #expect(name("localhost", "lease7") == "lease7")
        #expect(name("localhost", nil) == "localhost")
        #expect(name("", nil) == "localhost")
        #expect(name("", nil, nil) == nil)
    }
}

@Suite("Status for people")
struct NetworkCommandTests {
    @Test("says what a person looks for")
    func text() {
        var status = NetworkStatus()
        status.hostName = "esx1"
        var adapter = AdapterStatus()
        adapter.name = "vmnic0"
        status.adapters = [adapter]
        status.problems = ["vmk0: there is no port group \"x\""]
        let text = NetworkCommand.text(status)
        #expect(text.contains("host        esx1\n"))
        #expect(text.contains("disconnected, unused"))
        #expect(text.contains("gateway     none\n"))
        #expect(text.contains("problem     vmk0: there is no port group \"x\"\n"))
    }
}
