import Addresses
import HostModel

extension ConsoleState {
    func loginForm(_ destination: Form.Destination) -> Form {
        let isOpen = host.settings?.access.rootPassword.isEmpty ?? false
        var form = Form(
            .login(destination), destination == .power ? "Log in to shut down or restart" : "Log in",
            isOpen ? "No password is set yet: leave the password empty." : "",
            [
                .init(.user, "Login name", text: "root", limit: 64),
                .init(.old, "Password", .secret, limit: 256),
            ])
        form.focus(on: .old)
        return form
    }

    /// The dialog for a purpose, filled with present values; nil while these are not known.
    func form(for purpose: Form.Purpose) -> Form? {
        guard let settings = host.settings else { return purpose == .networkTest ? testForm() : nil }
        switch purpose {
        case .login(let destination): return loginForm(destination)
        case .password: return passwordForm(settings)
        case .lockdown:
            return Form(
                purpose, "Lockdown Mode",
                "While lockdown is on, the host takes orders from its central manager only. Switch it on when there is one.",
                [.init(.isOn, "Lockdown mode", .check, isOn: settings.access.lockdown)])
        case .keyboard:
            let present = KeyboardLayout.named(settings.console.keyboard).name
            return Form(
                purpose, "Keyboard Layout", "",
                KeyboardLayout.all.map { .init(.option($0.name), $0.title, .radio, isOn: $0.name == present) })
        case .idleTimeout:
            return Form(
                purpose, "Console Idle Time",
                "Minutes without a key until this console logs out, up to 1440. 0 never does.",
                [.init(.number, "Minutes", text: "\(settings.console.idleTimeout / 60)", limit: 4)])
        case .networkTest: return testForm()
        case .networkRestore:
            return Form(
                purpose, "Restore Network", "Choose what becomes as on a new host. You are asked once more.",
                [
                    .init(.option("management"), "The management network", .radio, isOn: true),
                    .init(.option("switches"), "All virtual switches", .radio),
                ])
        case .autostart(let file):
            let order = host.machines?.first { $0.file == file }?.startOrder
            return Form(
                purpose, "Automatic Start",
                "Machines start one after another by their number. One without a number is started by hand.",
                [
                    .init(.isOn, "Start machines with the host", .check, isOn: settings.autostart.isEnabled),
                    .init(.number, "Number of this one", text: order.map { "\($0)" } ?? "", limit: 4),
                ])
        case .adapters, .vlan, .ipv4, .ipv6, .dns, .suffixes: return networkForm(purpose)
        }
    }

    private func passwordForm(_ settings: HostSettings) -> Form {
        var fields: [Form.Field] = [
            .init(.new, "New password", .secret, limit: 256), .init(.again, "The same again", .secret, limit: 256),
        ]
        if !settings.access.rootPassword.isEmpty {
            fields.insert(.init(.old, "Present password", .secret, limit: 256), at: 0)
        }
        return Form(
            .password, "Password of root",
            "Tab goes from field to field. The host refuses passwords that are too easy to guess.", fields)
    }

    private func testForm() -> Form {
        let network = host.network
        let servers = network?.dnsServers ?? []
        return Form(
            .networkTest, "Test Management Network",
            "Addresses to ping, and a name to ask the name servers for. Clear what is not wanted.",
            [
                .init(.server(0), "Gateway", text: network?.gateway?.description ?? "", limit: 15),
                .init(.server(1), "Name server 1", text: servers.first?.description ?? "", limit: 15),
                .init(.server(2), "Name server 2", text: servers.dropFirst().first?.description ?? "", limit: 15),
                .init(.hostName, "Name", text: fullName, limit: 253),
            ])
    }

    /// The host's name, with the first suffix if it has no dot itself.
    private var fullName: String {
        let name = host.network?.hostName ?? host.settings?.hostName ?? ""
        if name.contains(".") || name.isEmpty { return name }
        return host.network?.searchDomains.first.map { "\(name).\($0)" } ?? name
    }

    private func networkForm(_ purpose: Form.Purpose) -> Form? {
        guard let network = draft?.edited else { return nil }
        switch purpose {
        case .adapters: return adaptersForm(network)
        case .vlan:
            return Form(
                purpose, "VLAN", "1 to 4094. Empty or 0: none. 4095: every VLAN, tags are left to the host.",
                [.init(.number, "VLAN", text: network.vlan == 0 ? "" : "\(network.vlan)", limit: 4)])
        case .ipv4:
            let isFixed = network.ipv4 == .fixed
            return Form(
                purpose, "IPv4", "",
                [
                    .init(.disabled, "No IPv4", .radio, isOn: network.ipv4 == .disabled),
                    .init(.automatic, "Automatic, from a DHCP server", .radio, isOn: network.ipv4 == .dhcp),
                    .init(.fixed, "Fixed:", .radio, isOn: isFixed),
                    .init(.address, "Address", text: presentAddress(network), needs: .fixed, limit: 15),
                    .init(.mask, "Mask", text: presentMask(network), needs: .fixed, limit: 15),
                    .init(
                        .gateway, "Gateway",
                        text: (isFixed ? network.gateway : host.network?.gateway)?.description ?? "", needs: .fixed,
                        limit: 15),
                ])
        case .ipv6:
            var fields: [Form.Field] = [
                .init(.isOn, "IPv6", .check, isOn: network.ipv6),
                .init(
                    .automatic, "Addresses from router advertisements", .check, isOn: network.ipv6Automatic,
                    needs: .isOn),
            ]
            for index in 0..<3 {
                let address = network.ipv6Addresses.dropFirst(index).first
                fields.append(
                    .init(
                        .address6(index), "Address \(index + 1)", text: address?.description ?? "", needs: .isOn,
                        limit: 49))
            }
            fields.append(
                .init(.gateway, "Gateway", text: network.ipv6Gateway?.description ?? "", needs: .isOn, limit: 45))
            return Form(purpose, "IPv6", "Fixed addresses with their prefix length, such as fd00::5/64.", fields)
        case .dns:
            let servers = network.dnsAutomatic ? host.network?.dnsServers ?? [] : network.dnsServers
            return Form(
                purpose, "DNS and Host Name", "",
                [
                    .init(.automatic, "Servers and suffixes from the DHCP server", .radio, isOn: network.dnsAutomatic),
                    .init(.fixed, "Fixed:", .radio, isOn: !network.dnsAutomatic),
                    .init(.server(0), "Server 1", text: servers.first?.description ?? "", needs: .fixed, limit: 15),
                    .init(
                        .server(1), "Server 2", text: servers.dropFirst().first?.description ?? "", needs: .fixed,
                        limit: 15),
                    .init(.hostName, "Host name", text: network.hostName, limit: 253),
                ])
        case .suffixes:
            return Form(
                purpose, "DNS Suffixes", "Domains, separated by spaces or commas, in the order they are tried.",
                [.init(.text, "Suffixes", text: network.searchDomains.joined(separator: " "), limit: 512)])
        default: return nil
        }
    }

    /// Whoever changes from DHCP to fixed most often wants to keep the address.
    private func presentAddress(_ network: ManagementNetwork) -> String {
        if network.ipv4 == .fixed { return network.address?.description ?? "" }
        return host.network?.addresses.first { !$0.isIPv6 }?.text ?? ""
    }

    private func presentMask(_ network: ManagementNetwork) -> String {
        let prefix =
            network.ipv4 == .fixed
            ? Int(network.prefix) : host.network?.addresses.first { !$0.isIPv6 }?.prefix ?? 24
        return IPv4Address.mask(prefix: prefix).description
    }

    private func adaptersForm(_ network: ManagementNetwork) -> Form {
        let adapters = host.network?.adapters ?? []
        var fields: [Form.Field] = adapters.map { adapter in
            .init(
                .option(adapter.name), Self.adapterLine(adapter), .check, isOn: network.uplinks.contains(adapter.name))
        }
        // Chosen once, not there now: it can be taken out.
        for name in network.uplinks where !adapters.contains(where: { $0.name == name }) {
            fields.append(.init(.option(name), Self.columns(name, "", "not found", ""), .check, isOn: true))
        }
        if fields.isEmpty { fields.append(.init(.note(1), "No adapter was found.", .note)) }
        return Form(
            .adapters, "Network Adapters",
            "The first chosen adapter is preferred. None chosen: the first one that has a link. D shows an adapter's details.",
            fields)
    }

    private static func adapterLine(_ adapter: AdapterObservation) -> String {
        let speed = adapter.speed.map { $0 % 1000 == 0 ? "\($0 / 1000) Gbit/s" : "\($0) Mbit/s" }
        return columns(
            adapter.name, adapter.macAddress, adapter.hasLink ? "link \(speed ?? "up")" : "no link", adapter.driver)
    }

    private static func columns(_ name: String, _ address: String, _ link: String, _ driver: String) -> String {
        func padded(_ text: String, _ width: Int) -> String {
            text + String(repeating: " ", count: max(1, width - text.unicodeScalars.count))
        }
        return padded(name, 9) + padded(address, 19) + padded(link, 16) + driver
    }
}
