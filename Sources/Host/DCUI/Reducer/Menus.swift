import HostModel
import Terminal

extension ConsoleState {
    mutating func press(_ key: Key, menu: Menu) {
        var menu = menu
        let entries = entries(of: menu.kind)
        switch key {
        case .escape: return leave(menu)
        case .up: menu.selected = max(0, menu.selected - 1)
        case .down: menu.selected = max(0, min(entries.count - 1, menu.selected + 1))
        case .home, .pageUp: menu.selected = 0
        case .end, .pageDown: menu.selected = max(0, entries.count - 1)
        case .enter: return choose(entries, menu)
        case .function(5): observe()
        case .function(12) where menu.kind == .settings: return askPower()
        // Logs are numbered.
        case .character(let scalar) where menu.kind == .logs && ("1"..."9").contains(scalar):
            let index = Int(scalar.value) - 0x31
            guard entries.indices.contains(index) else { return }
            menu.selected = index
            replaceTop(.menu(menu))
            return choose(entries, menu)
        default: break
        }
        replaceTop(.menu(menu))
    }

    private mutating func leave(_ menu: Menu) {
        switch menu.kind {
        case .settings: logOut()
        case .network:
            guard let draft, draft.edited != draft.original else {
                draft = nil
                return pop()
            }
            push(
                .confirmation(
                    Confirmation(
                        title: "Apply the changes?",
                        text:
                            "The management network restarts with its new settings. Managers lose their connection for a moment, and "
                            + "for good if the address or the name they know is no longer this host's.",
                        choices: [
                            .init(key: .character("y"), label: "Apply", action: .applyNetwork),
                            .init(key: .character("n"), label: "Discard", action: .discardNetwork),
                        ], isDangerous: false)))
        default: pop()
        }
    }

    private mutating func choose(_ entries: [MenuEntry], _ menu: Menu) {
        guard entries.indices.contains(menu.selected) else { return }
        let entry = entries[menu.selected]
        if let obstacle = entry.obstacle { return showMessage(entry.title, obstacle) }
        switch entry.target {
        case .form(let purpose): if let form = form(for: purpose) { push(.form(form)) }
        case .menu(.network):
            guard let settings = host.settings else { return }
            let network = ManagementNetwork(settings)
            draft = NetworkDraft(original: network, edited: network)
            push(.menu(Menu(.network)))
        case .menu(.logs): ask(.listLogs, "Looking for logs …")
        case .menu(let kind): push(.menu(Menu(kind)))
        case .confirm(let action): confirm(action)
        case .machines: push(.machines(selected: 0))
        case .supportInformation: push(.pager(Pager("Support Information", supportLines)))
        case .machineDetails:
            if case .machine(let file) = menu.kind { ask(.machineDetails(file: file), "Asking for details …") }
        case .readLog(let log): ask(.readLog(name: log.name, count: Self.logLines), "Reading the log …")
        case .networkTest: if let form = form(for: .networkTest) { push(.form(form)) }
        }
    }

    /// How many lines of a log are shown.
    static let logLines = 2000

    mutating func press(_ key: Key, machine selected: Int) {
        let machines = host.machines ?? []
        var selected = min(selected, max(0, machines.count - 1))
        switch key {
        case .escape: return pop()
        case .up: selected = max(0, selected - 1)
        case .down: selected = max(0, min(machines.count - 1, selected + 1))
        case .home, .pageUp: selected = 0
        case .end, .pageDown: selected = max(0, machines.count - 1)
        case .function(5): observe()
        case .enter:
            guard machines.indices.contains(selected) else { return }
            replaceTop(.machines(selected: selected))
            return push(.menu(Menu(.machine(file: machines[selected].file))))
        default: break
        }
        replaceTop(.machines(selected: selected))
    }

    mutating func press(_ key: Key, pager: Pager) {
        var pager = pager
        // The bars at the top and at the bottom are no part of the text.
        let height = max(1, size.rows - 2)
        let width = size.columns - 2
        if var entry = pager.entry {
            switch key {
            case .escape: pager.entry = nil
            case .enter:
                pager.entry = nil
                if !entry.isEmpty { pager.pattern = entry }
                pager.found = nil
                pager.search(backwards: false, height: height, width: width)
            case .backspace: pager.entry = entry.isEmpty ? nil : String(entry.dropLast())
            case .character(let scalar):
                entry.unicodeScalars.append(scalar)
                if entry.unicodeScalars.count <= 64 { pager.entry = entry }
            default: break
            }
            return replaceTop(.pager(pager))
        }
        pager.notice = ""
        switch key {
        case .escape, .character("q"), .character("Q"): return pop()
        case .up: pager.scroll(-1, height: height, width: width)
        case .down, .enter: pager.scroll(1, height: height, width: width)
        case .pageUp, .character("b"): pager.scroll(1 - height, height: height, width: width)
        case .pageDown, .space: pager.scroll(height - 1, height: height, width: width)
        case .home, .character("g"): pager.top = 0
        case .end, .character("G"): pager.scrollToEnd(height: height, width: width)
        case .character("/"): pager.entry = ""
        case .character("n"): pager.search(backwards: false, height: height, width: width)
        case .character("N"): pager.search(backwards: true, height: height, width: width)
        case .function(5):
            if let log = pager.log { return ask(.readLog(name: log, count: Self.logLines), "Reading the log …") }
        default: break
        }
        replaceTop(.pager(pager))
    }
}
