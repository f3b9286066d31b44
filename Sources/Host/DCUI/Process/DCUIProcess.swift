import Linux

/// `wafer dcui`: the direct console on one terminal.
public enum DCUIProcess {
    static let usage = """
        usage: wafer dcui [OPTION...] [TTY]

        Shows the direct console on a terminal, /dev/tty1 if none is named; `-` is standard input's.

          --term TYPE    what terminal it is, as terminfo names it; by default linux for virtual consoles, $TERM for `-`,
                         and vt220 for all others
          --ascii        the terminal does not understand UTF-8; so it is for vt100 and vt220
          --utf8         the terminal understands UTF-8; so it is for all others
          --demo         show a host that is not there

        """

    struct Options: Equatable {
        var path = "/dev/tty1"
        var terminal: String?
        var unicode: Bool?
        var isDemo = false

        init?(_ arguments: [String]) {
            var arguments = arguments[...]
            var path: String?
            while let argument = arguments.popFirst() {
                switch argument {
                case "--term":
                    guard let terminal = arguments.popFirst() else { return nil }
                    self.terminal = terminal
                case "--ascii": unicode = false
                case "--utf8": unicode = true
                case "--demo": isDemo = true
                default:
                    guard path == nil, argument == "-" || !argument.hasPrefix("-") else { return nil }
                    path = argument
                }
            }
            if let path { self.path = path == "-" || path.hasPrefix("/") ? path : "/dev/\(path)" }
        }

        func terminal(environment: String?) -> String {
            if let terminal { return terminal }
            if path == "-" { return environment ?? "vt220" }
            let digits = path.hasPrefix("/dev/tty") ? path.dropFirst(8) : ""
            return !digits.isEmpty && digits.allSatisfy(\.isNumber) ? "linux" : "vt220"
        }

        func speaksUnicode(_ terminal: String) -> Bool { unicode ?? !terminal.hasPrefix("vt") }
    }

    /// Runs the console until it is told to end (SIGTERM) or its terminal is gone.
    ///
    /// - Parameter arguments: without the program's and the command's name.
    /// - Returns: exit status: 0 ended, 1 the terminal cannot be used, 64 wrong usage.
    public static func run(_ arguments: [String]) -> Int32 {
        if arguments.first.map({ ["--help", "-h", "help"].contains($0) }) ?? false {
            writeToStandardOutput(usage)
            return 0
        }
        guard let options = Options(arguments) else {
            writeToStandardError(usage)
            return 64
        }
        do {
            try SignalEvents.block([.terminate, .interrupt, .hangUp, .windowChange])
            let line =
                options.path == "-"
                ? TerminalLine(adopting: try Descriptor.standardInput()) : try TerminalLine(takingOver: options.path)
            let services: any ConsoleServices = options.isDemo ? DemoServices(isSlow: true) : HostServices()
            let console = try DirectConsole(line, options, services)
            console.run()
            return 0
        } catch {
            writeToStandardError("wafer dcui: \(options.path) cannot be used: \(error)\n")
            return 1
        }
    }
}
