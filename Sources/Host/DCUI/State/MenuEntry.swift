import Addresses
import HostModel

/// A line of a menu, and what is shown beside it while it is highlighted.
struct MenuEntry: Equatable, Sendable {
    enum Target: Equatable, Sendable {
        case form(Form.Purpose)
        case menu(Menu.Kind)
        case confirm(Confirmation.Action)
        case machines, supportInformation
        case machineDetails
        case readLog(LogEntry)
        case networkTest
    }
    var title: String
    var target: Target
    /// Present values.
    var facts: [Fact] = []
    var explanation: String
    /// Why it cannot be chosen; nil if it can.
    var obstacle: String?

    struct Fact: Equatable, Sendable {
        var label: String
        var value: String
        var isWarning = false

        init(_ label: String, _ value: String, isWarning: Bool = false) {
            self.label = label
            self.value = value
            self.isWarning = isWarning
        }
    }
}

extension ConsoleState {
    /// The menu's lines as things are now.
    func entries(of kind: Menu.Kind) -> [MenuEntry] {
        var entries: [MenuEntry]
        switch kind {
        case .settings: entries = settingsEntries
        case .network: return networkEntries
        case .troubleshooting: entries = troubleshootingEntries
        case .logs:
            return logs.map { log in
                MenuEntry(
                    title: log.title, target: .readLog(log),
                    explanation: "Enter shows the newest lines. In the log, / searches and n goes on to the next match."
                )
            }
        case .machine(let file): return machineEntries(file)
        }
        if host.settings == nil {
            for index in entries.indices where entries[index].obstacle == nil && entries[index].needsSettings {
                entries[index].obstacle =
                    "The settings cannot be reached yet. This entry can be used as soon as they can."
            }
        }
        return entries
    }

    private var settingsEntries: [MenuEntry] {
        let settings = host.settings
        let hasPassword = !(settings?.access.rootPassword.isEmpty ?? true)
        let isManagementOn = settings?.network.vmknics.first(where: \.isManagement)?.isEnabled ?? true
        return [
            MenuEntry(
                title: "Password", target: .form(.password),
                facts: [.init("root", hasPassword ? "Set" : "Not set", isWarning: !hasPassword && settings != nil)],
                explanation: "The password of root, for this console and for remote management."
                    + (hasPassword ? "" : " Until it is set, anybody who stands here can log in.")),
            MenuEntry(
                title: "Lockdown Mode", target: .form(.lockdown),
                facts: [.init("Lockdown", settings?.access.lockdown ?? false ? "On" : "Off")],
                explanation:
                    "While it is on, the host takes orders from its central manager only, not from people who log in to it "
                    + "over the network. This console stays open to root."),
            MenuEntry(
                title: "Management Network", target: .menu(.network), facts: managementFacts,
                explanation: "Network adapters, VLAN, addresses and names of this host."),
            MenuEntry(
                title: "Restart Management Network", target: .confirm(.restartNetwork),
                explanation:
                    "Brings the management network up again and asks the DHCP server for an address anew. Managers lose their "
                    + "connection for a moment. Virtual machines go on."),
            MenuEntry(
                title: "Test Management Network", target: .networkTest,
                explanation:
                    "Tries whether the gateway and the name servers answer and whether this host's name is known."),
            isManagementOn
                ? MenuEntry(
                    title: "Disable Management Network", target: .confirm(.disableNetwork),
                    facts: [.init("Network", "Enabled")],
                    explanation:
                        "Takes this host off the management network until it is enabled here again. Virtual machines go on."
                )
                : MenuEntry(
                    title: "Enable Management Network", target: .confirm(.enableNetwork),
                    facts: [.init("Network", "Disabled", isWarning: true)],
                    explanation: "Puts this host back on the management network, with the settings it had."),
            MenuEntry(
                title: "Restore Network", target: .form(.networkRestore),
                explanation:
                    "Puts the management network, or every virtual switch, back to what a new host has. For when a change has "
                    + "cut this host off."),
            MenuEntry(
                title: "Keyboard Layout", target: .form(.keyboard),
                facts: [.init("Layout", KeyboardLayout.named(settings?.console.keyboard ?? "us").title)],
                explanation:
                    "Which characters the keys of the keyboard at this server stand for. Serial consoles use the layout "
                    + "of the computer they are shown on."),
            MenuEntry(
                title: "Virtual Machines", target: .machines, facts: machineFacts,
                explanation:
                    "Starts and stops the virtual machines of this host, shows what they are, and which of them start by "
                    + "themselves.",
                obstacle: host.machines == nil ? "The host agent has not answered yet; it knows the machines." : nil),
            MenuEntry(
                title: "Troubleshooting", target: .menu(.troubleshooting),
                explanation:
                    "Restarts the management agents, and sets when this console logs out. There is no shell on this host and "
                    + "no SSH server: there is nothing to switch on, and nothing to break into."),
            MenuEntry(
                title: "System Logs", target: .menu(.logs),
                explanation:
                    "What the kernel, the agents and the virtual machines have reported since the host started."),
            MenuEntry(
                title: "Support Information", target: .supportInformation, facts: supportFacts,
                explanation: "Enter shows more: versions, hardware, adapters."),
            MenuEntry(
                title: "Factory Reset", target: .confirm(.factoryReset),
                explanation:
                    "Forgets every setting: password, network, the list of virtual machines. The host restarts as if it were "
                    + "new. Files of virtual machines stay on their disks."),
        ]
    }

    private var troubleshootingEntries: [MenuEntry] {
        let seconds = host.settings?.console.idleTimeout ?? 600
        return [
            MenuEntry(
                title: "Restart Management Agents", target: .confirm(.restartAgents),
                explanation:
                    "Starts the agents of this host again: virtual machines, network, logs, time. Managers lose their "
                    + "connection for a moment. Virtual machines go on, nothing of theirs is interrupted."),
            MenuEntry(
                title: "Console Idle Time", target: .form(.idleTimeout),
                facts: [.init("Log out after", seconds == 0 ? "Never" : Wording.duration(seconds))],
                explanation: "How long this console waits for a key until it logs out."),
        ]
    }

    private var managementFacts: [MenuEntry.Fact] {
        guard let network = host.network else { return [.init("State", "Starting")] }
        var facts = [MenuEntry.Fact("Host name", network.hostName)]
        for address in network.addresses where !address.isIPv6 {
            facts.append(.init("IPv4", "\(address.text) (\(Wording.origin(address.origin)))"))
        }
        for address in network.addresses where address.isIPv6 {
            facts.append(.init("IPv6", "\(address.text)/\(address.prefix)"))
        }
        if network.addresses.isEmpty { facts.append(.init("Address", "None", isWarning: true)) }
        return facts
    }

    private var machineFacts: [MenuEntry.Fact] {
        guard let machines = host.machines else { return [] }
        return [.init("Machines", "\(machines.count)"), .init("Switched on", "\(machines.filter(\.isOn).count)")]
    }

    private var supportFacts: [MenuEntry.Fact] {
        var facts = [MenuEntry.Fact("Version", "Wafer \(host.version)")]
        if let hardware = host.hardware {
            facts.append(.init("Serial", hardware.serialNumber.isEmpty ? "Not known" : hardware.serialNumber))
        }
        if let banks = host.banks {
            facts.append(.init("Boot bank", banks.running + (banks.isTrial ? " (on trial)" : "")))
            for bank in banks.banks where bank.name != banks.running {
                facts.append(
                    .init("Bank \(bank.name)", bank.version.isEmpty ? "Empty" : "Wafer \(bank.version), \(bank.state)"))
            }
        }
        if let uptime = host.uptime { facts.append(.init("Running for", Wording.uptime(uptime))) }
        return facts
    }

    private var networkEntries: [MenuEntry] {
        guard let network = draft?.edited else { return [] }
        let addresses = host.network?.addresses ?? []
        let present = { (isIPv6: Bool) -> [MenuEntry.Fact] in
            addresses.filter { $0.isIPv6 == isIPv6 }.map {
                .init("Now", "\($0.text)/\($0.prefix) (\(Wording.origin($0.origin)))")
            }
        }
        var ipv4: [MenuEntry.Fact] = []
        switch network.ipv4 {
        case .disabled: ipv4 = [.init("IPv4", "Off")]
        case .dhcp: ipv4 = [.init("IPv4", "Automatic (DHCP)")] + present(false)
        case .fixed:
            ipv4 = [
                .init("IPv4", "Fixed"), .init("Address", network.address?.description ?? "Not set"),
                .init("Mask", IPv4Address.mask(prefix: Int(network.prefix)).description),
                .init("Gateway", network.gateway?.description ?? "None"),
            ]
        }
        var ipv6: [MenuEntry.Fact] = [.init("IPv6", network.ipv6 ? "On" : "Off")]
        if network.ipv6 {
            ipv6.append(.init("Automatic", network.ipv6Automatic ? "Router advertisements" : "Off"))
            for address in network.ipv6Addresses { ipv6.append(.init("Fixed", address.description)) }
            ipv6 += present(true)
        }
        let servers = network.dnsAutomatic ? host.network?.dnsServers ?? [] : network.dnsServers
        var names: [MenuEntry.Fact] = [
            .init("Host name", network.hostName), .init("Servers", network.dnsAutomatic ? "Automatic (DHCP)" : "Fixed"),
        ]
        for server in servers { names.append(.init("", server.description)) }
        let suffixes = network.dnsAutomatic ? host.network?.searchDomains ?? [] : network.searchDomains
        return [
            MenuEntry(
                title: "Network Adapters", target: .form(.adapters),
                facts: network.uplinks.isEmpty
                    ? [.init("In use", "The first with a link")]
                    : network.uplinks.map { .init("In use", $0) },
                explanation:
                    "Which adapters carry the management network. With two or more, the host stays reachable when one fails."
            ),
            MenuEntry(
                title: "VLAN", target: .form(.vlan),
                facts: [.init("VLAN", Wording.vlan(network.vlan))],
                explanation: "The number of the VLAN that management traffic is tagged with. Most networks need none."),
            MenuEntry(
                title: "IPv4", target: .form(.ipv4), facts: ipv4,
                explanation: "How this host gets its IPv4 address."),
            MenuEntry(
                title: "IPv6", target: .form(.ipv6), facts: ipv6,
                explanation: "How this host gets its IPv6 addresses."),
            MenuEntry(
                title: "DNS and Host Name", target: .form(.dns), facts: names,
                explanation: "This host's name, and the servers that it asks for others'."),
            MenuEntry(
                title: "DNS Suffixes", target: .form(.suffixes),
                facts: suffixes.isEmpty ? [.init("Suffixes", "None")] : suffixes.map { .init("Suffix", $0) },
                explanation: "What is appended to names without a dot, in this order.",
                obstacle: network.dnsAutomatic
                    ? "The suffixes come from the DHCP server. To enter your own, choose fixed servers under DNS and Host Name first."
                    : nil),
        ]
    }

    private func machineEntries(_ file: String) -> [MenuEntry] {
        guard let machine = host.machines?.first(where: { $0.file == file }) else { return [] }
        var facts: [MenuEntry.Fact] = [
            .init("State", Wording.power(machine.power)),
            .init("Processors", "\(machine.processors)"), .init("Memory", Wording.mebibytes(machine.memory)),
            .init("Starts", machine.startOrder.map { "With the host, as number \($0)" } ?? "By hand"),
        ]
        if !machine.trouble.isEmpty { facts.append(.init("Note", machine.trouble, isWarning: true)) }
        let off = machine.isOn ? nil : "This machine is not switched on."
        let action = { (title: String, action: MachineAction, explanation: String, obstacle: String?) in
            MenuEntry(
                title: title, target: .confirm(.machine(file: file, action)), facts: facts, explanation: explanation,
                obstacle: obstacle)
        }
        return [
            action(
                "Start", .start, "Switches the machine on.", machine.isOn ? "This machine is switched on already." : nil
            ),
            action(
                "Shut Down Guest", .shutDownGuest,
                "Presses the machine's power button. Its operating system decides what to do, and may take its time.",
                off),
            action(
                "Power Off", .powerOff,
                "Switches the machine off at once, as if its plug were pulled. Its operating system is not asked.",
                off),
            action("Reset", .reset, "Starts the machine again at once. Its operating system is not asked.", off),
            MenuEntry(
                title: "Automatic Start", target: .form(.autostart(file: file)), facts: facts,
                explanation: "Whether this machine starts with the host, and in which order."),
            MenuEntry(
                title: "Details", target: .machineDetails, facts: facts,
                explanation: "The machine's devices, and the last lines of its log."),
        ]
    }
}

extension MenuEntry {
    /// Whether it does nothing useful without settings.
    fileprivate var needsSettings: Bool {
        switch target {
        case .form, .confirm(.disableNetwork), .confirm(.enableNetwork), .confirm(.factoryReset): true
        case .menu(let kind): kind == .network
        default: false
        }
    }
}
