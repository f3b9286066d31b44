import Addresses
import Testing

@testable import HostModel

@Suite("Settings as text")
struct SettingsTextTests {
    private func changed() -> HostSettings {
        var settings = HostSettings()
        settings.hostName = "esx \"one\"\\\nüber"
        settings.access.rootPassword = "$argon2id$x"
        settings.network.vmknics[0].ipv4 = .fixed
        settings.network.vmknics[0].address = IPv4Address(10, 1, 2, 3)
        settings.network.vmknics[0].ipv6Addresses = [IPv6Network("fd00::5/64")].compactMap { $0 }
        settings.network.portGroups = []
        settings.network.dns.searchDomains = ["example.org", "lab"]
        var machine = RegisteredMachine()
        machine.file = "/vmfs/volumes/one/a.vmx"
        machine.startOrder = 3
        settings.machines = [machine, machine]
        settings.autostart.stopAction = .guestShutdown
        return settings
    }

    @Test("what is written reads back the same, defaults and changes alike")
    func roundTrip() {
        for settings in [HostSettings(), changed()] {
            let (read, problems) = SettingsText.decode(SettingsText.encode(settings), as: HostSettings.self)
            #expect(read == settings)
            #expect(problems.isEmpty)
        }
    }

    @Test("nothing at all is the defaults")
    func empty() {
        let (read, problems) = SettingsText.decode("", as: HostSettings.self)
        #expect(read == HostSettings() && problems.isEmpty)
    }

    @Test(
        "a bad line costs its value only, and is named",
        arguments: [
            ("access.lockdown = \"maybe\"", "line 2: access.lockdown: \"maybe\" is not true or false"),
            (
                "console.idleTimeout = \"-1\"",
                "line 2: console.idleTimeout: \"-1\" is not a whole number from 0 to 4294967295"
            ),
            (
                "network.vmknics[0].address = \"1.2.3\"",
                "line 2: network.vmknics[0].address: \"1.2.3\" is not an IPv4 address"
            ),
            ("future.key = \"1\"", "line 2: future.key is unknown"), ("nonsense", "line 2: is not PATH = \"VALUE\""),
            ("hostName = \"open", "line 2: is not PATH = \"VALUE\""),
        ])
    func badLine(line: String, message: String) {
        let (read, problems) = SettingsText.decode("hostName = \"kept\"\n\(line)\n", as: HostSettings.self)
        #expect(read.hostName == "kept")
        #expect(problems.map(\.description) == [message])
    }

    @Test("numbers of list members cannot make the reader work for ever")
    func hugeIndex() {
        let (read, problems) = SettingsText.decode(
            "machines[99999999999].file = \"x\"\nmachines[4096].file = \"y\"\n", as: HostSettings.self)
        #expect(read.machines.isEmpty)
        #expect(problems.count == 2)
    }
}
