import AgentLink
import HostLink
import HostModel
import Linux
import Log

/// `wafer timed`: keeps the host's clock right.
public enum TimeProcess {
    /// Where it says how it stands.
    public static let statusFile = "\(ServiceAddress.directory)/time"
    /// The kernel's frequency correction, for the next start of this process on a kernel that has none yet.
    private static let driftFile = "\(ServiceAddress.directory)/drift"

    private static let usage = """
        usage: wafer timed [--server ADDRESS]...

          --server ADDRESS  asks this time server, whatever the settings say; may be given up to four times

        """

    /// Runs until SIGTERM.
    public static func run(_ arguments: [String]) -> Int32 {
        var servers: [String] = []
        var rest = arguments[...]
        while let word = rest.popFirst() {
            guard word == "--server", let server = rest.popFirst() else {
                writeToStandardError(usage)
                return 64
            }
            servers.append(server)
        }
        do throws(SystemError) {
            try serve(servers)
            return 0
        } catch {
            writeToStandardError("timed: \(error)\n")
            return 1
        }
    }

    private static func serve(_ servers: [String]) throws(SystemError) {
        try SignalEvents.block([.terminate, .interrupt])
        try FileSystem.makeDirectory(ServiceAddress.directory)
        let log = Log("timed")
        let loop = try EventLoop(name: "timed")
        restoreDrift(log)
        let agent = try TimeAgent(on: loop, clock: HostClock(), log: log, statusFile: statusFile)
        agent.configure(servers: servers)
        var settings: SettingsWatch?
        if servers.isEmpty {
            settings = try SettingsWatch(on: loop) { settings in
                agent.configure(servers: settings.time.usesNTP ? settings.time.servers : [])
            }
        }
        let drift = try Timer(on: loop) { if agent.discipline.isSynchronized { saveDrift() } }
        drift.set(after: 600_000_000_000, every: 3_600_000_000_000)
        let signals = try SignalEvents([.terminate, .interrupt], on: loop) { _ in loop.stop() }
        loop.run()
        if agent.discipline.isSynchronized { saveDrift() }
        agent.close()
        withExtendedLifetime((signals, settings)) {}
    }

    private static func restoreDrift(_ log: Log) {
        guard let text = try? FileSystem.text(of: driftFile), let ppm = Double(text), ppm.isFinite,
            (try? KernelClock.frequencyPPM()) == 0
        else { return }
        do throws(SystemError) { try KernelClock.setFrequency(ppm: ppm) } catch { log.warning("\(error)") }
    }

    private static func saveDrift() {
        guard let ppm = try? KernelClock.frequencyPPM() else { return }
        try? FileSystem.write("\(ppm)\n", to: driftFile)
    }
}
