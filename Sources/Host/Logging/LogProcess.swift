import AgentLink
import HostLink
import HostModel
import Linux
import Log

/// `wafer logd`: the log agent.
public enum LogProcess {
    private static let usage = """
        usage: wafer logd [--socket DESCRIPTOR] [--directory DIRECTORY] [--target SERVER]... [--authorities FILE]

          --socket DESCRIPTOR    where messages come in; without it, a socket is made at \(Log.path)
          --directory DIRECTORY  writes log files there, whatever the settings say
          --target SERVER        sends messages to udp://HOST[:PORT], tcp://HOST[:PORT] or tls://HOST[:PORT], whatever the
                                 settings say; may be given often
          --authorities FILE     holds certificates (PEM) of those who may vouch for TLS servers

        """

    private struct Options {
        var socket: CInt?
        var authorities: String?
        /// In place of the host's, if any of them is given.
        var settings = LoggingSettings()

        init?(_ arguments: [String]) {
            var rest = arguments[...]
            while let word = rest.popFirst() {
                guard let value = rest.popFirst() else { return nil }
                switch word {
                case "--socket":
                    guard let number = CInt(value), number > 2 else { return nil }
                    socket = number
                case "--directory": settings.directory = value
                case "--target": settings.targets.append(value)
                case "--authorities": authorities = value
                default: return nil
                }
            }
        }
    }

    /// Runs until SIGTERM.
    public static func run(_ arguments: [String]) -> Int32 {
        guard let options = Options(arguments) else {
            writeToStandardError(usage)
            return 64
        }
        do throws(SystemError) {
            try serve(options)
            return 0
        } catch {
            writeToStandardError("logd: \(error)\n")
            return 1
        }
    }

    private static func serve(_ options: Options) throws(SystemError) {
        ProcessSignals.ignoreBrokenPipes()
        try SignalEvents.block([.terminate, .interrupt])
        try FileSystem.makeDirectory(ServiceAddress.directory)
        let loop = try EventLoop(name: "logd")
        let socket: Descriptor
        if let number = options.socket {
            socket = Descriptor(adopting: number)
            try socket.setNonBlocking()
        } else {
            socket = try UnixDatagram.bind(Log.path)
        }
        let agent = try LogAgent(
            socket: socket, store: "\(ServiceAddress.directory)/logs", address: ServiceAddress.log, readsKernel: true,
            on: loop)
        var own = options.settings
        var settings: SettingsWatch?
        if own == LoggingSettings() {
            settings = try SettingsWatch(on: loop) { agent.configure($0.logging) }
        } else {
            if let path = options.authorities {
                own.authorities = String(decoding: try readFile(path, limit: 1 << 20), as: UTF8.self)
            }
            agent.configure(own)
        }
        let refresh = try Timer(on: loop) { agent.refresh() }
        refresh.set(after: 30_000_000_000, every: 30_000_000_000)
        let signals = try SignalEvents([.terminate, .interrupt], on: loop) { _ in loop.stop() }
        loop.run()
        agent.close()
        withExtendedLifetime((signals, settings)) {}
    }
}
