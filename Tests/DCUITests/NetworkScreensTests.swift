import Addresses
import HostModel
import Terminal
import Testing

@testable import DCUI

@Suite("The management network's dialogs")
struct NetworkScreensTests {
    private func inMenu() -> ConsoleHarness {
        var console = ConsoleHarness()
        console.logIn()
        console.open("Management Network")
        return console
    }

    /// The settings that were asked to be saved last.
    private func applied(_ console: ConsoleHarness) -> ManagementNetwork? {
        if case .edit(.managementNetwork(let network))? = console.asked.last { network } else { nil }
    }

    @Test("changes gather until Esc, and Y applies them together")
    func gathered() {
        var console = inMenu()
        console.open("VLAN")
        console.type("17")
        console.press(.enter)
        #expect(console.asked.count == 1)
        console.open("DNS and Host Name")
        console.press(.down, .space, .down)
        console.clear()
        console.type("10.1.1.1")
        console.press(.down, .control("U"), .down)
        console.clear()
        console.type("rack3")
        console.press(.enter)
        console.open("DNS Suffixes")
        console.type("a.example, b.example")
        console.press(.enter, .escape)
        #expect(console.shows("Apply the changes?"))
        console.press(.character("Y"))
        let network = applied(console)
        #expect(network?.vlan == 17)
        #expect(network?.dnsServers == [IPv4Address(10, 1, 1, 1)])
        #expect(network?.hostName == "rack3")
        #expect(network?.searchDomains == ["a.example", "b.example"])
        #expect(console.settings.network.portGroups.first { $0.name == "Management Network" }?.vlan == 17)
        #expect(console.shows("The changes have been applied."))
        console.press(.enter)
        #expect(console.shows("Host Settings"))
    }

    @Test("N drops the changes, Esc goes on with them")
    func discarded() {
        var console = inMenu()
        console.open("VLAN")
        console.type("9")
        console.press(.enter, .escape, .escape)
        #expect(console.shows("Management Network (changed)"))
        console.press(.escape, .character("n"))
        #expect(console.shows("Host Settings") && console.state.draft == nil)
        #expect(console.asked.count == 1)
    }

    @Test("leaving without a change asks nothing")
    func unchanged() {
        var console = inMenu()
        console.press(.escape)
        #expect(console.shows("Host Settings"))
    }

    @Test("changes that cannot be saved are not lost")
    func notSaved() {
        var console = ConsoleHarness(
            ChangedServices(reply: { request in if case .edit = request { .failed("No.") } else { nil } }))
        console.logIn()
        console.open("Management Network")
        console.open("VLAN")
        console.type("9")
        console.press(.enter, .escape, .character("y"))
        #expect(console.shows("No."))
        console.press(.enter)
        #expect(console.shows("Management Network (changed)"))
    }

    @Test("changing from DHCP to fixed proposes what DHCP gave")
    func fixed() {
        var console = inMenu()
        console.open("IPv4")
        console.press(.down, .space, .enter, .escape, .character("y"))
        let network = applied(console)
        #expect(network?.ipv4 == .fixed)
        #expect(network?.address == IPv4Address(10, 20, 0, 17))
        #expect(network?.prefix == 24)
        #expect(network?.gateway == IPv4Address(10, 20, 0, 1))
        #expect(network?.dnsAutomatic == false)
        #expect(network?.dnsServers == [IPv4Address(10, 20, 0, 53), IPv4Address(10, 20, 0, 54)])
    }

    @Test("name servers cannot come from DHCP when the address does not")
    func namesWithoutDHCP() {
        var console = inMenu()
        console.open("IPv4")
        console.press(.down, .space, .enter)
        console.open("DNS and Host Name")
        console.press(.up, .space, .enter)
        #expect(console.shows("IPv4 is not automatic: without a DHCP server"))
        #expect(console.state.draft?.edited.dnsAutomatic == false)
    }

    @Test("restoring the management network enables it, too")
    func restored() {
        var settings = HostSettings()
        SettingsEdit.managementEnabled(false).apply(to: &settings)
        settings.hostName = "rack3"
        SettingsEdit.restoreManagementNetwork.apply(to: &settings)
        #expect(settings == HostSettings())
    }

    @Test(
        "an impossible address is refused with a sentence, at its field",
        arguments: [
            ("10.20.0.300", "255.255.255.0", "10.20.0.1", "is not an IPv4 address"),
            ("10.20.0.0", "255.255.255.0", "10.20.0.1", "the address of a whole network"),
            ("10.20.0.255", "255.255.255.0", "10.20.0.1", "the address of a whole network"),
            ("224.0.0.1", "255.255.255.0", "", "cannot be a host's address"),
            ("127.0.0.1", "255.0.0.0", "", "cannot be a host's address"),
            ("10.20.0.5", "255.0.255.0", "", "is not a network mask"),
            ("10.20.0.5", "0.0.0.0", "", "is not a network mask"),
            ("10.20.0.5", "255.255.255.0", "10.20.1.1", "has to be another host"),
            ("10.20.0.5", "255.255.255.0", "10.20.0.5", "has to be another host"),
        ])
    func impossible(address: String, mask: String, gateway: String, reason: String) {
        var console = inMenu()
        console.open("IPv4")
        console.press(.down, .space, .down)
        for text in [address, mask, gateway] {
            console.clear()
            console.type(text)
            console.press(.down)
        }
        console.press(.enter)
        #expect(console.shows(reason))
        #expect(console.state.draft?.edited.ipv4 == .dhcp)
    }

    @Test("IPv6 takes addresses with their prefix length")
    func ipv6() {
        var console = inMenu()
        console.open("IPv6")
        console.press(.down, .space, .down)
        console.type("fd00::5")
        console.press(.enter)
        #expect(console.shows("is not an address with its prefix length"))
        console.type("/64")
        console.press(.enter, .escape, .character("y"))
        #expect(applied(console)?.ipv6Addresses == [IPv6Network("fd00::5/64")].compactMap { $0 })
        #expect(applied(console)?.ipv6Automatic == false)
    }

    @Test("chosen adapters keep their order, and none chosen means the first with a link")
    func adapters() {
        var console = inMenu()
        console.open("Network Adapters")
        console.press(.down, .space, .enter)
        console.open("Network Adapters")
        console.press(.home, .space, .enter, .escape, .character("y"))
        #expect(applied(console)?.uplinks == ["vmnic1", "vmnic0"])
        #expect(console.settings.network.switches.first?.activeUplinks == ["vmnic1", "vmnic0"])
    }

    @Test("a VLAN beyond 4095 is refused", arguments: ["4096", "x", "1.5", "-1"])
    func vlan(text: String) {
        var console = inMenu()
        console.open("VLAN")
        console.type(text)
        console.press(.enter)
        #expect(console.shows("from 0 to 4095"))
    }

    @Test("suffixes cannot be changed while DHCP gives them")
    func suffixes() {
        var console = inMenu()
        console.open("DNS Suffixes")
        #expect(console.shows("come from the DHCP server"))
    }

    @Test("tests run one after another and each line gets its verdict")
    func testing() {
        var console = ConsoleHarness()
        console.logIn()
        console.open("Test Management Network")
        console.press(.enter)
        #expect(
            Array(console.asked.dropFirst()) == [
                .ping(IPv4Address(10, 20, 0, 1)), .ping(IPv4Address(10, 20, 0, 53)), .ping(IPv4Address(10, 20, 0, 54)),
                .resolve("wafer-01.example.com"),
            ])
        #expect(console.text.split(separator: "\n").filter { $0.contains("  OK") }.count == 3)
        #expect(console.shows("Failed"))
        console.press(.escape)
        #expect(console.shows("Host Settings"))
    }

    @Test("applying leaves what the dialogs do not show as it was")
    func untouched() {
        var settings = HostSettings()
        settings.network.adapters = [AdapterSettings()]
        settings.network.vmknics.append(VMKNICSettings())
        settings.access.rootPassword = "hash"
        var changed = settings
        ManagementNetwork(settings).apply(to: &changed)
        #expect(changed == settings)
    }

    @Test("settings without a management port get one")
    func missing() {
        var settings = HostSettings()
        settings.network.vmknics = []
        settings.network.portGroups = []
        var network = ManagementNetwork(settings)
        network.vlan = 5
        network.apply(to: &settings)
        #expect(ManagementNetwork(settings) == network)
    }

    @Test(
        "host names and domains",
        arguments: [
            ("host", true), ("a-b.example", true), ("-a", false), ("a..b", false), ("a_b", false), ("", false),
            (String(repeating: "a", count: 64), false),
        ])
    func names(text: String, isName: Bool) {
        #expect(FormReader.isName(text) == isName)
    }
}
