import HostLink
import HostModel
import HostService
import Linux
import VMXControl

/// The host's virtual machines: finds them, knows what they do, and has orders carried out. Whatever protocol asks, asks here.
final class MachineKeeper {
    // Belongs to the loop's thread.

    typealias Refusal = ServiceError.Refusal

    let environment: HostEnvironment
    let loop: EventLoop
    let alarms: Alarms
    let settings: any SettingsSource
    let journal: Journal
    private let disks: Worker
    private let launcher: MachineLauncher
    private(set) var inventory = Inventory()
    private var runtimes: [String: MachineRuntime] = [:]
    private var scansWaiting: [() -> Void] = []
    private var isScanning = false
    /// Machines that were ordered to stop: their end is no surprise.
    private var stopsWanted: Set<String> = []

    /// A machine is new, changed or gone.
    var announce: ((HostAnnouncement) -> Void)?
    /// An administrator has decided about a machine: automatic starts leave it alone from now on.
    var decided: ((_ file: String) -> Void)?
    /// A machine's process is gone.
    var machineEnded: ((_ file: String) -> Void)?

    init(
        _ environment: HostEnvironment, settings: any SettingsSource, journal: Journal, disks: Worker, alarms: Alarms,
        on loop: EventLoop
    ) {
        self.environment = environment
        self.settings = settings
        self.journal = journal
        self.disks = disks
        self.alarms = alarms
        self.loop = loop
        launcher = MachineLauncher(environment)
        probeRegularly()
    }

    /// Lets go of all machines; they run on.
    func close() {
        for runtime in runtimes.values { runtime.close() }
        runtimes = [:]
    }

    // MARK: Finding machines

    /// Looks at the disks; `then` runs when the list is up to date.
    func scan(_ then: @escaping () -> Void = {}) {
        scansWaiting.append(then)
        guard !isScanning else { return }
        isScanning = true
        let waiting = scansWaiting
        scansWaiting = []
        let roots = environment.diskRoots
        // Machines that run are looked at wherever they are.
        let known =
            (settings.current?.machines ?? []).map(\.file)
            + inventory.machines.values.filter { $0.power.isOn }.map(\.file)
        disks.run {
            MachineScan.scan(roots: roots, registered: known)
        } then: { [weak self] found in
            guard let self else { return }
            isScanning = false
            take(found: found)
            for one in waiting { one() }
            // Whoever asked meanwhile wants a look that began after that.
            if !scansWaiting.isEmpty { scan(scansWaiting.removeFirst()) }
        }
    }

    /// The host's settings are others now.
    func settingsChanged() {
        take(found: nil)
        scan()
    }

    private func take(found: [Inventory.Found]?) {
        let difference = inventory.update(registered: settings.current?.machines ?? [], found: found)
        for file in difference.removed {
            runtimes.removeValue(forKey: file)?.close()
            announce?(.removed(file: file))
        }
        for file in difference.changed {
            guard let machine = inventory[file] else { continue }
            let runtime = runtime(of: machine)
            if runtime.power == .poweredOff {
                runtime.controlSocket = machine.description.controlSocket
                runtime.probe()
            }
            if let machine = inventory[file] { announce?(.machine(machine)) }
        }
    }

    private func runtime(of machine: InventoryMachine) -> MachineRuntime {
        if let runtime = runtimes[machine.file] { return runtime }
        let file = machine.file
        let runtime = MachineRuntime(
            file: file, controlSocket: machine.description.controlSocket, environment: environment, launcher: launcher,
            loop: loop, alarms: alarms)
        runtime.changed = { [unowned self, unowned runtime] in took(runtime) }
        runtime.ended = { [unowned self] status, last in ended(file, status, last) }
        runtimes[file] = runtime
        return runtime
    }

    private func probeRegularly() {
        alarms.after(environment.probeEvery) { [weak self] in
            guard let self else { return }
            for runtime in runtimes.values { runtime.probe() }
            probeRegularly()
        }
    }

    // MARK: What they do

    private func took(_ runtime: MachineRuntime) {
        let before = inventory[runtime.file]
        let differs = inventory.change(runtime.file) {
            $0.power = runtime.power
            $0.question = runtime.question
            $0.process = runtime.process
        }
        guard differs, let machine = inventory[runtime.file] else { return }
        announce?(.machine(machine))
        if let question = machine.question, question != before?.question {
            journal.add(.warning, subject: machine.file, "\(machine.name) waits for an answer: \(question.text)")
        }
    }

    private func ended(_ file: String, _ status: ExitStatus?, _ last: PowerState) {
        let name = name(of: file)
        if stopsWanted.remove(file) != nil || last == .starting {
            // Whoever gave the order tells of it.
        } else if last == .suspended {
            journal.add(.info, subject: file, "\(name) was suspended")
        } else if last == .crashed || status == .exited(1) {
            journal.add(.error, subject: file, "\(name) crashed; its vmware.log says why")
        } else if let status, status != .exited(0) {
            journal.add(.error, subject: file, "\(name) is off: its process \(status)")
        } else {
            journal.add(.info, subject: file, "\(name) powered off")
        }
        // Its file says whether it is suspended now.
        disks.run {
            MachineScan.examine(file)
        } then: { [weak self] found in
            guard let self else { return }
            let differs = inventory.change(file) { $0.description = found.description }
            if differs, let machine = inventory[file] { announce?(.machine(machine)) }
        }
        machineEnded?(file)
    }

    func name(of file: String) -> String { inventory[file]?.name ?? Inventory.name(ofFile: file) }

    // MARK: Orders

    /// Starts a machine. `then` gets nil when its guest runs.
    func start(_ file: String, by user: String, automatically: Bool = false, _ then: @escaping (Refusal?) -> Void) {
        guard let machine = inventory[file] else { return then(unknown(file)) }
        if !automatically { decided?(file) }
        if machine.power.isOn, machine.power != .starting {
            return then(Refusal(.badState, "\(machine.name) is \(machine.power.text) already"))
        }
        let task = journal.begin("Start \(machine.name)", subject: file, by: user)
        runtime(of: machine).start { [weak self] refusal in
            guard let self else { return then(refusal) }
            journal.end(task, refusal)
            if let refusal {
                journal.add(.error, by: user, subject: file, "\(machine.name) did not start: \(refusal.text)")
            } else {
                journal.add(.info, by: user, subject: file, "\(machine.name) was started")
            }
            then(refusal)
        }
    }

    /// Stops or resets a machine. `then` gets nil when the order is carried out.
    func stop(_ file: String, _ how: StopKind, by user: String, _ then: @escaping (Refusal?) -> Void) {
        guard let machine = inventory[file] else { return then(unknown(file)) }
        decided?(file)
        let (verb, done) =
            switch how {
            case .powerOff: ("Power off", "was powered off")
            case .guestShutdown: ("Shut down", "was asked to shut down")
            case .reset: ("Reset", "was reset")
            }
        if how == .powerOff { stopsWanted.insert(file) }
        let task = journal.begin("\(verb) \(machine.name)", subject: file, by: user)
        runtime(of: machine).stop(how) { [weak self] refusal in
            guard let self else { return then(refusal) }
            journal.end(task, refusal)
            if let refusal {
                stopsWanted.remove(file)
                let text = "\(verb) of \(machine.name) failed: \(refusal.text)"
                journal.add(.warning, by: user, subject: file, text)
            } else {
                journal.add(.info, by: user, subject: file, "\(machine.name) \(done)")
            }
            then(refusal)
        }
    }

    /// Answers what a machine waits with.
    func answer(
        _ file: String, question: UInt32, choice: UInt32, by user: String, _ then: @escaping (Refusal?) -> Void
    ) {
        guard let machine = inventory[file] else { return then(unknown(file)) }
        let text = machine.question.flatMap { asked in
            asked.identifier == question && choice < asked.choices.count ? asked.choices[Int(choice)] : nil
        }
        runtime(of: machine).answer(question, choice) { [weak self] refusal in
            if refusal == nil {
                self?.journal.add(
                    .info, by: user, subject: file, "\(machine.name) was answered: \(text ?? "\(choice)")")
            }
            then(refusal)
        }
    }

    /// What a machine and its log say.
    func details(of file: String, _ then: @escaping (Result<MachineDetails.Answer, Refusal>) -> Void) {
        guard let machine = inventory[file] else { return then(.failure(unknown(file))) }
        let log = "\(Files.directory(of: file))/vmware.log"
        runtime(of: machine).status { [weak self] status in
            guard let self else { return }
            disks.run {
                LogTail.lines(of: log, limit: 100)
            } then: { [weak self] lines in
                var answer = MachineDetails.Answer(machine: self?.inventory[file] ?? machine, log: lines)
                if let status {
                    answer.uptime = status.uptime
                    answer.resets = status.resets
                    answer.devices = status.devices.map { device in
                        "\(device.name)\(device.address.isEmpty ? "" : " at \(device.address)"): \(device.summary)"
                    }
                }
                then(.success(answer))
            }
        }
    }

    // MARK: Settings

    /// Puts a machine in the settings.
    func register(_ file: String, by user: String, _ then: @escaping (Refusal?) -> Void) {
        disks.run { () -> Result<Inventory.Found, Refusal> in
            guard let path = try? Files.resolve(file), FileSystem.status(of: path)?.kind == .file else {
                return .failure(Refusal(.notFound, "there is no file \(file)"))
            }
            return .success(MachineScan.examine(path))
        } then: { [weak self] result in
            guard let self else { return }
            switch result {
            case .failure(let refusal): then(refusal)
            case .success(let found) where !found.problems.isEmpty:
                then(Refusal(.invalid, found.problems.joined(separator: "\n")))
            case .success(let found):
                edit(found.file, then) { _ in
                } told: { name in
                    "\(name) was registered by \(user)"
                }
            }
        }
    }

    /// Takes a machine out of the settings.
    func unregister(_ file: String, by user: String, _ then: @escaping (Refusal?) -> Void) {
        guard let machine = inventory[file], machine.isRegistered else { return then(unknown(file)) }
        guard !machine.power.isOn else { return then(Refusal(.badState, "\(machine.name) is \(machine.power.text)")) }
        settings.change {
            $0.machines.removeAll { $0.file == file }
        } then: { [weak self] refusal in
            if refusal == nil {
                self?.journal.add(.info, by: user, subject: file, "\(machine.name) was unregistered")
            }
            then(refusal)
        }
    }

    /// Says how a machine starts and stops with the host.
    func setAutostart(_ call: SetAutostart, by user: String, _ then: @escaping (Refusal?) -> Void) {
        guard inventory[call.file] != nil else { return then(unknown(call.file)) }
        if call.order == 0 { return then(Refusal(.invalid, "places in the order of automatic starts count from 1")) }
        edit(call.file, then) { entry in
            entry.startOrder = call.order
            entry.startDelay = call.delay
            entry.stopAction = call.stopAction
        } told: { name in
            call.order.map { "\(name) starts with the host, at place \($0)" } ?? "\(name) does not start with the host"
        }
    }

    /// Changes a machine's entry in the settings, which is made if it is missing.
    private func edit(
        _ file: String, _ then: @escaping (Refusal?) -> Void, _ edit: @escaping (inout RegisteredMachine) -> Void,
        told: @escaping (_ name: String) -> String
    ) {
        settings.change { settings in
            let index =
                settings.machines.firstIndex { $0.file == file }
                ?? {
                    var entry = RegisteredMachine()
                    entry.file = file
                    settings.machines.append(entry)
                    return settings.machines.count - 1
                }()
            edit(&settings.machines[index])
        } then: { [weak self] refusal in
            if let self, refusal == nil { journal.add(.info, subject: file, told(name(of: file))) }
            then(refusal)
        }
    }

    private func unknown(_ file: String) -> Refusal {
        Refusal(.notFound, "this host knows no virtual machine \(file)")
    }
}
