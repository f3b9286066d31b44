import Addresses
import HostLink
import HostModel
import HostService
import NetworkService
import Testing

@testable import DCUI

@Suite("What agents say, in the console's words")
struct ServiceTranslationTests {
    @Test("management ports' addresses come with their origin; other ports' do not come")
    func network() {
        var status = NetworkStatus()
        status.hostName = "rack3"
        for isManagement in [false, true] {
            var port = VMKNICStatus()
            port.isManagement = isManagement
            port.macAddress = isManagement ? "00:50:56:00:00:02" : "00:50:56:00:00:01"
            port.ipv4 = IPv4Status(address: IPv4Address(10, 0, 0, isManagement ? 2 : 1), prefix: 16, origin: .dhcp)
            if let network = IPv6Network("fe80::1/64") {
                port.ipv6 = [IPv6Status(network: network, origin: .linkLocal)]
            }
            status.vmknics.append(port)
        }
        let seen = NetworkObservation(status)
        #expect(seen.macAddress == "00:50:56:00:00:02")
        #expect(
            seen.addresses == [
                AddressObservation("10.0.0.2", prefix: 16, .dhcp),
                AddressObservation("fe80::1", prefix: 64, .linkLocal),
            ])
    }

    @Test("a machine that waits for an answer is paused, with its question")
    func machine() {
        var machine = InventoryMachine(file: "/a.vmx", description: MachineDescription(displayName: "a"))
        machine.power = .question
        machine.question = MachineQuestion(identifier: 1, text: "The disk is full.", choices: ["Retry"])
        let seen = MachineObservation(machine)
        #expect(seen.power == .paused && seen.trouble == "The disk is full." && seen.isOn)
    }

    @Test(
        "failures are sentences",
        arguments: [
            (ServiceError.closed, "The host agent does not answer yet. Try again in a moment."),
            (
                .unavailable(service: "/run/x", reason: "No such file or directory"),
                "The host agent does not answer yet. Try again in a moment."
            ),
            (.refused(.init(.denied, "the password is wrong")), "The password is wrong."),
            (.refused(.init(.invalid, "too short\nno digits")), "Too short.\nNo digits."),
        ])
    func failures(error: ServiceError, text: String) {
        #expect(ServiceFailure(error, "host agent").text == text)
    }

    @Test(
        "without agents, every question has an answer, and none is an error number",
        arguments: [
            ServiceRequest.login(user: "root", password: "x"), .changePassword(old: "", new: "x"),
            .edit(.lockdown(true)),
            .restartNetwork, .ping(IPv4Address(127, 0, 0, 1)), .resolve("x"), .listLogs,
            .readLog(name: "kernel", count: 10),
            .machine(file: "/x.vmx", .start), .machineDetails(file: "/x.vmx"), .setStartOrder(file: "/x.vmx", 1),
        ])
    func noAgents(request: ServiceRequest) {
        guard case .failed(let text) = HostServices().answer(request) else {
            Issue.record("nobody can have answered")
            return
        }
        #expect(text.hasSuffix("does not answer yet. Try again in a moment."))
    }

    @Test("without agents, the server and its version are still seen")
    func observed() {
        guard case .observed(let seen) = HostServices().answer(.observe) else {
            Issue.record("there is always something to see")
            return
        }
        #expect(!seen.version.isEmpty && (seen.hardware?.threads ?? 0) >= 1)
        #expect(seen.settings == nil && seen.network == nil && seen.machines == nil)
    }

    @Test(
        "only agents are restarted: no machine, no console, no other program",
        arguments: [
            ("wafer\0hostd\0", true), ("/wafer\0netd\0", true), ("wafer\0vmx\0a.vmx\0", false),
            ("wafer\0dcui\0tty1\0", false),
            ("vi\0hostd\0", false), ("", false),
        ])
    func agents(commandLine: String, isAgent: Bool) {
        #expect(AgentProcesses.isAgent(commandLine: Array(commandLine.utf8)) == isAgent)
    }

    @Test("file systems on disks are counted once, those in memory never")
    func disks() {
        let mounts =
            "tmpfs /run tmpfs rw 0 0\n/dev/sdb1 /data ext4 rw 0 0\n/dev/sdb1 /again ext4 rw 0 0\n/dev/sdc / vfat rw 0 0\n"
        #expect(DataFileSystems.count(mounts) == 1)
    }

    @Test("of what the first process found, devices without a driver and crashes are told")
    func notices() {
        let warnings = [
            HostWarning(.network, "This server has no network card that works."),
            HostWarning(.drivers, "The network card 8086:1572 has no driver."),
            HostWarning(.crash, "This host's kernel had crashed."),
        ]
        #expect(HostServices.notices(HostWarning.text(warnings)) == warnings.dropFirst().map(\.text))
        #expect(HostServices.notices("") == [])
    }
}
