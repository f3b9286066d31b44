import BlockStore
import BootBanks
import BootMedium
import ConfigService
import HostLink
import Linux
import Signatures
import StateArea

/// `wafer configd`: keeps the host's settings and its boot banks.
public enum ConfigProcess {
    static let usage = """
        usage: wafer configd [OPTION...]

        Keeps the host's settings and boot banks, and answers other processes at \(ServiceAddress.configuration).
        Settings lie on the partition WAFER-STATE of the disk that the host was started from.

          --socket PATH   answer there instead
          --state PATH    keep settings in this file or partition instead, and leave boot banks alone
          --user NUMBER   a user who may ask, besides root; may be given often

        """

    /// How long to wait for the disk that the host was started from, in milliseconds: a USB stick comes up after the kernel.
    private static let diskPatience = 15_000
    /// The stand-in for a state partition: survives this process, not the host.
    private static let volatileState = "\(ServiceAddress.directory)/state"
    private static let keyFile = "/etc/wafer/trusted.pub"

    private struct Options {
        var socket = ServiceAddress.configuration
        var state: String?
        var users: Set<UInt32> = []

        init?(_ arguments: [String]) {
            var rest = arguments[...]
            while let option = rest.popFirst() {
                guard let value = rest.popFirst() else { return nil }
                switch option {
                case "--socket": socket = value
                case "--state": state = value
                case "--user":
                    guard let user = UInt32(value) else { return nil }
                    users.insert(user)
                default: return nil
                }
            }
        }
    }

    /// Runs until SIGTERM.
    ///
    /// - Returns: 0 after SIGTERM, 64 for wrong usage, 71 if it cannot work.
    public static func run(_ arguments: [String]) -> Int32 {
        if arguments.contains(where: { ["--help", "-h"].contains($0) }) {
            writeToStandardOutput(usage)
            return 0
        }
        guard let options = Options(arguments) else {
            writeToStandardError(usage)
            return 64
        }
        do {
            ProcessSignals.ignoreBrokenPipes()
            try SignalEvents.block([.terminate])
            let loop = try EventLoop(name: "configd")
            let server = try ConfigServer(host(options), path: options.socket, on: loop)
            let signals = try SignalEvents([.terminate], on: loop) { _ in loop.stop() }
            loop.run()
            withExtendedLifetime(signals) { server.close() }
            return 0
        } catch {
            warn("\(error)")
            return 71
        }
    }

    private static func host(_ options: Options) throws -> ConfigServer.Host {
        var host = ConfigServer.Host(
            settings: SettingsStore(try volatileArea(options)), banks: nil, trusted: trustedKeys(),
            users: options.users,
            initProcess: 1)
        if options.state == nil { try findMedium(&host) }
        for warning in host.settings.state.warnings { warn(warning) }
        return host
    }

    /// The state area of `--state`, or the one in memory.
    private static func volatileArea(_ options: Options) throws -> StateArea {
        if options.state == nil { try FileSystem.makeDirectory(ServiceAddress.directory) }
        let path = options.state ?? volatileState
        return try StateArea(DeviceStore(file: path, size: StateArea.sizeMin))
    }

    /// Looks for the boot medium, and takes settings and banks from it.
    private static func findMedium(_ host: inout ConfigServer.Host) throws {
        let commandLine = KernelCommandLine((try? FileSystem.text(of: "/proc/cmdline")) ?? "")
        let bank = commandLine.value("wafer.bank").flatMap(BootBank.init)
        let limit = monotonicNanoseconds() + UInt64(bank == nil ? 0 : diskPatience) * 1_000_000
        var disks = BootDisk.all()
        while disks.isEmpty, monotonicNanoseconds() < limit {
            _ = try? poll([], milliseconds: 100)
            disks = BootDisk.all()
        }
        guard let (disk, others) = BootDisk.choose(disks, identifier: commandLine.value("wafer.disk")) else {
            host.settings.warnings.append("there is no state partition: settings are lost when this host restarts")
            return
        }
        do {
            guard let device = disk.device(.state) else { return }
            host.settings = SettingsStore(try StateArea(DeviceStore(device)))
        } catch {
            host.settings.warnings.append("settings are lost when this host restarts: \(error)")
        }
        if others > 0 {
            host.settings.warnings.append(
                "\(others + 1) disks have a state partition; the one on \(disk.name) is in use")
        }
        let origin = BootOrigin(
            bank: bank, isTrial: commandLine.isOn("wafer.trial"), isFallback: commandLine.isOn("wafer.fallback"))
        do { host.banks = try banks(on: disk, origin) } catch {
            host.settings.warnings.append("the boot banks cannot be used: \(error)")
        }
    }

    private static func banks(on disk: BootDisk, _ origin: BootOrigin) throws -> BootBanks? {
        guard let system = disk.device(.system) else { return nil }
        var banks: [BootBank: any BlockStore] = [:]
        var hidden: [BootBank: UInt32] = [:]
        for bank in BootBank.allCases {
            guard let device = disk.device(bank.partition) else { continue }
            banks[bank] = try DeviceStore(device)
            hidden[bank] = disk.starts[bank.partition].flatMap { UInt32(exactly: $0) }
        }
        return try BootBanks(system: DeviceStore(system), banks: banks, hiddenSectors: hidden, origin: origin)
    }

    private static func trustedKeys() -> [Ed25519.PublicKey] {
        guard let text = try? FileSystem.text(of: keyFile) else { return [] }
        guard let keys = Ed25519.PublicKey.list(text) else {
            warn("\(keyFile) is damaged: this host takes no updates")
            return []
        }
        return keys
    }

    private static func warn(_ text: String) { writeToStandardError("configd: \(text)\n") }
}
