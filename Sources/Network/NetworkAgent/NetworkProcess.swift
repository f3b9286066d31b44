import HostLink
import HostModel
import Linux
import Log

/// `wafer netd`: makes the network be as the settings say, and tells how it is.
///
/// It may end at any time, and begin again: what it made stays in the kernel and works without it, but for leases, which it renews.
public enum NetworkProcess {
    private static let usage = """
        usage: wafer netd

        Makes virtual switches, vmkernel ports and addresses as the settings say; wafer.net on the kernel command line goes before them.
        Started by init.

        """

    public static func run(_ arguments: [String]) -> Int32 {
        if let first = arguments.first {
            let isHelp = first == "--help" || first == "-h"
            if isHelp { writeToStandardOutput(usage) } else { writeToStandardError(usage) }
            return isHelp ? 0 : ExitCode.usage
        }
        ProcessSignals.ignoreBrokenPipes()
        let messages = Log("netd")
        let log = { (text: String) in messages.info(text) }
        do {
            try FileSystem.makeDirectory(ServiceAddress.directory)
            try FileSystem.makeDirectory(stateDirectory, permissions: 0o700)
            try SignalEvents.block([.terminate, .interrupt])
            let loop = try EventLoop(name: "netd")
            let signals = try SignalEvents([.terminate, .interrupt], on: loop) { _ in loop.stop() }
            var override: AddressOverride?
            let commandLine = KernelCommandLine((try? FileSystem.text(of: "/proc/cmdline")) ?? "")
            if let word = commandLine.value("wafer.net") {
                override = AddressOverride(word)
                if override == nil {
                    log("wafer.net=\(word) is not ADDRESS/PREFIX[,GATEWAY], dhcp or none; it is ignored")
                }
            }
            let source = try ConfigurationSource(memory: "\(stateDirectory)/settings", on: loop, log: log)
            let agent = try NetworkAgent(
                on: loop, source: source, discovery: SysfsDiscovery(), directory: stateDirectory,
                socket: ServiceAddress.network, override: override,
                unnamed: commandLine.value("wafer.hostname") ?? "localhost", log: log)
            loop.run()
            withExtendedLifetime((signals, agent)) {}
            return 0
        } catch {
            messages.error("cannot go on: \(error)")
            return 1
        }
    }

    /// Leases, and settings on trial; emptied by the machine's start.
    private static let stateDirectory = "\(ServiceAddress.directory)/netd"

    private enum ExitCode { static let usage: Int32 = 64 }
}

/// The agent's parts together.
final class NetworkAgent {
    let manager: NetworkManager
    private let trials: TrialKeeper
    private let answers: NetworkAnswers

    init(
        on loop: EventLoop, source: any SettingsSource, discovery: any AdapterDiscovery, directory: String,
        socket: String, override: AddressOverride? = nil, unnamed: String? = nil, log: @escaping (String) -> Void
    ) throws(SystemError) {
        manager = try NetworkManager(
            on: loop, source: source, discovery: discovery, directory: directory, override: override, unnamed: unnamed,
            log: log)
        trials = try TrialKeeper(path: "\(directory)/trial", on: loop, log: log) { before in
            // Adapters found meanwhile keep their names.
            source.change { settings in
                let adapters = settings.adapters
                settings = before
                settings.adapters = adapters
            }
        }
        answers = try NetworkAnswers(manager, trials, path: socket)
        source.start()
    }

    func close() {
        answers.close()
        manager.close()
    }
}
