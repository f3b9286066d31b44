import Addresses
import HostLink
import Linux
import Log

/// PID 1 of the appliance: makes the kernel usable, starts the agents, and takes the system down in order.
///
/// One thread, one loop. Nothing here may end the process: the kernel panics if PID 1 ends.
public final class Init {
    let console: Console
    let commandLine: KernelCommandLine
    private let signals: SignalFD
    private let uevents: UeventSocket?
    private let modules: ModuleLoader
    let supervisor: Supervisor
    let warnings: HostWarnings
    private var lab: LabServer?
    private var power: Kernel.Power?
    /// How often the end was asked for.
    private var powerRequests = 0
    private let hasAgents: Bool
    private var confirmation: BootConfirmation?
    private var watchdog: HardwareWatchdog?
    /// When to look at the devices again, some time after the last one came or went.
    private var reportDue: UInt64?
    /// Short-lived commands that run now, and what they are for.
    private var helpers: [Int32: String] = [:]
    /// Directories mounted from data disks, in order.
    private(set) var mounted: [String] = []
    /// Devices mounted because of their label.
    private var automatic: Set<String> = []
    private var isUp = false
    /// After so long without a change, devices and their drivers have found each other.
    private static let settled: UInt64 = 2_000_000_000

    private static let confirming = "confirm the boot"

    // Numbers of signals as Linux has them on all machines but MIPS and PA-RISC.
    private static let hangUp: CInt = 1
    private static let interrupt: CInt = 2
    private static let user2: CInt = 12
    private static let terminate: CInt = 15
    private static let child: CInt = 17
    private static let powerFailure: CInt = 30

    /// Becomes the system's first process. Returns never.
    public static func run() -> Never {
        let console = Console(Log("init"))
        do {
            try Init().main()
        } catch {
            console.warn("cannot go on: \(error)")
        }
        // Only reached when not even signals or poll work; restarting is all that is left.
        console.warn("cannot end the system: \(Kernel.end(.restart))")
        while true { try? Watch.turn([], until: nil) }
    }

    private init() throws(SystemError) {
        ProcessSignals.ignoreBrokenPipes()
        let log = Log("init")
        console = Console(log)
        signals = try SignalFD([Self.hangUp, Self.interrupt, Self.user2, Self.terminate, Self.child, Self.powerFailure])
        EarlyMounts.mountAll(console)
        commandLine = KernelCommandLine((try? FileSystem.text(of: "/proc/cmdline")) ?? "")
        // Before the first look at /sys, so that no device falls between the look and the events.
        do { uevents = try UeventSocket() } catch {
            console.warn("no hot-plug: \(error)")
            uevents = nil
        }
        modules = ModuleLoader(console: console)
        supervisor = Supervisor(console: console, log: log)
        warnings = HostWarnings(console: console)
        // Where the lab works with a host it decides itself what runs there.
        hasAgents = commandLine.isOn("wafer.agents", default: !commandLine.isOn("wafer.lab"))
    }

    private func main() throws(SystemError) {
        Kernel.disableCtrlAltDel()
        if hasAgents {
            supervisor.openLog()
            console.isLogged = true
        }
        let name = commandLine.value("wafer.hostname") ?? "wafer"
        do { try Kernel.setHostName(name) } catch { console.warn("\(error)") }
        // What a host with hundreds of machines needs; the kernel starts PID 1 with 1024 and 4096.
        do { try ResourceLimits.setDescriptors(soft: 65_536, hard: 1 << 20) } catch { console.warn("\(error)") }
        // The memory of guests is memory files; who wants huge pages for one says so.
        try? FileSystem.write("advise", to: "/sys/kernel/mm/transparent_hugepage/shmem_enabled")
        do { try MemoryReserve.apply() } catch { console.warn("\(error)") }
        loadDrivers()
        switchRoot()
        configureNetwork()
        mountDataDisks()
        if hasAgents { mountAutomatically() }
        watchdog = HardwareWatchdog(setting: commandLine.value("wafer.watchdog"), console: console)
        for command in commandLine.values("wafer.run") {
            supervisor.add(.command(command.split(separator: " ").map(String.init)))
        }
        startLab()
        console.note("\(name) is up")
        isUp = true
        startAgents()
        if hasAgents {
            takeCrashRecords()
            reportDue = monotonicNanoseconds() + Self.settled
        }
        while power == nil { try turn(until: nil) }
        shutDown(power ?? .off)
    }

    private func startAgents() {
        guard hasAgents else { return }
        let isLab = commandLine.isOn("wafer.lab")
        let wanted = commandLine.value("wafer.dcui") ?? (isLab ? "tty1" : "tty1,ttyS0")
        let terminals = wanted.split(separator: ",").map(String.init).filter(Terminals.isThere)
        for agent in Agent.all(terminals: terminals) { supervisor.add(agent) }
        confirmation = BootConfirmation(
            isTrial: commandLine.isOn("wafer.trial"), now: monotonicNanoseconds())
        // The screen is the direct console's now; what the kernel and we have to say is in the log. The lab reads the serial line.
        guard isLab ? terminals.contains("ttyS0") : !terminals.isEmpty else { return }
        console.isQuiet = true
        try? FileSystem.write("1", to: "/proc/sys/kernel/printk")
    }

    private func confirmBoot() {
        switch confirmation?.look(isWell: supervisor.isWell, now: monotonicNanoseconds()) {
        case .confirm: runHelper(Self.confirming, ["wafer", "confirm-boot"])
        case .giveUp: giveUpTrial("did not come up")
        case .wait, nil: break
        }
    }

    /// Restarts, so that the loader takes the other bank.
    private func giveUpTrial(_ why: String) {
        console.warn("this boot on trial \(why); restarting")
        requestPower(.restart)
    }

    /// Starts a command that ends soon.
    private func runHelper(_ purpose: String, _ words: [String]) {
        do throws(SystemError) {
            let process = try Launch(
                path: ProcessDefaults.path(of: words[0]), arguments: words, environment: ProcessDefaults.environment
            ).start()
            helpers[process] = purpose
        } catch { console.warn("cannot \(purpose): \(error)") }
    }

    /// One round of waiting and doing.
    private func turn(until limit: UInt64?) throws(SystemError) {
        supervisor.advance()
        confirmBoot()
        watchdog?.advance(
            needsProof: confirmation?.needsProof ?? false, isWell: supervisor.isWell)
        if let due = reportDue, due <= monotonicNanoseconds() { reportDevices() }
        lab?.advance()
        var watches = (lab?.watches() ?? []) + supervisor.watches()
        watches.append(Watch(signals.raw, .readable) { [unowned self] _ in self.takeSignals() })
        if let uevents { watches.append(Watch(uevents.raw, .readable) { [unowned self] _ in self.takeUevents() }) }
        let deadlines = [limit, supervisor.deadline, lab?.deadline, confirmation?.due, watchdog?.due, reportDue]
        let deadline = deadlines.compactMap { $0 }.min()
        try Watch.turn(watches, until: deadline)
    }

    private func takeSignals() {
        while let signal = signals.nextWithOrigin() {
            switch signal.number {
            case Self.child: reap()
            case Self.hangUp: supervisor.restartAgents()
            // Ctrl-Alt-Del: whoever stands at the console has to log in to restart a host that works.
            case Self.interrupt where signal.isKernels && hasAgents: break
            case Self.interrupt: requestPower(.restart)
            default: requestPower(.off)
            }
        }
    }

    private func requestPower(_ power: Kernel.Power) {
        // Whoever asks again changes nothing but the hurry.
        if self.power == nil { self.power = power }
        powerRequests += 1
    }

    private func reap() {
        while let (process, status) = Child.reap() {
            if let purpose = helpers.removeValue(forKey: process), status != .exited(0) {
                if purpose == Self.confirming, status == .exited(ConfirmBootCommand.isDamaged) {
                    giveUpTrial("has a damaged boot bank")
                } else {
                    console.warn("could not \(purpose): the command \(status)")
                    if purpose == Self.confirming { confirmation?.couldNotConfirm(now: monotonicNanoseconds()) }
                }
            }
            supervisor.childEnded(process, status)
            lab?.childEnded(process, status)
        }
    }

    // MARK: Devices

    private func loadDrivers() {
        // Tools in guests are ordinary processes, which may not access ports by themselves: KVM lets them access the backdoor's.
        modules.load("kvm", parameters: "enable_vmware_backdoor=1")
        switch DeviceScan.processorVendor() {
        case "AuthenticAMD", "HygonGenuine": modules.load("kvm_amd")
        case "GenuineIntel": modules.load("kvm_intel")
        case let vendor: console.warn("no hardware virtualisation driver for processor vendor \(vendor ?? "unknown")")
        }
        // What nothing on a bus asks for: a list of ours in the image, and the kernel command line's.
        let listed = ((try? FileSystem.text(of: "/etc/modules")) ?? "").split(separator: "\n")
            .filter { !$0.hasPrefix("#") }.map(String.init)
        let asked = commandLine.values("wafer.modules").flatMap { $0.split(separator: ",").map(String.init) }
        for module in listed + asked { modules.load(module) }
        for alias in DeviceScan.aliases() { modules.load(alias: alias) }
        // Each driver may have found devices that call for others.
        takeUevents()
        let virtualisation =
            fileExists("/dev/kvm") ? "hardware virtualisation is on" : "no hardware virtualisation"
        console.note("\(modules.loaded) drivers loaded; \(virtualisation)")
    }

    private func takeUevents() {
        while let event = uevents?.next() {
            if event.action == "add", let alias = event.properties["MODALIAS"] { modules.load(alias: alias) }
            guard isUp, hasAgents else { continue }
            reportDue = monotonicNanoseconds() + Self.settled
            if event.properties["SUBSYSTEM"] == "block", ["add", "change"].contains(event.action),
                let name = event.properties["DEVNAME"]
            {
                mountAutomatically(name)
            }
        }
    }

    /// Says what is missing or does not work.
    private func reportDevices() {
        reportDue = nil
        let hasKVM = fileExists("/dev/kvm")
        for (topic, texts) in DeviceReport().all(hasKVM: hasKVM, hasVirtualisation: Processor.hasVirtualisation) {
            warnings.set(topic, texts)
        }
    }

    private func takeCrashRecords() {
        // Where the firmware keeps such records, the kernel needs to be asked for the driver.
        _ = modules.loadAny("efi_pstore")
        do throws(SystemError) {
            guard try CrashRecords.take() > 0 else { return }
            warnings.set(
                .crash,
                [
                    "This host's kernel had crashed; what it said last is in \(CrashRecords.directory) until the next start."
                ])
        } catch { console.warn("cannot read crash records: \(error)") }
    }

    // MARK: Network

    /// Everything but the loopback is the network agent's. Without the other agents it runs alone: what the lab then starts here
    /// needs a network.
    private func configureNetwork() {
        do throws(SystemError) {
            var network = try NetworkConfiguration()
            try network.setUp("lo")
            // As for any other address; the kernel gives lo 127.0.0.1 by itself only through ioctl.
            try network.add(IPv4Address(127, 0, 0, 1), prefix: 8, to: "lo")
        } catch { console.warn("the loopback is not set up: \(error)") }
        guard !hasAgents else { return }
        supervisor.add(.network)
        let limit = monotonicNanoseconds() + 10_000_000_000
        while !fileExists(ServiceAddress.network), monotonicNanoseconds() < limit {
            do { try turn(until: min(limit, monotonicNanoseconds() + 10_000_000)) } catch { break }
        }
    }

    // MARK: Disks

    private func mountDataDisks() {
        for text in commandLine.values("wafer.mount") {
            guard let disk = DataDisk(text) else {
                console.warn("wafer.mount=\(text) is not DISK:DIRECTORY[:TYPE[:OPTIONS]]")
                continue
            }
            guard let device = wait(for: disk) else {
                console.warn("wafer.mount=\(text): there is no such disk")
                continue
            }
            do {
                try disk.mount(from: device)
                mounted.append(disk.directory)
                console.note("\(device) is mounted on \(disk.directory)")
            } catch { console.warn("\(error)") }
        }
    }

    /// Mounts every disk whose label asks for that.
    private func mountAutomatically() {
        let names = ((try? listDirectory("/sys/class/block")) ?? []).sorted()
        for name in names { mountAutomatically(name) }
    }

    private func mountAutomatically(_ name: String) {
        // Asking an empty drive takes seconds, and what is in memory is nobody's disk.
        if ["fd", "sr", "ram", "zram", "loop"].contains(where: name.hasPrefix) { return }
        // The kernel writes a slash in a name so.
        let device = "/dev/\(name.replacing("!", with: "/"))"
        guard let label = DataDisk.ext4Label(ofDevice: device),
            let directory = DataDisk.automaticDirectory(label: label), !automatic.contains(name)
        else { return }
        // A disk that the kernel command line names is mounted where that says.
        let table = (try? FileSystem.text(of: "/proc/self/mounts")) ?? ""
        if table.split(separator: "\n").contains(where: { $0.hasPrefix("\(device) ") }) { return }
        if mounted.contains(directory) {
            console.warn("\(device) is not mounted: another disk has the label \(label), too")
            return
        }
        guard let disk = DataDisk("\(device):\(directory)") else { return }
        do throws(SystemError) {
            try disk.mount(from: device)
            automatic.insert(name)
            mounted.append(directory)
            console.note("\(device) is mounted on \(directory)")
        } catch { console.warn("\(error)") }
    }

    /// Buses are scanned while this runs; a disk may take its time.
    private func wait(for disk: DataDisk) -> String? {
        let limit = monotonicNanoseconds() + 10_000_000_000
        var device = disk.device()
        while device == nil, monotonicNanoseconds() < limit {
            do { try turn(until: min(limit, monotonicNanoseconds() + 50_000_000)) } catch { break }
            device = disk.device()
        }
        return device
    }

    /// Becomes another system's init if the kernel command line says so.
    private func switchRoot() {
        guard let root = commandLine.value("wafer.root") else { return }
        guard let other = RootSwitch(root: root, initPath: commandLine.value("wafer.init")) else {
            console.warn("wafer.root=\(root) is not DISK[:TYPE[:OPTIONS]]")
            return
        }
        guard let device = wait(for: other.disk) else {
            console.warn("wafer.root=\(root): there is no such disk")
            return
        }
        console.note("handing over to \(other.initPath) on \(device)")
        console.warn("cannot hand over: \(other.perform(device: device))")
    }

    // MARK: Lab

    private func startLab() {
        guard commandLine.isOn("wafer.lab") else { return }
        guard let port = LabServer.openPort(named: "org.wafer.lab") else {
            console.warn("wafer.lab=1, but there is no virtio-serial port org.wafer.lab")
            return
        }
        lab = LabServer(port: port, console: console) { [unowned self] in self.requestPower($0) }
        console.note("the lab channel is open: whoever holds it is root here")
    }

    // MARK: Shutdown

    /// Ends all there is in order, writes everything to disk and ends the machine.
    private func shutDown(_ power: Kernel.Power) {
        console.isQuiet = false
        console.note(power == .restart ? "restarting" : "shutting down")
        confirmation = nil
        var sequence = ShutdownSequence(stopsGuests: hasAgents && supervisor.isAlive("hostd"))
        var requests = powerRequests
        while true {
            if powerRequests > requests {
                requests = powerRequests
                console.note("asked again: nobody is waited for any more")
                sequence.force()
            }
            let actions = sequence.advance(
                now: monotonicNanoseconds(), stopperRuns: !helpers.isEmpty, agents: supervisor.alive,
                anyProcess: Child.existsAny)
            for action in actions { perform(action) }
            if actions.contains(.finish) { break }
            do { try turn(until: sequence.due) } catch { break }
        }
        lab?.advance()
        watchdog?.prepareForEnd()
        Mounts.syncAll()
        for directory in mounted.reversed() {
            do { try Mounts.unmount(directory) } catch { console.warn("\(error)") }
        }
        Mounts.syncAll()
        watchdog?.stop()
        console.warn("\(Kernel.end(power))")
    }

    private func perform(_ action: ShutdownSequence.Action) {
        switch action {
        case .stopGuests:
            console.note("stopping virtual machines")
            runHelper("stop virtual machines", ["wafer", "host", "stop-all"])
        case .endGuestStop: for process in helpers.keys { Child.signal(process, 9) }
        case .stopSupervision: supervisor.stop()
        case .signalAgent(let name, let signal):
            console.note(signal == .kill ? "\(name) does not end; it is ended" : "stopping \(name)")
            // Who stops the log writes to the console from now on.
            if name == "logd" { console.isLogged = false }
            supervisor.stop(name, signal: signal.rawValue)
        case .signalAll(let signal): Child.signal(-1, signal.rawValue)
        case .finish: break
        }
    }
}
