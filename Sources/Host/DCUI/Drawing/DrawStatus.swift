import HostModel
import Terminal

extension ConsoleState {
    /// The screen nobody is logged in at: what this host is, and how to reach it.
    func drawStatus(_ canvas: inout Canvas) {
        // The dark half takes a good third.
        let split = max(9, size.rows * 2 / 5)
        canvas.fill(Area(x: 0, y: 0, width: size.columns, height: split), .night)
        canvas.fill(Area(x: 0, y: split, width: size.columns, height: size.rows - split - 1), .day)
        let margin = size.columns < 100 ? 4 : size.columns / 10
        drawServer(Area(x: margin, y: 1, width: size.columns - 2 * margin, height: split - 1), &canvas)
        drawReach(
            Area(x: margin, y: split + 1, width: size.columns - 2 * margin, height: size.rows - split - 3), &canvas)
        drawBar(
            [.init("F2", "Configure, view logs"), .init("F4", "Contrast")], right: [.init("F12", "Shut down, restart")],
            &canvas)
    }

    private func drawServer(_ area: Area, _ canvas: inout Canvas) {
        var y = area.y + max(0, (area.height - 8) / 2)
        canvas.text("W A F E R", area.x, y, .nightStrong)
        canvas.text("hypervisor \(host.version)", area.x + 12, y, .night)
        if let banks = host.banks {
            canvas.text("bank \(banks.running)", endingBefore: area.x + area.width, y, .nightFaint)
        }
        canvas.rule(area.x, y + 1, width: area.width, .nightFaint)
        y += 3
        guard let hardware = host.hardware else {
            canvas.text("Starting …", area.x, y, .night)
            return
        }
        let server = [hardware.maker, hardware.model].filter { !$0.isEmpty }.joined(separator: " ")
        canvas.text(server.isEmpty ? "Unknown server" : server, area.x, y, .nightStrong, width: area.width)
        let count = hardware.packages > 1 ? "\(hardware.packages) \u{d7} " : ""
        canvas.text(count + Wording.processor(hardware.processor), area.x, y + 1, .night, width: area.width)
        var facts = [
            Wording.count(hardware.cores, "core", "cores"), Wording.count(hardware.threads, "thread", "threads"),
            "\(Wording.bytes(hardware.memory)) memory",
        ]
        if hardware.threads == hardware.cores { facts.remove(at: 1) }
        canvas.text(facts.joined(separator: "   "), area.x, y + 2, .night, width: area.width)
        if let machines = host.machines, !machines.isEmpty {
            let on = machines.filter(\.isOn).count
            let text = "\(Wording.count(machines.count, "virtual machine", "virtual machines")), \(on) on"
            canvas.text(text, endingBefore: area.x + area.width, y + 2, .night)
        }
    }

    private func drawReach(_ area: Area, _ canvas: inout Canvas) {
        var y = area.y
        let end = area.y + area.height
        let label = 13
        canvas.text("Manage this host at", area.x, y, .dayStrong)
        y += 2
        func line(_ name: String, _ value: String, _ remark: String = "", _ style: Style = .day) {
            guard y < end else { return }
            canvas.text(name, area.x, y, .dayFaint)
            let room = area.width - label
            canvas.text(value, area.x + label, y, style, width: room)
            let used = min(value.unicodeScalars.count, room) + 2
            canvas.text(remark, area.x + label + used, y, .dayFaint, width: room - used)
            y += 1
        }
        if let network = host.network {
            let name = network.hostName.isEmpty ? host.settings?.hostName ?? "" : network.hostName
            if !name.isEmpty { line("Host name", name, "", .dayStrong) }
            // Warnings must have their place even if there are many addresses.
            let warned = min(warnings.count, 4)
            let room = max(2, end - y - 2 - warned * 2)
            let addresses = network.addresses.sorted { !$0.isIPv6 && $1.isIPv6 }
            for (index, address) in addresses.prefix(room).enumerated() {
                let isFirst = index == 0 || addresses[index - 1].isIPv6 != address.isIPv6
                line(
                    isFirst ? (address.isIPv6 ? "IPv6" : "IPv4") : "", address.text, Wording.origin(address.origin),
                    address.isIPv6 ? .day : .dayStrong)
            }
            if addresses.isEmpty { line("Address", awaitsAddress(network) ? "None yet" : "None", "", .warning) }
            if !network.macAddress.isEmpty { line("MAC address", network.macAddress) }
        } else {
            line("Address", hasObserved ? "Starting: the network has not answered yet …" : "Starting …")
        }
        drawWarnings(Area(x: area.x, y: y + 1, width: area.width, height: end - y - 1), &canvas)
    }

    /// Whether the management port may still get an address as things are.
    private func awaitsAddress(_ network: NetworkObservation) -> Bool {
        let port = host.settings?.network.vmknics.first(where: \.isManagement)
        return !network.adapters.isEmpty && port?.isEnabled ?? true && (port?.ipv4 != .disabled || port?.ipv6 ?? true)
    }

    private func drawWarnings(_ area: Area, _ canvas: inout Canvas) {
        let texts = warnings.map { DisplayText.wrapped($0, area.width - 2) }
        var y = area.y
        let end = area.y + area.height
        for (index, lines) in texts.enumerated() {
            // If not all have room, the last row says how many more there are.
            let rest = texts[index...].reduce(0) { $0 + $1.count }
            guard y + rest <= end || y + lines.count < end else {
                let count = texts.count - index
                canvas.text("! \(count) more: see Support Information.", area.x, y, .warning, width: area.width)
                return
            }
            canvas.text("!", area.x, y, .warning)
            for line in lines {
                canvas.text(line, area.x + 2, y, .warning)
                y += 1
            }
        }
    }
}
