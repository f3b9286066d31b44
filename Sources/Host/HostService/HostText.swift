import HostModel
import Linux

/// What the host agent answers, as lines for people and scripts.
enum HostText {
    /// A heading and a line for each machine.
    static func table(_ machines: [InventoryMachine]) -> [String] {
        let rows =
            [["NAME", "STATE", "MEMORY", "CPUS", "PLACE", "FILE"]]
            + machines.map { machine in
                [
                    machine.name, machine.problems.isEmpty || machine.power.isOn ? machine.power.text : "unusable",
                    "\(machine.description.memory) MB", "\(machine.description.processors)",
                    machine.startOrder.map { "\($0)" } ?? "-", machine.file,
                ]
            }
        let widths = (0..<5).map { column in rows.map { $0[column].count }.max() ?? 0 }
        return rows.map { row in
            let cells = row.enumerated().map { column, cell in
                column < 5 ? cell + String(repeating: " ", count: widths[column] - cell.count) : cell
            }
            return cells.joined(separator: "  ")
        }
    }

    static func lines(_ answer: MachineDetails.Answer) -> [String] {
        let machine = answer.machine
        var lines = [
            "name \(machine.name)", "file \(machine.file)", "state \(machine.power.text)",
            "guest \(machine.description.guestOS)", "memory \(machine.description.memory) MB",
            "processors \(machine.description.processors)", "registered \(machine.isRegistered ? "yes" : "no")",
        ]
        if let process = machine.process {
            lines += ["process \(process)", "uptime \(answer.uptime) ms", "resets \(answer.resets)"]
        }
        if let order = machine.startOrder { lines.append("place \(order)") }
        lines += machine.problems.map { "problem \($0)" } + answer.devices.map { "device \($0)" }
        if let question = machine.question {
            lines.append("question \(question.identifier): \(question.text)")
            for (number, choice) in question.choices.enumerated() { lines.append("choice \(number): \(choice)") }
        }
        return lines + answer.log.map { "log \($0)" }
    }

    /// `12 2026-11-25T12:00:00Z warning web01 crashed (root)`
    static func line(_ event: HostEvent) -> String {
        let who = event.user.isEmpty ? "" : " (\(event.user))"
        return "\(event.number) \(time(event.time)) \(event.severity) \(event.text)\(who)"
    }

    static func line(_ task: HostTask) -> String {
        let who = task.user.isEmpty ? "" : " (\(task.user))"
        let reason = task.reason.isEmpty ? "" : ": \(task.reason)"
        return "\(task.number) \(time(task.started)) \(task.state) \(task.name)\(who)\(reason)"
    }

    static func line(_ announcement: HostAnnouncement) -> String {
        switch announcement {
        case .machine(let machine): "machine \(machine.file): \(machine.power.text)"
        case .removed(let file): "removed \(file)"
        case .event(let event): "event \(line(event))"
        }
    }

    private static func time(_ seconds: Int64) -> String {
        let time = CalendarTime(secondsSince1970: seconds)
        func padded(_ number: Int) -> String { number < 10 ? "0\(number)" : "\(number)" }
        return "\(time.year)-\(padded(time.month))-\(padded(time.day))T"
            + "\(padded(time.hour)):\(padded(time.minute)):\(padded(time.second))Z"
    }
}
