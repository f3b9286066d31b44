import Addresses
import HostModel
import Linux
import Synchronization

/// A host that is not there: canned facts, and settings that change in memory. For looking at the console without a host
/// (`wafer dcui --demo`), and for tests.
public final class DemoServices: ConsoleServices {
    private struct Host {
        var settings = HostSettings()
        var machines = DemoServices.machines
        var failures: UInt32 = 0
        /// No hashing here: nothing is protected.
        var password = ""
    }

    private let host = Mutex(Host())
    /// Whether answers take about as long as on a host, so that "One moment" is seen.
    private let isSlow: Bool

    public init(isSlow: Bool) { self.isSlow = isSlow }

    public func answer(_ request: ServiceRequest) -> ServiceAnswer {
        if isSlow, request != .observe { pause(nanoseconds: 400_000_000) }
        return host.withLock { host in Self.answer(request, &host) }
    }

    private static func answer(_ request: ServiceRequest, _ host: inout Host) -> ServiceAnswer {
        switch request {
        case .observe: return .observed(observation(host))
        case .login(let user, let password): return login(user, password, &host)
        case .changePassword(let old, let new):
            guard old == host.password else { return .failed("The present password is wrong.") }
            guard new.unicodeScalars.count >= 8 else {
                return .failed("The new password is too short: it needs 8 characters at least.")
            }
            host.password = new
            host.settings.access.rootPassword = "set"
            return .done
        case .edit(let edit):
            edit.apply(to: &host.settings)
            return .done
        case .restartNetwork, .restartAgents, .factoryReset, .power: return .done
        case .ping(let address):
            return address == IPv4Address(10, 20, 0, 54) ? .failed("No answer within 3 seconds.") : .found("0.4 ms")
        case .resolve: return .found("10.20.0.17")
        case .listLogs:
            return .logs([
                LogEntry(name: "kernel", title: "Kernel"), LogEntry(name: "hostd", title: "Host agent"),
                LogEntry(name: "netd", title: "Network"), LogEntry(name: "configd", title: "Settings"),
            ])
        case .readLog(let name, let count): return .lines(log(name, min(count, 200)))
        case .machine(let file, let action): return act(action, file, &host)
        case .machineDetails(let file):
            guard let machine = host.machines.first(where: { $0.file == file }) else { return noMachine }
            return .lines([
                machine.name, "", "File             \(machine.file)", "Guest            \(machine.guest)", "",
                "Devices",
                "  scsi0:0        disk, 40 GiB", "  ethernet0      VM Network, 00:50:56:11:22:33",
            ])
        case .setStartOrder(let file, let order):
            guard let index = host.machines.firstIndex(where: { $0.file == file }) else { return noMachine }
            host.machines[index].startOrder = order
            return .done
        }
    }

    private static var noMachine: ServiceAnswer { .failed("This virtual machine is not there any more.") }

    private static func login(_ user: String, _ password: String, _ host: inout Host) -> ServiceAnswer {
        if host.failures >= host.settings.access.failuresMax {
            return .failed("Too many wrong passwords: root is locked for 15 minutes.")
        }
        guard user == "root", password == host.password else {
            host.failures += 1
            return .failed("The login name or the password is wrong.")
        }
        host.failures = 0
        return .done
    }

    private static func act(_ action: MachineAction, _ file: String, _ host: inout Host) -> ServiceAnswer {
        guard let index = host.machines.firstIndex(where: { $0.file == file }) else { return noMachine }
        switch action {
        case .start:
            if host.machines[index].name == "broken" {
                return .failed("The disk /data/broken/broken.vmdk cannot be opened: there is no such file.")
            }
            host.machines[index].power = .running
        case .shutDownGuest: host.machines[index].power = .stopping
        case .powerOff: host.machines[index].power = .off
        case .reset: break
        }
        return .done
    }

    private static func log(_ name: String, _ count: Int) -> [String] {
        (0..<count).map { number in
            let second = number % 60 < 10 ? "0\(number % 60)" : "\(number % 60)"
            let text =
                number % 7 == 3
                ? "adapter vmnic0: link is up, 10 Gbit/s" : "message number \(number + 1) of the \(name) log"
            return "2026-11-25 08:\(10 + number / 60):\(second)  \(name)  \(text)"
        }
    }
}

extension DemoServices {
    private static func observation(_ host: Host) -> HostObservation {
        var observation = HostObservation()
        observation.version = Version.text
        observation.hardware = hardware
        observation.settings = host.settings
        observation.network = network(host.settings)
        observation.machines = host.machines
        observation.banks = BankObservation(
            running: "A", isTrial: false,
            banks: [
                .init(name: "A", version: Version.text, state: "confirmed"),
                .init(name: "B", version: "0.0.9", state: "ready"),
            ])
        observation.dataDisks = 1
        observation.uptime = 3 * 86_400 + 7 * 3600
        return observation
    }

    private static var hardware: HardwareObservation {
        var hardware = HardwareObservation()
        hardware.maker = "Example Systems"
        hardware.model = "R740-class rack server"
        hardware.serialNumber = "EX7Q2M3"
        hardware.processor = "Intel(R) Xeon(R) Gold 6230 CPU @ 2.10GHz"
        hardware.packages = 2
        hardware.cores = 40
        hardware.threads = 80
        hardware.memory = 382 << 30
        return hardware
    }

    private static func network(_ settings: HostSettings) -> NetworkObservation {
        let management = ManagementNetwork(settings)
        var network = NetworkObservation()
        network.hostName = management.hostName == "localhost" ? "wafer-01.example.com" : management.hostName
        network.macAddress = "00:50:56:4a:10:01"
        network.gateway = IPv4Address(10, 20, 0, 1)
        network.dnsServers = [IPv4Address(10, 20, 0, 53), IPv4Address(10, 20, 0, 54)]
        network.searchDomains = ["example.com"]
        if management.ipv4 == .fixed, let address = management.address {
            network.addresses.append(AddressObservation("\(address)", prefix: Int(management.prefix), .fixed))
        } else if management.ipv4 == .dhcp {
            network.addresses.append(AddressObservation("10.20.0.17", prefix: 24, .dhcp))
        }
        if management.ipv6 {
            network.addresses.append(AddressObservation("2001:db8:20::4aff:fe4a:1001", prefix: 64, .automatic))
            network.addresses.append(AddressObservation("fe80::250:56ff:fe4a:1001", prefix: 64, .linkLocal))
        }
        for number in 0..<4 {
            var adapter = AdapterObservation()
            adapter.name = "vmnic\(number)"
            adapter.macAddress = "00:50:56:4a:10:0\(number + 1)"
            adapter.driver = number < 2 ? "ixgbe" : "tg3"
            adapter.bus = number < 2 ? "0000:3b:00.\(number)" : "0000:01:00.\(number - 2)"
            adapter.hasLink = number != 3
            adapter.speed = [10_000, 10_000, 1000, nil][number]
            network.adapters.append(adapter)
        }
        return network
    }

    private static var machines: [MachineObservation] {
        let table: [(String, MachineObservation.Power, UInt64, Int, UInt32?, String)] = [
            ("web01", .running, 4096, 2, 1, ""), ("database", .running, 16_384, 8, 2, ""),
            ("build-linux", .off, 8192, 4, nil, ""), ("broken", .off, 512, 1, nil, "Its disk broken.vmdk is missing."),
            ("mail.example.com", .suspended, 2048, 2, 3, ""),
        ]
        return table.map { name, power, memory, processors, order, trouble in
            var machine = MachineObservation()
            machine.file = "/data/\(name)/\(name).vmx"
            machine.name = name
            machine.power = power
            machine.memory = memory
            machine.processors = processors
            machine.guest = "Debian 12"
            machine.startOrder = order
            machine.trouble = trouble
            return machine
        }
    }
}
