import Addresses
import HostModel

extension ConsoleState {
    /// What whoever helps with this host asks for first.
    var supportLines: [String] {
        var lines: [String] = []
        func section(_ title: String) {
            if !lines.isEmpty { lines.append("") }
            lines.append(title)
        }
        func fact(_ label: String, _ value: String) {
            lines.append("  " + label + String(repeating: " ", count: max(1, 22 - label.unicodeScalars.count)) + value)
        }
        func known(_ text: String?) -> String { text.flatMap { $0.isEmpty ? nil : $0 } ?? "not known" }

        section("Host")
        fact("Version", "Wafer \(host.version)")
        fact("Name", known(host.network?.hostName ?? host.settings?.hostName))
        fact("Running for", known(host.uptime.map(Wording.uptime)))

        let warnings = warnings
        if !warnings.isEmpty {
            section("To be looked after")
            lines += warnings.map { "  " + $0 }
        }

        section("Boot banks")
        if let banks = host.banks {
            for bank in banks.banks {
                let mark = bank.name == banks.running ? (banks.isTrial ? ", running on trial" : ", running") : ""
                fact(
                    "Bank \(bank.name)", bank.version.isEmpty ? "empty" : "Wafer \(bank.version), \(bank.state)\(mark)")
            }
        } else {
            fact("Banks", "not known")
        }

        section("Server")
        let hardware = host.hardware
        fact("Maker", known(hardware?.maker))
        fact("Model", known(hardware?.model))
        fact("Serial number", known(hardware?.serialNumber))
        fact("Processor", known((hardware?.processor).map(Wording.processor)))
        if let hardware {
            fact("Sockets, cores", "\(hardware.packages), \(hardware.cores) with \(hardware.threads) threads in all")
            fact("Memory", Wording.bytes(hardware.memory))
            fact("Virtualization", Wording.virtualization(hardware.virtualization))
        }

        section("Network")
        fact("MAC address", known(host.network?.macAddress))
        for address in host.network?.addresses ?? [] {
            fact("Address", "\(address.text)/\(address.prefix) (\(Wording.origin(address.origin)))")
        }
        fact("Gateway", host.network?.gateway?.description ?? "none")
        for server in host.network?.dnsServers ?? [] { fact("Name server", server.description) }
        for adapter in host.network?.adapters ?? [] {
            fact(
                adapter.name,
                "\(adapter.macAddress)  \(adapter.hasLink ? "link" : "no link")  \(adapter.driver)  \(adapter.bus)")
        }

        section("Access")
        fact("Shell and SSH", "none: this host has neither")
        fact("Certificate", "none: this version serves nothing over TLS")
        return lines
    }
}
