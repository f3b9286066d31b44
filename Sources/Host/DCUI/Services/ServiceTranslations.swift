import Addresses
import HostModel
import HostService
import Linux
import LogService
import NetworkService

// What agents say, in this console's words.

extension NetworkObservation {
    init(_ status: NetworkStatus) {
        self.init()
        hostName = status.hostName
        gateway = status.gateway
        dnsServers = status.dnsServers
        searchDomains = status.searchDomains
        trialSecondsLeft = status.trialSecondsLeft
        problems = status.problems.map(ServiceFailure.sentence)
        for adapter in status.adapters {
            var seen = AdapterObservation()
            seen.name = adapter.name
            seen.macAddress = adapter.macAddress
            seen.driver = adapter.driver
            seen.bus = adapter.bus
            seen.hasLink = adapter.hasLink
            seen.speed = adapter.speed == 0 ? nil : Int(adapter.speed)
            adapters.append(seen)
        }
        for port in status.vmknics where port.isManagement {
            if macAddress.isEmpty { macAddress = port.macAddress }
            if let ipv4 = port.ipv4 {
                addresses.append(AddressObservation("\(ipv4.address)", prefix: Int(ipv4.prefix), .init(ipv4.origin)))
            }
            for ipv6 in port.ipv6 {
                addresses.append(
                    AddressObservation("\(ipv6.network.address)", prefix: Int(ipv6.network.prefix), .init(ipv6.origin)))
            }
        }
    }
}

extension AddressObservation.Origin {
    init(_ origin: AddressOrigin) {
        switch origin {
        case .fixed: self = .fixed
        case .dhcp: self = .dhcp
        case .linkLocal: self = .linkLocal
        case .advertised: self = .automatic
        }
    }
}

extension MachineObservation {
    init(_ machine: InventoryMachine) {
        self.init()
        file = machine.file
        name = machine.name
        memory = UInt64(machine.description.memory)
        processors = Int(machine.description.processors)
        guest = machine.description.guestOS
        startOrder = machine.startOrder
        switch machine.power {
        case .poweredOff: power = .off
        case .starting: power = .starting
        case .running: power = .running
        case .paused, .question: power = .paused
        case .crashed: power = .stopping
        case .suspended: power = .suspended
        }
        trouble = machine.question?.text ?? machine.problems.first ?? ""
    }
}

enum MachineLines {
    /// Everything the host agent tells about a machine.
    static func lines(_ details: MachineDetails.Answer) -> [String] {
        let machine = details.machine
        func fact(_ label: String, _ value: String) -> String {
            "  " + label + String(repeating: " ", count: max(1, 16 - label.unicodeScalars.count)) + value
        }
        var lines = [
            machine.name, fact("File", machine.file), fact("State", machine.power.text),
            fact("Guest", machine.description.guestOS.isEmpty ? "not known" : machine.description.guestOS),
            fact("Processors", "\(machine.description.processors)"),
            fact("Memory", Wording.mebibytes(UInt64(machine.description.memory))),
        ]
        if machine.power.isOn {
            lines.append(fact("On for", Wording.uptime(details.uptime / 1000)))
            lines.append(fact("Resets", "\(details.resets)"))
        }
        func section(_ title: String, _ texts: [String]) {
            if !texts.isEmpty { lines += ["", title] + texts.map { "  " + $0 } }
        }
        section("To be mended", machine.problems)
        section("Waits for an answer", machine.question.map { [$0.text] } ?? [])
        section("Devices", details.devices)
        section("The end of its log", details.log)
        return lines
    }
}

enum LogReader {
    /// The newest lines of a log, oldest first.
    static func lines(of name: String, count: Int) throws(ServiceFailure) -> [String] {
        var lines: [String] = []
        var from = ReadLog.last
        // A message holds only so many.
        for _ in 0..<64 {
            let wanted = UInt32(clamping: count - lines.count)
            if wanted == 0 { break }
            let answer = try Agent.log.ask(ReadLog(name: name, from: from, count: wanted))
            if answer.lines.isEmpty { break }
            lines += answer.lines.map(text)
            from = answer.next
        }
        return lines
    }

    private static func text(_ line: LogLine) -> String {
        let time = CalendarTime(secondsSince1970: Int64(clamping: line.time / 1_000_000_000))
        func two(_ number: Int) -> String { number < 10 ? "0\(number)" : "\(number)" }
        let date = "\(two(time.month))-\(two(time.day)) \(two(time.hour)):\(two(time.minute)):\(two(time.second))"
        return "\(date)  \(line.severity <= 3 ? "! " : "")\(line.component): \(line.text)"
    }
}

enum DataFileSystems {
    /// How many file systems on disks there are besides those of the boot medium (proc(5), /proc/pid/mounts).
    static func count(_ mounts: String) -> Int {
        var devices: Set<Substring> = []
        for line in mounts.split(separator: "\n") {
            let fields = line.split(separator: " ")
            guard fields.count > 2, ["ext4", "xfs", "vmfs", "nfs", "nfs4"].contains(fields[2]) else { continue }
            devices.insert(fields[0])
        }
        return devices.count
    }
}

/// The agents as processes.
enum AgentProcesses {
    private static let names: Set<String> = ["logd", "configd", "netd", "timed", "hostd"]

    /// Tells every agent to end. The first process starts each again; machines' processes and consoles are none of them.
    static func restart() {
        for name in (try? listDirectory("/proc")) ?? [] {
            guard let process = Int32(name), process > 1,
                let bytes = try? readFile("/proc/\(name)/cmdline", limit: 65_536), isAgent(commandLine: bytes)
            else { continue }
            Child.signal(process, 15)
        }
    }

    /// - Parameter bytes: the words of a command, each with a zero after it (proc(5), /proc/pid/cmdline).
    static func isAgent(commandLine bytes: [UInt8]) -> Bool {
        let words = bytes.split(separator: 0).prefix(2).map { String(decoding: $0, as: UTF8.self) }
        return words.count == 2 && Files.name(of: words[0]) == "wafer" && names.contains(words[1])
    }
}
