import HostModel
import Terminal

extension ConsoleState {
    mutating func take(_ answer: ServiceAnswer, to request: ServiceRequest) {
        switch request {
        case .observe:
            isObserving = false
            if case .observed(let observation) = answer {
                host = observation.following(host)
                hasObserved = true
                followKeyboard()
            }
        case .ping, .resolve: takeTest(answer, to: request)
        default:
            // Whoever logged out meanwhile does not want to know.
            guard busyWith == request else { return }
            busyWith = nil
            if case .busy? = screens.last { pop() }
            finish(request, answer)
        }
    }

    private mutating func followKeyboard() {
        guard let name = host.settings?.console.keyboard, name != keyboard else { return }
        keyboard = name
        effects.append(.setKeyboard(name))
    }

    private mutating func finish(_ request: ServiceRequest, _ answer: ServiceAnswer) {
        switch (request, answer) {
        case (.login, .done): loggedIn()
        case (.login, .failed(let text)), (.changePassword, .failed(let text)): showFormError(text)
        case (.changePassword, .done): formDone("Password", "The password has been changed.")
        case (.edit(let edit), .done): finish(edit)
        case (.edit, .failed(let text)):
            // The form, if there is one, stays for another try; a draft stays with its menu.
            if case .form? = screens.last { showFormError(text) } else { showMessage("Not done", text, isBad: true) }
        case (.setStartOrder, .done): formDone(nil, "")
        case (.setStartOrder, .failed(let text)): showFormError(text)
        case (.listLogs, .logs(let logs)):
            self.logs = logs
            if logs.isEmpty {
                showMessage("System Logs", "There are no logs yet.")
            } else {
                push(.menu(Menu(.logs)))
            }
        case (.readLog(let name, _), .lines(let lines)): showLog(name, lines)
        case (.machineDetails, .lines(let lines)): push(.pager(Pager("Details", lines)))
        case (.machine(_, .shutDownGuest), .done):
            showMessage(
                "Shut Down Guest", "The power button was pressed. The machine goes off when its system has shut down.")
        case (.machine, .done): break
        case (.restartNetwork, .done): showMessage("Management Network", "The management network has restarted.")
        case (.restartAgents, .done): showMessage("Management Agents", "The management agents have restarted.")
        case (.power(let action), .done):
            // Until the end: nothing can be done here any more.
            screens = [.busy(action == .restart ? "The host restarts …" : "The host shuts down …")]
        case (.factoryReset, .done): screens = [.busy("The host restarts with the settings of a new one …")]
        case (_, .failed(let text)): showMessage("Not done", text, isBad: true)
        default: showMessage("Not done", "The host gave an answer that does not fit the question.", isBad: true)
        }
        observe()
    }

    private mutating func loggedIn() {
        guard case .form(let form)? = screens.last, case .login(let destination) = form.purpose else { return }
        user = form.text(.user)
        pop()
        switch destination {
        case .settings: push(.menu(Menu(.settings)))
        case .power: askPower()
        }
        effects.append(.repaint)
    }

    private mutating func finish(_ edit: SettingsEdit) {
        // What was changed is shown at once, not only when the next observation comes.
        if var settings = host.settings {
            edit.apply(to: &settings)
            host.settings = settings
        }
        switch edit {
        case .lockdown, .idleTimeout, .autostart: formDone(nil, "")
        case .keyboard:
            formDone(nil, "")
            followKeyboard()
        case .managementNetwork:
            draft = nil
            if case .menu(let menu)? = screens.last, menu.kind == .network { pop() }
            showMessage("Management Network", "The changes have been applied.")
        case .managementEnabled(let isOn):
            showMessage("Management Network", "The management network is \(isOn ? "enabled" : "disabled") now.")
        case .restoreManagementNetwork:
            showMessage("Restore Network", "The management network is that of a new host now.")
        case .restoreSwitches: showMessage("Restore Network", "All virtual switches are those of a new host now.")
        }
    }

    /// Takes away the form whose values were taken.
    private mutating func formDone(_ title: String?, _ text: String) {
        if case .form? = screens.last { pop() }
        if let title { showMessage(title, text) }
    }

    private mutating func showFormError(_ text: String) {
        guard case .form(var form)? = screens.last else { return showMessage("Not done", text, isBad: true) }
        form.error = text
        // Nobody sees what is wrong with hidden text: it is entered again.
        for index in form.fields.indices where form.fields[index].kind == .secret { form.fields[index].text = "" }
        if let first = form.fields.indices.first(where: { form.fields[$0].kind == .secret }) { form.set(focus: first) }
        replaceTop(.form(form))
    }

    private mutating func showLog(_ name: String, _ lines: [String]) {
        let title = logs.first { $0.name == name }?.title ?? name
        var pager = Pager(title, lines.isEmpty ? ["This log is empty."] : lines, log: name)
        if case .pager(let shown)? = screens.last, shown.log == name {
            pager.pattern = shown.pattern
            pop()
        }
        // The newest lines are at the end.
        pager.scrollToEnd(height: max(1, size.rows - 2), width: size.columns - 2)
        push(.pager(pager))
    }

    // MARK: Tests of the network

    /// Starts the tests that the form asks for.
    mutating func startTests(_ form: Form) {
        var lines: [NetworkTest.Line] = []
        for index in 0..<3 {
            guard let address = FormReader.address(form.text(.server(index))) else { continue }
            lines.append(.init(label: "Ping \(address)", request: .ping(address)))
        }
        let name = form.text(.hostName)
        if !name.isEmpty { lines.append(.init(label: "Resolve \(name)", request: .resolve(name))) }
        pop()
        guard !lines.isEmpty else { return showMessage("Test Management Network", "There was nothing to test.") }
        push(.networkTest(NetworkTest(lines: lines)))
        startNextTest()
    }

    private mutating func startNextTest() {
        guard case .networkTest(var test)? = screens.last,
            let index = test.lines.firstIndex(where: { $0.verdict == .waiting })
        else { return }
        test.lines[index].verdict = .running
        effects.append(.ask(test.lines[index].request))
        replaceTop(.networkTest(test))
    }

    private mutating func takeTest(_ answer: ServiceAnswer, to request: ServiceRequest) {
        guard case .networkTest(var test)? = screens.last,
            let index = test.lines.firstIndex(where: { $0.request == request && $0.verdict == .running })
        else { return }
        switch answer {
        case .found(let text): test.lines[index].verdict = .passed(text)
        case .failed(let text): test.lines[index].verdict = .failed(text)
        default: test.lines[index].verdict = .passed("")
        }
        replaceTop(.networkTest(test))
        startNextTest()
    }
}
