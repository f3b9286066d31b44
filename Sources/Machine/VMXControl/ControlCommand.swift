import Linux

/// `wafer vm`: controls a running VM through its control socket.
public enum ControlCommand {
    static let usage = """
        usage: wafer vm COMMAND FILE.vmx [ARGUMENT...]

        Controls a virtual machine that runs. FILE.vmx may also be its control socket.

          status                    what it is and does
          statistics                its counters
          shutdown                  ask the guest to shut down (its tools, or its power button)
          reboot                    ask the guest's tools to restart it
          off                       power off at once
          reset                     reset at once
          suspend                   put all of it into a file; it goes on from there when it is started
          pause, resume             stop its processors, let them go on
          attach KEY=VALUE...       plug a device in, such as scsi0:1.fileName=data.vmdk
          detach DEVICE             pull a device out, such as scsi0:1
          answer QUESTION CHOICE    answer what it asks, both by number
          insert DEVICE IMAGE       put a CD into a drive, such as sata0:1
          eject DEVICE              take it out
          screenshot OUT.png        write a picture of its screen
          type TEXT                 type a text on its keyboard; \\n is Enter
          watch                     print every change of its state until it ends

        """

    /// Runs the command.
    ///
    /// - Parameter arguments: without the program's and the command's name.
    /// - Returns: exit status: 0 done, 1 refused, 64 wrong usage, 69 the VM does not run.
    public static func run(_ arguments: [String]) -> Int32 {
        if arguments.first.map({ ["--help", "-h", "help"].contains($0) }) ?? false {
            writeToStandardOutput(usage)
            return 0
        }
        guard arguments.count >= 2, let request = request(arguments[0], Array(arguments.dropFirst(2))) else {
            writeToStandardError(usage)
            return 64
        }
        do throws(ControlError) {
            let path = arguments[1]
            let client = try ControlClient(path.hasSuffix(".vmx") ? ControlAddress.socket(forFile: path) : path)
            if case .screenshot = request { return try screenshot(client, to: arguments[2]) }
            print(try client.ask(request))
            if request == .watch { try watch(client) }
            return 0
        } catch {
            writeToStandardError("wafer vm: \(error)\n")
            if case .refused = error { return 1 }
            return 69
        }
    }

    private static func request(_ command: String, _ rest: [String]) -> ControlRequest? {
        switch (command, rest.count) {
        case ("status", 0): return .status
        case ("statistics", 0): return .statistics
        case ("shutdown", 0): return .shutdownGuest
        case ("reboot", 0): return .rebootGuest
        case ("off", 0): return .powerOff
        case ("reset", 0): return .reset
        case ("suspend", 0): return .suspend
        case ("pause", 0): return .pause
        case ("resume", 0): return .resume
        case ("watch", 0): return .watch
        case ("insert", 2): return .insert(device: rest[0], path: rest[1])
        case ("eject", 1): return .insert(device: rest[0], path: "")
        case ("screenshot", 1): return .screenshot(offset: 0)
        case ("type", 1): return .type(rest[0].replacing("\\n", with: "\n"))
        case ("detach", 1): return .detach(rest[0])
        case ("answer", 2):
            guard let question = UInt32(rest[0]), let choice = UInt32(rest[1]) else { return nil }
            return .answer(question: question, choice: choice)
        case ("attach", 1...):
            let settings = rest.compactMap { text -> ControlRequest.Setting? in
                guard let equals = text.firstIndex(of: "="), equals != text.startIndex else { return nil }
                return .init(key: String(text[..<equals]), value: String(text[text.index(after: equals)...]))
            }
            return settings.count == rest.count ? .attach(settings) : nil
        default: return nil
        }
    }

    /// Fetches a picture in pieces and writes it.
    private static func screenshot(_ client: ControlClient, to path: String) throws(ControlError) -> Int32 {
        var file: [UInt8] = []
        while true {
            guard
                case .picture(let total, let piece) = try client.ask(.screenshot(offset: UInt32(clamping: file.count)))
            else { return 69 }
            file += piece
            if file.count >= Int(total) || piece.isEmpty { break }
        }
        do throws(SystemError) { try Files.replace(path, with: file) } catch {
            writeToStandardError("wafer vm: \(error)\n")
            return 1
        }
        return 0
    }

    private static func watch(_ client: ControlClient) throws(ControlError) {
        while true {
            do throws(ControlError) { print(try client.next().reply) } catch .closed { return }
        }
    }

    private static func print(_ reply: ControlReply) {
        switch reply {
        case .done, .picture: break
        case .refused(let refusal): writeToStandardError("\(refusal)\n")
        case .changed(let state): writeToStandardOutput("state \(state)\n")
        case .statistics(let counters):
            for counter in counters { writeToStandardOutput("\(counter.name) \(counter.value)\n") }
        case .status(let status): writeToStandardOutput(text(status))
        }
    }

    /// Lines of a key and a value, for people and scripts alike.
    static func text(_ status: MachineStatus) -> String {
        var lines = [
            "name \(status.displayName)", "uuid \(status.uuid)", "file \(status.configurationFile)",
            "process \(status.process)", "state \(status.state)", "uptime \(status.uptime) ms",
            "memory \(status.memoryMegabytes) MiB", "processors \(status.processors)", "resets \(status.resets)",
        ]
        for device in status.devices {
            let place = device.address.isEmpty ? "" : " at \(device.address)"
            lines.append("device \(device.name)\(place): \(device.summary)")
        }
        if let tools = status.tools { lines.append("tools \(tools)") }
        if let question = status.question {
            lines.append("question \(question.identifier): \(question.text)")
            for (number, choice) in question.choices.enumerated() { lines.append("choice \(number): \(choice)") }
        }
        return lines.joined(separator: "\n") + "\n"
    }
}

extension MachineStatus.Tools: CustomStringConvertible {
    /// What they said, in one line.
    public var description: String {
        let said = [("version", version), ("address", address), ("host", hostName), ("system", system)]
        return ([isRunning ? "running" : "not running"] + said.filter { !$0.1.isEmpty }.map { "\($0.0) \($0.1)" })
            .joined(separator: ", ")
    }
}
