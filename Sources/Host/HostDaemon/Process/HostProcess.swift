import AgentLink
import HostLink
import HostModel
import Linux

/// `wafer hostd`: the host agent.
public enum HostProcess {
    static let usage = """
        usage: wafer hostd [--settings FILE]

        The host agent: keeps the host's virtual machines, starts those that start with the host, and checks logins. It answers at
        \(HostEnvironment().socket); `wafer host help` explains how to ask it. Machines run on without it.

          --settings FILE   keep the settings in this file, instead of with the configuration agent
        """

    /// Runs the agent until it is told to end.
    ///
    /// - Parameter arguments: without the program's and the command's name.
    /// - Returns: exit status: 0 told to end, 64 wrong usage, 71 a system call failed.
    public static func run(_ arguments: [String]) -> Int32 {
        var settingsFile: String?
        switch (arguments.first, arguments.count) {
        case (nil, _): break
        case ("--settings", 2): settingsFile = arguments[1]
        case ("--help", _), ("-h", _), ("help", _):
            writeToStandardOutput(usage)
            return 0
        default:
            writeToStandardError(usage)
            return 64
        }
        ProcessSignals.ignoreBrokenPipes()
        do throws(SystemError) {
            try SignalEvents.block([.terminate, .interrupt])
            let loop = try EventLoop(name: "hostd")
            let alarms = try Alarms(on: loop)
            let settings: any SettingsSource =
                if let settingsFile {
                    try FileSettings(settingsFile)
                } else {
                    try SettingsWatch(on: loop)
                }
            let agent = try HostDaemon(HostEnvironment(), settings: settings, alarms: alarms, on: loop)
            let signals = try SignalEvents([.terminate, .interrupt], on: loop) { _ in loop.stop() }
            let outcome = Outcome()
            agent.begin { error in
                outcome.error = error
                loop.stop()
            }
            loop.run()
            agent.close()
            withExtendedLifetime(signals) {}
            if let error = outcome.error { throw error }
            return 0
        } catch {
            writeToStandardError("wafer hostd: \(error)\n")
            return 71
        }
    }
}

private final class Outcome {
    var error: SystemError?
}

/// The agent's parts, put together.
final class HostDaemon {
    // Belongs to the loop's thread.

    let keeper: MachineKeeper
    let accounts: AccountDesk
    private let settings: any SettingsSource
    private let autostart: AutostartRunner
    private let environment: HostEnvironment
    private var server: HostServer?
    private let workers: [Worker]
    private var began: UInt64 = 0
    /// How long to wait for machines found running to say how they are, in nanoseconds, before questions are taken.
    private static let patience: UInt64 = 2_000_000_000

    /// On the loop's thread, or before it starts.
    init(
        _ environment: HostEnvironment, settings: any SettingsSource, alarms: Alarms, on loop: EventLoop
    ) throws(SystemError) {
        try FileSystem.makeDirectory(environment.stateDirectory, permissions: 0o700)
        let journal = Journal()
        let disks = try Worker(name: "disks", for: loop)
        let hashing = try Worker(name: "passwords", for: loop)
        workers = [disks, hashing]
        self.environment = environment
        self.settings = settings
        keeper = MachineKeeper(
            environment, settings: settings, journal: journal, disks: disks, alarms: alarms, on: loop)
        accounts = AccountDesk(environment, settings: settings, journal: journal, worker: hashing)
        autostart = AutostartRunner(keeper)
    }

    /// Looks for machines, takes questions, and starts machines that start with the host.
    ///
    /// - Parameter failed: the socket cannot be opened.
    func begin(_ failed: @escaping (SystemError) -> Void) {
        began = monotonicNanoseconds()
        settings.changed = { [unowned self] _ in
            keeper.settingsChanged()
            if server != nil { autostart.advance() }
        }
        keeper.scan { [unowned self] in open(failed) }
    }

    /// Opens the socket as soon as it is known what runs: whoever asks at once gets no half truth.
    private func open(_ failed: @escaping (SystemError) -> Void) {
        let isKnown = !keeper.inventory.machines.values.contains { $0.power == .starting }
        guard isKnown || monotonicNanoseconds() - began > Self.patience else {
            keeper.alarms.after(5_000_000) { [weak self] in self?.open(failed) }
            return
        }
        do { server = try HostServer(keeper, accounts, autostart) } catch { return failed(error) }
        autostart.advance()
    }

    /// Machines run on.
    func close() {
        server?.close()
        keeper.close()
        for worker in workers { worker.stop() }
    }
}
