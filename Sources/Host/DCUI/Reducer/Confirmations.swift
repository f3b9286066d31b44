import HostModel
import Terminal

extension ConsoleState {
    mutating func press(_ key: Key, confirmation: Confirmation) {
        var question = confirmation
        if key == .escape { return pop() }
        if key == .space, question.acknowledgement != nil {
            question.isAcknowledged.toggle()
            return replaceTop(.confirmation(question))
        }
        guard let choice = question.choices.first(where: { Self.isSame($0.key, key) }) else { return }
        if question.acknowledgement != nil, !question.isAcknowledged { return }
        pop()
        perform(choice.action)
    }

    private static func isSame(_ a: Key, _ b: Key) -> Bool {
        if case .character(let a) = a, case .character(let b) = b {
            return a.properties.lowercaseMapping == b.properties.lowercaseMapping
        }
        return a == b
    }

    /// Asks before something is done.
    mutating func confirm(_ action: Confirmation.Action) {
        let text: String
        let title: String
        var label = "Continue"
        switch action {
        case .restartNetwork:
            title = "Restart the management network?"
            text =
                "Managers lose their connection for a moment. If the DHCP server gives another address, they have to use that one."
            label = "Restart"
        case .disableNetwork:
            title = "Disable the management network?"
            text =
                "This host cannot be reached over the network until you enable it here again. Virtual machines go on."
            label = "Disable"
        case .enableNetwork:
            title = "Enable the management network?"
            text = "This host can be reached over the network again."
            label = "Enable"
        case .restartAgents:
            title = "Restart the management agents?"
            text = "Managers lose their connection for a moment. Virtual machines go on."
            label = "Restart"
        case .restoreManagement:
            title = "Restore the management network?"
            text =
                "Adapters, VLAN, addresses, DNS and host name of the management network become those of a new host: the first adapter "
                + "with a link, no VLAN, an address from DHCP."
            label = "Restore"
        case .restoreSwitches:
            title = "Restore all virtual switches?"
            text =
                "Every switch, port group and address of this host becomes what a new host has. Virtual machines on other port groups "
                + "lose their network."
            label = "Restore"
        case .factoryReset: return askFactoryReset()
        case .machine(let file, let machineAction): return confirm(machineAction, file)
        case .power, .applyNetwork, .discardNetwork: return
        }
        push(
            .confirmation(
                Confirmation(
                    title: title, text: text, choices: [.init(key: .function(11), label: label, action: action)])))
    }

    private mutating func confirm(_ action: MachineAction, _ file: String) {
        let name = host.machines?.first { $0.file == file }?.name ?? file
        let title: String
        let text: String
        let label: String
        switch action {
        // Nothing is lost by these two.
        case .start, .shutDownGuest: return perform(.machine(file: file, action))
        case .powerOff:
            title = "Power off \(name)?"
            text = "Its operating system is not asked. What it has not written to its disks is lost."
            label = "Power Off"
        case .reset:
            title = "Reset \(name)?"
            text = "Its operating system is not asked. What it has not written to its disks is lost."
            label = "Reset"
        }
        push(
            .confirmation(
                Confirmation(
                    title: title, text: text,
                    choices: [.init(key: .function(11), label: label, action: .machine(file: file, action))])))
    }

    private mutating func askFactoryReset() {
        var question = Confirmation(
            title: "Forget every setting?",
            text:
                "Password, network and the list of virtual machines are forgotten, and the host restarts as if it were new. Files of "
                + "virtual machines stay on their disks. This cannot be undone.",
            choices: [.init(key: .function(11), label: "Reset and Restart", action: .factoryReset)])
        question.acknowledgement = runningAcknowledgement
        push(.confirmation(question))
    }

    /// What has to be ticked before running machines are cut off.
    private var runningAcknowledgement: String? {
        let count = host.machines?.filter(\.isOn).count ?? 0
        if count == 0 { return nil }
        return count == 1 ? "Yes, although 1 virtual machine is on" : "Yes, although \(count) virtual machines are on"
    }

    /// Asks whether to shut down or to restart.
    mutating func askPower() {
        let running = host.machines?.filter(\.isOn) ?? []
        var text = "The host stops, and everything on it."
        if !running.isEmpty {
            let names = running.prefix(3).map(\.name).joined(separator: ", ") + (running.count > 3 ? " and others" : "")
            text = "\(Wording.count(running.count, "virtual machine is", "virtual machines are")) on: \(names). "
            switch host.settings?.autostart.stopAction ?? .powerOff {
            case .guestShutdown:
                text += "Their operating systems are asked to shut down; those that do not in time are cut off."
            case .suspend: text += "They are suspended; those that cannot be are cut off."
            case .none, .powerOff: text += "They will be cut off. Shut them down first if they matter."
            }
        }
        if host.machines == nil {
            text = "The host agent does not answer: whether virtual machines are on is not known."
        }
        var question = Confirmation(
            title: "Shut down or restart this host?", text: text,
            choices: [
                .init(key: .function(2), label: "Shut Down", action: .power(.shutDown)),
                .init(key: .function(11), label: "Restart", action: .power(.restart)),
            ])
        question.acknowledgement = runningAcknowledgement
        push(.confirmation(question))
    }

    private mutating func perform(_ action: Confirmation.Action) {
        switch action {
        case .restartNetwork: ask(.restartNetwork, "Restarting the management network …")
        case .disableNetwork: ask(.edit(.managementEnabled(false)), "Disabling the management network …")
        case .enableNetwork: ask(.edit(.managementEnabled(true)), "Enabling the management network …")
        case .applyNetwork:
            guard let draft else { return }
            ask(.edit(.managementNetwork(draft.edited)), "Applying the changes …")
        case .discardNetwork:
            draft = nil
            pop()
        case .restartAgents: ask(.restartAgents, "Restarting the management agents …")
        case .restoreManagement: ask(.edit(.restoreManagementNetwork), "Restoring the management network …")
        case .restoreSwitches: ask(.edit(.restoreSwitches), "Restoring the virtual switches …")
        case .factoryReset: ask(.factoryReset, "Forgetting every setting …")
        case .machine(let file, let action):
            let name = host.machines?.first { $0.file == file }?.name ?? file
            switch action {
            case .start: ask(.machine(file: file, action), "Starting \(name) …")
            case .shutDownGuest: ask(.machine(file: file, action), "Asking \(name) to shut down …")
            case .powerOff: ask(.machine(file: file, action), "Powering off \(name) …")
            case .reset: ask(.machine(file: file, action), "Resetting \(name) …")
            }
        case .power(let action):
            ask(.power(action), action == .restart ? "The host restarts …" : "The host shuts down …")
        }
    }
}
