import Addresses
import HostModel
import Terminal

extension ConsoleState {
    mutating func press(_ key: Key, form: Form) {
        var form = form
        switch key {
        case .escape: return pop()
        case .enter: return submit(form)
        case .tab, .down: form.move(1)
        case .backTab, .up: form.move(-1)
        default:
            if form.edit(key) {
                form.error = ""
            } else if key == .space {
                form.toggle()
                form.error = ""
            } else if case .character(let scalar) = key, scalar == "d" || scalar == "D", form.purpose == .adapters {
                return showAdapter(form)
            }
        }
        replaceTop(.form(form))
    }

    private mutating func showAdapter(_ form: Form) {
        guard case .option(let name)? = form.focused?.name,
            let adapter = host.network?.adapters.first(where: { $0.name == name })
        else { return }
        let speed = adapter.speed.map { "\($0) Mbit/s" } ?? "not known"
        showMessage(
            adapter.name,
            """
            MAC address   \(adapter.macAddress)
            Driver        \(adapter.driver.isEmpty ? "none" : adapter.driver)
            Place         \(adapter.bus)
            Link          \(adapter.hasLink ? "up, \(speed)" : "down")
            """)
    }

    private mutating func submit(_ form: Form) {
        do throws(FormProblem) { try perform(form) } catch {
            var form = form
            form.error = error.text
            if let field = error.field { form.focus(on: field) }
            replaceTop(.form(form))
        }
    }

    private mutating func perform(_ form: Form) throws(FormProblem) {
        switch form.purpose {
        case .login: ask(.login(user: form.text(.user), password: form.text(.old)), "Checking …")
        case .password:
            guard form.text(.new) == form.text(.again) else {
                throw FormProblem("The two new passwords are not the same.", .again)
            }
            guard !form.text(.new).isEmpty else { throw FormProblem("Enter a new password.", .new) }
            ask(.changePassword(old: form.text(.old), new: form.text(.new)), "Changing the password …")
        case .lockdown: ask(.edit(.lockdown(form.isOn(.isOn))), "Saving …")
        case .keyboard:
            guard case .option(let name)? = form.fields.first(where: \.isOn)?.name else { return }
            ask(.edit(.keyboard(name)), "Saving …")
        case .idleTimeout:
            let minutes = try FormReader.number(form.text(.number), 0...1440, "minutes", .number)
            ask(.edit(.idleTimeout(UInt32(minutes) * 60)), "Saving …")
        case .networkTest:
            for index in 0..<3 where !form.text(.server(index)).isEmpty {
                _ = try FormReader.address(form, .server(index))
            }
            startTests(form)
        case .networkRestore:
            pop()
            confirm(form.isOn(.option("switches")) ? .restoreSwitches : .restoreManagement)
        case .autostart(let file): try setAutostart(form, file)
        case .adapters, .vlan, .ipv4, .ipv6, .dns, .suffixes:
            guard var edited = draft?.edited else { return }
            try FormReader.read(form, into: &edited)
            if form.purpose == .ipv4, edited.ipv4 == .fixed, edited.dnsAutomatic { keepNameServers(in: &edited) }
            draft?.edited = edited
            pop()
        }
    }

    /// Without DHCP nobody tells this host its name servers any more: those of now stay, to be seen and changed.
    private func keepNameServers(in network: inout ManagementNetwork) {
        network.dnsAutomatic = false
        network.dnsServers = host.network?.dnsServers ?? []
        network.searchDomains = host.network?.searchDomains ?? []
    }

    private mutating func setAutostart(_ form: Form, _ file: String) throws(FormProblem) {
        let text = form.text(.number)
        let order = text.isEmpty ? nil : UInt32(try FormReader.number(text, 1...9999, "the number", .number))
        if form.isOn(.isOn) != host.settings?.autostart.isEnabled {
            // Not waited for: what matters most to the person is this machine's answer, which comes after it.
            effects.append(.ask(.edit(.autostart(form.isOn(.isOn)))))
        }
        ask(.setStartOrder(file: file, order), "Saving …")
    }
}

/// What is wrong with a value, and where it stands.
struct FormProblem: Error, Equatable {
    var text: String
    var field: Form.Name?

    init(_ text: String, _ field: Form.Name? = nil) {
        self.text = text
        self.field = field
    }
}

/// Takes typed values apart.
enum FormReader {
    static func number(
        _ text: String, _ range: ClosedRange<Int>, _ what: String, _ field: Form.Name
    ) throws(FormProblem) -> Int {
        guard text.utf8.allSatisfy({ (48...57).contains($0) }), let number = Int(text), range.contains(number) else {
            throw FormProblem("Enter \(what) as a whole number from \(range.lowerBound) to \(range.upperBound).", field)
        }
        return number
    }

    static func address(_ text: String) -> IPv4Address? { IPv4Address(trimmed(text)) }

    static func address(_ form: Form, _ field: Form.Name) throws(FormProblem) -> IPv4Address {
        guard let address = address(form.text(field)) else {
            throw FormProblem(
                "\u{201c}\(form.text(field))\u{201d} is not an IPv4 address, such as 192.168.0.10.", field)
        }
        return address
    }

    private static func trimmed(_ text: String) -> String {
        var text = text[...]
        while text.first == " " { text = text.dropFirst() }
        while text.last == " " { text = text.dropLast() }
        return String(text)
    }

    /// Puts a dialog's values into the network settings.
    static func read(_ form: Form, into network: inout ManagementNetwork) throws(FormProblem) {
        switch form.purpose {
        case .adapters:
            let chosen = form.fields.compactMap { field in
                if field.isOn, case .option(let name) = field.name { name } else { nil }
            }
            // Those that were in use keep their order.
            network.uplinks = network.uplinks.filter(chosen.contains) + chosen.filter { !network.uplinks.contains($0) }
        case .vlan:
            let text = form.text(.number)
            network.vlan = text.isEmpty ? 0 : UInt16(try number(text, 0...4095, "the VLAN", .number))
        case .ipv4: try readIPv4(form, into: &network)
        case .ipv6: try readIPv6(form, into: &network)
        case .dns:
            if form.isOn(.automatic), network.ipv4 != .dhcp {
                throw FormProblem(
                    "IPv4 is not automatic: without a DHCP server nobody tells name servers. Enter them here.", .fixed)
            }
            network.dnsAutomatic = form.isOn(.automatic)
            if !network.dnsAutomatic {
                network.dnsServers = []
                for index in 0..<2 where !trimmed(form.text(.server(index))).isEmpty {
                    network.dnsServers.append(try address(form, .server(index)))
                }
            }
            network.hostName = try hostName(trimmed(form.text(.hostName)))
        case .suffixes:
            network.searchDomains = form.text(.text).split { $0 == " " || $0 == "," }.map(String.init)
            for domain in network.searchDomains where !isName(domain) {
                throw FormProblem("\u{201c}\(domain)\u{201d} is not a domain, such as example.com.", .text)
            }
        default: break
        }
    }

    private static func readIPv4(_ form: Form, into network: inout ManagementNetwork) throws(FormProblem) {
        if form.isOn(.disabled) { return network.ipv4 = .disabled }
        if form.isOn(.automatic) { return network.ipv4 = .dhcp }
        let host = try address(form, .address)
        let mask = try address(form, .mask)
        guard let prefix = mask.prefixOfMask, (1...31).contains(prefix) else {
            throw FormProblem("\(mask) is not a network mask, such as 255.255.255.0.", .mask)
        }
        let bits = IPv4Address.mask(prefix: prefix).number
        guard host.number >> 28 < 14, host.number >> 24 != 0, host.number >> 24 != 127 else {
            throw FormProblem("\(host) cannot be a host's address.", .address)
        }
        // A /31 has no network and broadcast addresses (RFC 3021).
        guard prefix == 31 || (host.number & ~bits != 0 && host.number & ~bits != ~bits) else {
            throw FormProblem("\(host) is the address of a whole network, not of a host.", .address)
        }
        var gateway: IPv4Address?
        if !trimmed(form.text(.gateway)).isEmpty {
            let address = try address(form, .gateway)
            guard address.number & bits == host.number & bits, address != host else {
                throw FormProblem("The gateway \(address) has to be another host of the same network.", .gateway)
            }
            gateway = address
        }
        network.ipv4 = .fixed
        network.address = host
        network.prefix = UInt16(prefix)
        network.gateway = gateway
    }

    private static func readIPv6(_ form: Form, into network: inout ManagementNetwork) throws(FormProblem) {
        network.ipv6 = form.isOn(.isOn)
        guard network.ipv6 else { return }
        network.ipv6Automatic = form.isOn(.automatic)
        // Only three are shown; further ones were set from afar and stay.
        var addresses: [IPv6Network] = []
        for index in 0..<3 {
            let text = trimmed(form.text(.address6(index)))
            if text.isEmpty { continue }
            guard let address = IPv6Network(text) else {
                throw FormProblem("\u{201c}\(text)\u{201d} is not an address with its prefix length.", .address6(index))
            }
            addresses.append(address)
        }
        network.ipv6Addresses = addresses + network.ipv6Addresses.dropFirst(3)
        let text = trimmed(form.text(.gateway))
        if text.isEmpty {
            network.ipv6Gateway = nil
        } else {
            guard let gateway = IPv6Address(text) else {
                throw FormProblem("\u{201c}\(text)\u{201d} is not an IPv6 address.", .gateway)
            }
            network.ipv6Gateway = gateway
        }
    }

    private static func hostName(_ text: String) throws(FormProblem) -> String {
        guard isName(text) else {
            throw FormProblem(
                "A host name has letters, digits and hyphens, and perhaps a domain after a dot.", .hostName)
        }
        return text
    }

    /// Labels of 1 to 63 letters, digits and inner hyphens (RFC 1123, section 2.1), 253 characters in all.
    static func isName(_ text: String) -> Bool {
        guard (1...253).contains(text.utf8.count) else { return false }
        return text.utf8.split(separator: UInt8(ascii: "."), omittingEmptySubsequences: false).allSatisfy { label in
            (1...63).contains(label.count) && label.first != UInt8(ascii: "-") && label.last != UInt8(ascii: "-")
                && label.allSatisfy { byte in
                    (0x30...0x39).contains(byte) || (0x41...0x5a).contains(byte) || (0x61...0x7a).contains(byte)
                        || byte == UInt8(ascii: "-")
                }
        }
    }
}
