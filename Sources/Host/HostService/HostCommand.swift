import HostLink
import HostModel
import Linux
import Messages

/// `wafer host`: asks the host agent.
public enum HostCommand {
    static let usage = """
        usage: wafer host COMMAND [ARGUMENT...]

        Asks the host agent. VM is a virtual machine's name or its .vmx file, absolute.

          list                      the virtual machines and what they do
          show VM                   one of them, with its devices and the end of its log
          start VM                  start it; ends when its guest runs
          shutdown VM               ask its guest to shut down (its power button)
          stop VM                   power it off at once
          reset VM                  reset it at once
          answer VM QUESTION CHOICE answer what it waits with, both by number
          register FILE             put a machine in the host's settings
          unregister VM             take it out; its files stay
          autostart VM PLACE [DELAY [ACTION]]
                                    start it with the host, at this place in the order (from 1), and wait DELAY seconds
                                    before the next; stop it with the host by ACTION: powerOff, guestShutdown, suspend
                                    or none. Without DELAY and ACTION, those of the host
          autostart VM off          do not start it with the host
          scan                      look for .vmx files on the disks again
          stop-all [SECONDS]        stop all machines as for a shutdown of the host, which starts none by itself any more; those
                                    that do not stop in time (\(stopSeconds) seconds) are powered off
          login USER                check a password, read as a line from standard input
          password USER             change it: the old and the new one as lines from standard input
          events [NUMBER]           what happened, after the event of this number
          tasks                     what is being done, and was done
          watch                     print every change until interrupted

        Exit status: 0 done, 1 refused, 64 wrong usage, 69 the host agent does not answer.

        """

    /// How long all machines together may take to stop: somewhat less than PID 1 waits.
    static let stopSeconds: UInt32 = 570

    /// Runs the command.
    ///
    /// - Parameter arguments: without the program's and the command's name.
    public static func run(_ arguments: [String]) -> Int32 { run(arguments, address: ServiceAddress.host) }

    static func run(_ arguments: [String], address: String) -> Int32 {
        if arguments.first.map({ ["--help", "-h", "help"].contains($0) }) ?? false {
            writeToStandardOutput(usage)
            return 0
        }
        guard let command = arguments.first, let action = action(command, Array(arguments.dropFirst())) else {
            writeToStandardError(usage)
            return 64
        }
        do throws(ServiceError) {
            try action(try ServiceClient(address))
            return 0
        } catch {
            writeToStandardError("wafer host: \(error)\n")
            if case .refused = error { return 1 }
            return 69
        }
    }

    private typealias Action = (ServiceClient) throws(ServiceError) -> Void

    /// Starting and stopping take as long as they take.
    private static func order(_ client: ServiceClient, _ call: some ServiceCall) throws(ServiceError) {
        _ = try client.ask(call, milliseconds: nil)
    }

    private static func action(_ command: String, _ rest: [String]) -> Action? {
        switch (command, rest.count) {
        case ("list", 0): list
        case ("scan", 0): { (client) throws(ServiceError) in try order(client, ScanMachines()) }
        case ("tasks", 0): tasks
        case ("watch", 0): watch
        case ("events", 0...1): events(rest)
        case ("stop-all", 0...1): stopAll(rest)
        case ("login", 1):
            { (client) throws(ServiceError) in
                try order(client, Login(user: rest[0], password: readLine() ?? ""))
            }
        case ("password", 1):
            { (client) throws(ServiceError) in
                try order(client, SetPassword(user: rest[0], old: readLine() ?? "", new: readLine() ?? ""))
            }
        case ("register", 1): { (client) throws(ServiceError) in try order(client, RegisterMachine(file: rest[0])) }
        case ("show", 1):
            { (client) throws(ServiceError) in
                show(try client.ask(MachineDetails(file: try file(rest[0], client)), milliseconds: nil))
            }
        case (_, 1...): machineOrder(command, rest)
        default: nil
        }
    }

    private static func machineOrder(_ command: String, _ rest: [String]) -> Action? {
        func on(_ call: @escaping (String) -> some ServiceCall) -> Action {
            { (client) throws(ServiceError) in try order(client, call(try file(rest[0], client))) }
        }
        switch (command, rest.count) {
        case ("start", 1): return on { StartMachine(file: $0) }
        case ("shutdown", 1): return on { StopMachine(file: $0, how: .guestShutdown) }
        case ("stop", 1): return on { StopMachine(file: $0, how: .powerOff) }
        case ("reset", 1): return on { StopMachine(file: $0, how: .reset) }
        case ("unregister", 1): return on { UnregisterMachine(file: $0) }
        case ("answer", 3):
            guard let question = UInt32(rest[1]), let choice = UInt32(rest[2]) else { return nil }
            return on { AnswerQuestion(file: $0, question: question, choice: choice) }
        case ("autostart", 2...4):
            if rest[1] == "off", rest.count == 2 { return on { SetAutostart(file: $0, order: nil) } }
            guard let place = UInt32(rest[1]) else { return nil }
            let delay = rest.count > 2 ? UInt32(rest[2]) : nil
            let action = rest.count > 3 ? AutostartSettings.StopAction(rawValue: rest[3]) : nil
            if rest.count > 2, delay == nil { return nil }
            if rest.count > 3, action == nil { return nil }
            return on { SetAutostart(file: $0, order: place, delay: delay, stopAction: action) }
        default: return nil
        }
    }

    /// A machine's file, by name or file.
    private static func file(_ word: String, _ client: ServiceClient) throws(ServiceError) -> String {
        if word.hasPrefix("/") { return word }
        let machines = try client.ask(ListMachines())
        let named = machines.filter { $0.name == word }
        let found = named.isEmpty ? machines.filter { Inventory.name(ofFile: $0.file) == word } : named
        guard let first = found.first else {
            throw .refused(.init(.notFound, "this host knows no virtual machine \(word)"))
        }
        guard found.count == 1 else {
            let files = found.map(\.file).joined(separator: ", ")
            throw .refused(.init(.invalid, "\(word) is the name of several machines; say which: \(files)"))
        }
        return first.file
    }

    private static func stopAll(_ rest: [String]) -> Action? {
        guard let seconds = UInt32(rest.first ?? "\(stopSeconds)") else { return nil }
        return { (client) throws(ServiceError) in
            for remark in try client.ask(StopAllMachines(seconds: seconds), milliseconds: nil) { say(remark) }
        }
    }

    private static func events(_ rest: [String]) -> Action? {
        guard let number = UInt64(rest.first ?? "0") else { return nil }
        return { (client) throws(ServiceError) in
            for event in try client.ask(ListEvents(after: number)) { say(HostText.line(event)) }
        }
    }

    private static func list(_ client: ServiceClient) throws(ServiceError) {
        for line in HostText.table(try client.ask(ListMachines())) { say(line) }
    }

    private static func tasks(_ client: ServiceClient) throws(ServiceError) {
        for task in try client.ask(ListTasks()) { say(HostText.line(task)) }
    }

    private static func show(_ answer: MachineDetails.Answer) {
        for line in HostText.lines(answer) { say(line) }
    }

    private static func watch(_ client: ServiceClient) throws(ServiceError) {
        _ = try client.ask(WatchMachines())
        while true {
            while let event = try client.nextEvent() {
                do throws(MessageError) {
                    say(HostText.line(try HostAnnouncement(kind: event.kind, payload: event.payload)))
                } catch { throw .protocolViolation(error) }
            }
            _ = try? poll([PollInterest(client.raw, .readable)], milliseconds: nil)
        }
    }

    private static func say(_ line: String) { writeToStandardOutput(line + "\n") }
}
