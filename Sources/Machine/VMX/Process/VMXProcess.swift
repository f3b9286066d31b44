import Chipset
import GuestTools
import KVM
import Linux
import Messages
import Synchronization
import VMXConfig
import VMXControl

/// `wafer vmx`: the process that is one virtual machine.
public final class VMXProcess: @unchecked Sendable {
    // @unchecked: everything belongs to the machine's loop, which the main thread runs.

    static let usage = """
        usage: wafer vmx [--check] [--log-to-stderr] FILE.vmx

        Runs the virtual machine that FILE.vmx describes, until it powers off.

          --check           only read the file and say what is wrong with it
          --log-to-stderr   write the log to standard error, too

        SIGTERM asks the guest to shut down; a second one powers it off at once.
        `wafer vm help` explains how to control it while it runs.

        """

    private static let signals: [SignalEvents.Signal] = [.terminate, .interrupt]

    private let configuration: MachineConfiguration
    private let lock: VMLock
    private let directory: String
    private let log: MachineLog
    private let loop: EventLoop
    private let deviceLoop: EventLoop
    private let ioLoops: [EventLoop]
    private let builder: MachineBuilder
    private let questions: QuestionDesk
    private let machine: Machine
    private let devices: DeviceManager
    private let screen: RemoteScreen?
    private var control: ControlServer?
    private var signals: SignalEvents?
    private let started = monotonicNanoseconds()
    private var exitCode = ExitCode.done
    private var terminations = 0

    /// Runs the command.
    ///
    /// - Parameter arguments: without the program's and the command's name.
    /// - Returns: the process's exit status.
    public static func run(_ arguments: [String]) -> Int32 {
        var path: String?
        var checkOnly = false
        var logToStandardError = false
        for argument in arguments {
            switch argument {
            case "--check": checkOnly = true
            case "--log-to-stderr": logToStandardError = true
            case "--help", "-h":
                writeToStandardOutput(usage)
                return ExitCode.done.rawValue
            case _ where argument.hasPrefix("-") || path != nil:
                writeToStandardError("wafer vmx: unexpected argument \(argument)\n\(usage)")
                return ExitCode.usage.rawValue
            default: path = argument
            }
        }
        guard let path else {
            writeToStandardError(usage)
            return ExitCode.usage.rawValue
        }
        do throws(StartFailure) {
            let configuration = try load(path)
            if checkOnly { return ExitCode.done.rawValue }
            ProcessSignals.ignoreBrokenPipes()
            let process = try VMXProcess(configuration, logToStandardError: logToStandardError)
            return process.runToEnd().rawValue
        } catch {
            writeToStandardError("wafer vmx: \(error)\n")
            return error.code.rawValue
        }
    }

    private static func load(_ path: String) throws(StartFailure) -> MachineConfiguration {
        do throws(ConfigurationError) {
            let configuration = try MachineConfiguration.load(path)
            for warning in configuration.warnings { writeToStandardError("warning: \(warning)\n") }
            return configuration
        } catch { throw StartFailure(.configuration, "\(error)") }
    }

    /// Takes the VM's locks, opens its log and builds it.
    private init(_ configuration: MachineConfiguration, logToStandardError: Bool) throws(StartFailure) {
        if let reason = KVMSystem.probe() { throw StartFailure(.unavailable, "\(reason)") }
        self.configuration = configuration
        directory = Linux.directory(of: configuration.file)
        do throws(VMLock.Failure) {
            lock = try VMLock(configuration.file, holder: .current(name: configuration.displayName))
        } catch {
            if case .running = error { throw StartFailure(.busy, "\(error)") }
            throw StartFailure(.system, "\(error)")
        }
        do throws(ConfigurationError) { try configuration.saveIdentity() } catch {
            throw StartFailure(.configuration, "\(error)")
        }
        do {
            try SignalEvents.block(Self.signals)
            loop = try EventLoop(name: "vmx")
            deviceLoop = try EventLoop(name: "devices")
            try deviceLoop.start()
            var ioLoops: [EventLoop] = []
            for number in 0..<configuration.ioThreadCount {
                let ioLoop = try EventLoop(name: "io-\(number)")
                try ioLoop.start()
                ioLoops.append(ioLoop)
            }
            self.ioLoops = ioLoops
            log = try MachineLog(directory: directory, alsoToStandardError: logToStandardError)
        } catch { throw StartFailure(.system, "\(error)") }
        log.info("Wafer vmx \(Version.text), process \(processIdentifier()), VM \"\(configuration.displayName)\"")
        log.info("Configuration file \(configuration.file)")
        for warning in configuration.warnings { log.warning("\(warning)") }
        let asking = Asking()
        builder = MachineBuilder(configuration, directory, loop, deviceLoop, ioLoops, log) { asking.desk?.ask($0) }
        do throws(StartFailure) {
            let built = try builder.build()
            (machine, devices, screen) = (built.machine, built.devices, built.screen)
            questions = QuestionDesk(machine, log)
            asking.desk = questions
        } catch {
            log.error("\(error)")
            throw error
        }
    }

    private final class Asking: @unchecked Sendable {
        // @unchecked: set before the guest runs, then used on the machine's loop.
        weak var desk: QuestionDesk?
    }

    private func runToEnd() -> ExitCode {
        do {
            signals = try SignalEvents(Self.signals, on: loop) { [unowned self] _ in terminate() }
            let path = ControlAddress.socket(forFile: configuration.file, configured: configuration.controlSocket)
            control = try ControlServer(path: path, loop: loop) { [unowned self] request in serve(request) }
            log.info("Control socket \(path)")
        } catch {
            log.error("\(error)")
            writeToStandardError("wafer vmx: \(error)\n")
            return .system
        }
        machine.changed = { [unowned self] state in control?.announce(state.rawValue) }
        machine.ended = { [unowned self] state in end(state) }
        loop.perform { [self] in
            do {
                if let state = configuration.savedState {
                    try suspension.resume(state)
                } else {
                    try machine.powerOn()
                }
                // Most code and much of the heap was for the start only.
                releaseStartupMemory()
            } catch {
                log.error("cannot power on: \(error)")
                writeToStandardError("wafer vmx: cannot power on: \(error)\n")
                exitCode = .configuration
                loop.stop()
            }
        }
        loop.run()
        control?.close()
        screen?.close()
        devices.close()
        for ioLoop in ioLoops { ioLoop.stop() }
        deviceLoop.stop()
        log.info("Exit \(exitCode.rawValue)")
        return exitCode
    }

    private func terminate() {
        terminations += 1
        if terminations == 1, machine.askToShutDown() {
            log.info("SIGTERM: asked the guest to shut down")
        } else {
            log.info("SIGTERM: powering off")
            machine.powerOff()
        }
    }

    private func end(_ state: Machine.State) {
        if state == .crashed {
            exitCode = .crashed
            writeToStandardError("wafer vmx: the guest crashed; see \(directory)/vmware.log\n")
            machine.powerOff()
        } else {
            loop.stop()
        }
    }

    // MARK: Control socket

    private func serve(_ request: ControlRequest) -> ControlReply {
        log.info("Control: \(request)")
        do throws(ControlReply.Refusal) { return try carryOut(request) } catch { return .refused(error) }
    }

    private func carryOut(_ request: ControlRequest) throws(ControlReply.Refusal) -> ControlReply {
        switch request {
        case .status: return .status(status)
        case .watch: break
        case .pause:
            guard machine.state == .running else { throw .init(.badState, "the VM is \(machine.state.rawValue)") }
            machine.pause()
        case .resume:
            guard machine.state == .paused else { throw .init(.badState, "the VM is \(machine.state.rawValue)") }
            // Asked while the VM stood still already.
            if let question = questions.current {
                throw .init(.badState, "the VM waits for an answer to question \(question.identifier)")
            }
            machine.resume()
        case .powerOff:
            // Answered first: the process ends with it.
            loop.perform { self.machine.powerOff() }
        case .suspend: try suspension.suspend()
        case .reset:
            do { try machine.reset() } catch { throw .init(.failed, "cannot reset: \(error)") }
        case .shutdownGuest:
            guard machine.state == .running else { throw .init(.badState, "the VM is \(machine.state.rawValue)") }
            guard machine.askToShutDown() else {
                throw .init(.notSupported, "the guest does not listen to its power button (no ACPI system runs in it)")
            }
        case .rebootGuest:
            guard machine.state == .running else { throw .init(.badState, "the VM is \(machine.state.rawValue)") }
            guard machine.backdoor.ask(.reboot) else {
                throw .init(.notSupported, "no VMware Tools run in the guest, which could restart it")
            }
        case .statistics: return .statistics(statistics)
        case .attach(let settings): try hotPlug.attach(settings)
        case .detach(let device): try hotPlug.detach(device)
        case .answer(let question, let choice): try questions.answer(question, choice)
        case .screenshot(let offset):
            let (total, piece) = try remoteScreen().screenshot(from: Int(offset), count: Frame.payloadMax / 2)
            return .picture(total: UInt32(clamping: total), piece: piece)
        case .type(let text): try remoteScreen().type(text)
        case .insert(let name, let path): try insert(path, into: name)
        }
        return .done
    }

    private func insert(_ path: String, into name: String) throws(ControlReply.Refusal) {
        guard let device = devices.device(name) else { throw .init(.notFound, "there is no device \(name)") }
        guard let drive = device.drive else { throw .init(.notSupported, "\(name) is no CD drive") }
        let isDone: Bool
        do {
            isDone = try drive.insert(path.isEmpty ? nil : resolve(path, in: directory))
        } catch { throw .init(.badDevice, "\(error)") }
        if !isDone { throw .init(.badState, "the guest has locked the CD in \(name); it was asked to let go of it") }
    }

    private func remoteScreen() throws(ControlReply.Refusal) -> RemoteScreen {
        guard let screen else { throw .init(.notSupported, "the VM has no screen (svga.present)") }
        return screen
    }

    private var suspension: Suspension { Suspension(configuration: configuration, machine: machine, log: log) }

    private var hotPlug: HotPlug {
        HotPlug(configuration: configuration, builder: builder, machine: machine, devices: devices)
    }

    private var status: MachineStatus {
        MachineStatus(
            displayName: configuration.displayName, uuid: configuration.uuid.description,
            configurationFile: (try? absolutePath(configuration.file)) ?? configuration.file,
            process: UInt32(processIdentifier()), state: machine.state.rawValue,
            uptime: (monotonicNanoseconds() - started) / 1_000_000,
            memoryMegabytes: UInt32(configuration.memoryMegabytes), processors: UInt32(configuration.processorCount),
            resets: UInt32(machine.resets), devices: devices.devices.map(\.status), question: questions.current,
            tools: MachineStatus.Tools(machine.backdoor.report))
    }

    private var statistics: [ControlReply.Counter] {
        machine.vcpus.map {
            ControlReply.Counter(name: "vcpu\($0.vcpu.id).exits", value: $0.exits.load(ordering: .relaxed))
        } + devices.statistics
    }
}

extension MachineStatus.Tools {
    /// Nil if the guest said nothing.
    fileprivate init?(_ report: ToolsReport) {
        guard report != ToolsReport() else { return nil }
        self.init(
            isRunning: report.heartbeatAge != nil, version: report.versionText ?? "", address: report.address,
            hostName: report.hostName, system: report.systemName)
    }
}
