import HostLink

/// One of the host's long-running processes, as data.
struct Agent: Equatable {
    enum Restart: Equatable {
        /// Whenever it ends.
        case always
        /// When it ends with anything but status 0.
        case afterFailure
    }

    /// What people know it by.
    var name: String
    /// The words of its command, the program first.
    var arguments: [String]
    /// Agents that should answer before this one starts. Only an order: who waits too long starts nevertheless.
    var needs: [String] = []
    var restart = Restart.always
    /// Where it answers questions; nil if it answers none and so is not asked whether it is well.
    var socket: String?
    /// The host is of little use without it: a trial boot is confirmed only when all of these are well.
    var isVital = false
    /// Whether it gets the log's socket, as descriptor 3.
    var takesLogSocket = false
    /// A person may be looking at it.
    var isScreen = false
    /// What it writes to standard error goes to the log, and not to the console.
    var isLogged = true

    /// The agents of a host, in the order they start; they are stopped in the reverse order.
    ///
    /// - Parameter terminals: those that show the direct console, such as `tty1`.
    static func all(terminals: [String]) -> [Agent] {
        func wafer(_ words: String...) -> [String] { ["wafer"] + words }
        var agents = [
            Agent(
                name: "logd", arguments: wafer("logd", "--socket", "3"), socket: ServiceAddress.log,
                takesLogSocket: true),
            Agent(
                name: "configd", arguments: wafer("configd"), socket: ServiceAddress.configuration, isVital: true),
            network,
            Agent(name: "timed", arguments: wafer("timed"), needs: ["configd", "netd"]),
            Agent(
                name: "hostd", arguments: wafer("hostd"), needs: ["configd", "netd"], socket: ServiceAddress.host,
                isVital: true),
        ]
        for terminal in terminals {
            agents.append(
                Agent(
                    name: "dcui-\(terminal)", arguments: wafer("dcui", "/dev/\(terminal)"), needs: ["configd"],
                    isScreen: true))
        }
        return agents
    }

    /// The network agent.
    static let network = Agent(
        name: "netd", arguments: ["wafer", "netd"], needs: ["configd"], socket: ServiceAddress.network, isVital: true)

    /// A command of the kernel command line's `wafer.run`.
    static func command(_ words: [String]) -> Agent {
        Agent(name: words.joined(separator: " "), arguments: words, restart: .afterFailure, isLogged: false)
    }
}
