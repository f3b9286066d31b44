import Terminal

extension ConsoleState {
    /// A list on the left, what its highlighted line is about on the right.
    func drawMenu(_ menu: Menu, _ canvas: inout Canvas) {
        canvas.fill(canvas.area, .day)
        drawTitle(title(of: menu.kind), &canvas)
        let entries = entries(of: menu.kind)
        let left = 32
        let height = size.rows - 4
        let window = Self.window(entries.count, selected: menu.selected, height: height)
        for (row, index) in window.enumerated() {
            let isSelected = index == menu.selected
            let isUsable = entries[index].obstacle == nil
            let style: Style =
                isSelected ? (isUsable ? .selection : .selectionFaint) : (isUsable ? .day : .dayFaint)
            canvas.fill(Area(x: 1, y: 2 + row, width: left - 1, height: 1), style)
            let number = menu.kind == .logs && index < 9 ? "\(index + 1)  " : ""
            canvas.text(number + entries[index].title, 3, 2 + row, style, width: left - 4)
        }
        for y in 1..<size.rows - 1 { canvas.put("│", left + 1, y, .dayFaint) }
        if entries.indices.contains(menu.selected) {
            drawEntry(
                entries[menu.selected],
                Area(x: left + 4, y: 2, width: min(size.columns - left - 6, 76), height: height), &canvas)
        }
        drawBar(hints(of: menu.kind), right: menu.kind == .settings ? [.init("F12", "Power")] : [], &canvas)
    }

    private func hints(of kind: Menu.Kind) -> [KeyHint] {
        let escape = kind == .settings ? "Log out" : "Back"
        return [
            .init("\u{2191}\u{2193}", "Select"), .init("Enter", kind == .logs ? "View" : "Open"), .init("Esc", escape),
        ]
    }

    private func title(of kind: Menu.Kind) -> String {
        switch kind {
        case .settings: "Host Settings"
        case .network:
            draft.map { $0.edited != $0.original } ?? false ? "Management Network (changed)" : "Management Network"
        case .troubleshooting: "Troubleshooting"
        case .logs: "System Logs"
        case .machine(let file): host.machines?.first { $0.file == file }?.name ?? "Virtual Machine"
        }
    }

    private func drawEntry(_ entry: MenuEntry, _ area: Area, _ canvas: inout Canvas) {
        var y = area.y
        let end = area.y + area.height
        canvas.text(entry.title, area.x, y, .dayStrong, width: area.width)
        canvas.rule(area.x, y + 1, width: area.width, .dayFaint)
        y += 2
        let label = (entry.facts.map { $0.label.unicodeScalars.count }.max() ?? 0) + 2
        for fact in entry.facts {
            // A value that does not fit goes on below, so that nothing of an address or a name is lost.
            let lines = DisplayText.wrapped(fact.value, area.width - label)
            guard y + lines.count < end - 3 else { break }
            canvas.text(fact.label, area.x, y, .dayFaint)
            for line in lines {
                canvas.text(line, area.x + label, y, fact.isWarning ? .warning : .day)
                y += 1
            }
        }
        y += 1
        for text in [entry.explanation, entry.obstacle ?? ""] where !text.isEmpty {
            for line in DisplayText.wrapped(text, area.width) where y < end {
                canvas.text(line, area.x, y, text == entry.obstacle ? .warning : .day)
                y += 1
            }
            y += 1
        }
    }

    /// The table of virtual machines.
    func drawMachines(_ selected: Int, _ canvas: inout Canvas) {
        canvas.fill(canvas.area, .day)
        drawTitle("Virtual Machines", &canvas)
        let machines = host.machines ?? []
        // From the right: memory, processors, start order, state; the name gets the rest.
        let right = size.columns - 3
        let memory = right - 10
        let processors = memory - 7
        let start = processors - 9
        let state = start - 12
        canvas.text("Name", 3, 2, .dayFaint)
        canvas.text("State", state, 2, .dayFaint)
        canvas.text("Start", start, 2, .dayFaint)
        canvas.text("CPUs", processors, 2, .dayFaint)
        canvas.text("Memory", endingBefore: right, 2, .dayFaint)
        canvas.rule(1, 3, width: size.columns - 2, .dayFaint)
        let selected = min(selected, max(0, machines.count - 1))
        let window = Self.window(machines.count, selected: selected, height: size.rows - 8)
        for (row, index) in window.enumerated() {
            let machine = machines[index]
            let y = 4 + row
            let style: Style = index == selected ? .selection : .day
            canvas.fill(Area(x: 1, y: y, width: size.columns - 2, height: 1), style)
            canvas.text(machine.name, 3, y, style, width: state - 5)
            canvas.text(Wording.power(machine.power), state, y, style)
            canvas.text(machine.startOrder.map { "\($0)" } ?? "\u{2500}", start, y, style, width: 5)
            canvas.text("\(machine.processors)", processors, y, style, width: 5)
            canvas.text(Wording.mebibytes(machine.memory), endingBefore: right, y, style)
        }
        if machines.isEmpty {
            canvas.text("There is no virtual machine on this host yet.", 3, 5, .day)
        } else {
            let machine = machines[selected]
            let y = size.rows - 3
            canvas.rule(1, y - 1, width: size.columns - 2, .dayFaint)
            canvas.text(machine.file, 3, y, .dayFaint, width: size.columns - 6)
            if !machine.trouble.isEmpty {
                canvas.text("! \(machine.trouble)", 3, y + 1, .warning, width: size.columns - 6)
            }
        }
        drawBar(
            [
                .init("\u{2191}\u{2193}", "Select"), .init("Enter", "Open"), .init("F5", "Refresh"),
                .init("Esc", "Back"),
            ],
            right: [], &canvas)
    }
}
