import HostLink
import HostModel
import Linux
import VMXControl

/// One machine's process, as the agent sees it: looked for, started, watched and given orders to. Machines run on without the
/// agent; whoever comes later finds them by their control sockets.
final class MachineRuntime {
    // Belongs to the loop's thread.

    typealias Refusal = ServiceError.Refusal

    private enum Pause {
        /// Between attempts to reach a process that is there.
        static let attempt: UInt64 = 20_000_000
    }

    let file: String
    /// Where its process listens; may change while it is off.
    var controlSocket: String
    private(set) var power = PowerState.poweredOff
    private(set) var question: MachineQuestion?
    var process: Int32? { watch?.process }

    private let loop: EventLoop
    private let alarms: Alarms
    private let launcher: MachineLauncher
    private let environment: HostEnvironment
    private var connection: ControlConnection?
    private var watch: ProcessWatch?
    private var hasRun = false
    private var startWaiters: [(Refusal?) -> Void] = []
    private var endWaiters: [() -> Void] = []
    private var retry: Alarms.Name?
    private var startAlarm: Alarms.Name?

    /// Power, question or process are others now.
    var changed: (() -> Void)?
    /// Its process is gone; with the status if it was ours, and what the machine did last.
    var ended: ((ExitStatus?, PowerState) -> Void)?

    init(
        file: String, controlSocket: String, environment: HostEnvironment, launcher: MachineLauncher, loop: EventLoop,
        alarms: Alarms
    ) {
        self.file = file
        self.controlSocket = controlSocket
        self.environment = environment
        self.launcher = launcher
        self.loop = loop
        self.alarms = alarms
    }

    // MARK: Finding it

    /// Looks whether it runs, if that is not known.
    func probe() {
        guard power == .poweredOff else { return }
        reach()
    }

    private func reach() {
        guard connection == nil else { return }
        guard let connection = try? ControlConnection(controlSocket, on: loop) else {
            if watch != nil { reachLater() }
            return
        }
        if watch == nil {
            // The kernel's word on who listens; if it has gone meanwhile, there is nothing to watch.
            guard let watch = watchProcess(connection.process) else { return connection.close() }
            self.watch = watch
        } else if watch?.process != connection.process {
            // A socket of the process before the one that starts now.
            connection.close()
            return reachLater()
        }
        self.connection = connection
        connection.changed = { [unowned self] state in take(state) }
        connection.closed = { [unowned self] in
            self.connection = nil
            if watch != nil { reachLater() }
        }
        if power == .poweredOff { set(.starting, nil) }
        connection.ask(.watch) { _ in }
        askStatus()
    }

    private func reachLater() {
        alarms.cancel(retry)
        retry = alarms.after(Pause.attempt) { [weak self] in self?.reach() }
    }

    private func watchProcess(_ process: Int32) -> ProcessWatch? {
        try? ProcessWatch(process, on: loop) { [unowned self] status in processEnded(status) }
    }

    private func askStatus() {
        connection?.ask(.status) { [weak self] result in
            guard let self, case .success(.status(let status)) = result else { return }
            take(status.state, status.question)
        }
    }

    // MARK: What it does

    private func take(_ state: String, _ asked: MachineStatus.Question? = nil) {
        switch state {
        case "running": set(.running, nil)
        case "paused": set(.paused, nil)
        case "crashed": set(.crashed, nil)
        case "suspended": set(.suspended, nil)
        case "question":
            if let asked {
                set(.question, .init(identifier: asked.identifier, text: asked.text, choices: asked.choices))
            } else {
                // The question itself comes with the status only.
                askStatus()
            }
        // Before it runs, and when it is about to end.
        default: break
        }
    }

    private func set(_ power: PowerState, _ question: MachineQuestion?) {
        guard power != self.power || question != self.question else { return }
        self.power = power
        self.question = question
        if power != .starting && power != .poweredOff {
            hasRun = true
            alarms.cancel(startAlarm)
            finishStart(nil)
        }
        changed?()
    }

    private func finishStart(_ refusal: Refusal?) {
        let waiters = startWaiters
        startWaiters = []
        for waiter in waiters { waiter(refusal) }
    }

    private func processEnded(_ status: ExitStatus?) {
        watch = nil
        alarms.cancel(retry)
        alarms.cancel(startAlarm)
        connection?.close()
        connection = nil
        launcher.clear(file)
        let last = power
        let ranBefore = hasRun
        hasRun = false
        power = .poweredOff
        question = nil
        if ranBefore {
            finishStart(nil)
        } else {
            let complaint = launcher.complaint(file)
            let reason = complaint.isEmpty ? "its process \(status.map { "\($0)" } ?? "ended")" : complaint
            finishStart(Refusal(.failed, reason))
        }
        changed?()
        ended?(status, last)
        let waiters = endWaiters
        endWaiters = []
        for waiter in waiters { waiter() }
    }

    // MARK: Orders

    /// Starts it. `then` gets nil when its guest runs.
    func start(_ then: @escaping (Refusal?) -> Void) {
        // Somebody may have started it since the last look.
        probe()
        guard power == .poweredOff else {
            if power == .starting {
                startWaiters.append(then)
                return limitStart()
            }
            return then(Refusal(.badState, "it is \(power.text) already"))
        }
        let process: Int32
        do throws(SystemError) {
            process = try launcher.start(file)
        } catch { return then(Refusal(.failed, "\(error)")) }
        guard let watch = watchProcess(process) else {
            return then(Refusal(.failed, "its process cannot be watched"))
        }
        self.watch = watch
        startWaiters.append(then)
        limitStart()
        set(.starting, nil)
        reachLater()
    }

    private func limitStart() {
        alarms.cancel(startAlarm)
        startAlarm = alarms.after(environment.startLimit) { [weak self] in
            self?.finishStart(Refusal(.failed, "it does not answer; it may still come up"))
        }
    }

    /// Stops or resets it. `then` gets nil when the order is carried out.
    func stop(_ how: StopKind, _ then: @escaping (Refusal?) -> Void) {
        guard power != .poweredOff else { return then(Refusal(.badState, "it is powered off")) }
        switch how {
        case .guestShutdown: order(.shutdownGuest, then)
        case .reset: order(.reset, then)
        case .powerOff:
            endWaiters.append { then(nil) }
            connection?.ask(.powerOff) { _ in }
            // One that does not listen, or not yet, is killed: its plug is pulled either way.
            let limit = connection == nil ? 1 : environment.endLimit
            let process = process
            alarms.after(limit) { [weak self] in
                guard let self, let watch, watch.process == process else { return }
                watch.signal(9)
            }
        }
    }

    func answer(_ question: UInt32, _ choice: UInt32, _ then: @escaping (Refusal?) -> Void) {
        order(.answer(question: question, choice: choice)) { [weak self] refusal in
            self?.askStatus()
            then(refusal)
        }
    }

    /// What its process says of it; nil if it does not answer.
    func status(_ then: @escaping (MachineStatus?) -> Void) {
        guard let connection else { return then(nil) }
        connection.ask(.status) { result in
            if case .success(.status(let status)) = result { then(status) } else { then(nil) }
        }
    }

    private func order(_ request: ControlRequest, _ then: @escaping (Refusal?) -> Void) {
        guard let connection else {
            let reason = power == .poweredOff ? "it is powered off" : "its process does not answer yet"
            return then(Refusal(.badState, reason))
        }
        connection.ask(request) { result in
            switch result {
            case .success: then(nil)
            case .failure(let error): then(Refusal(error))
            }
        }
    }

    /// Lets go of it; it runs on.
    func close() {
        alarms.cancel(retry)
        alarms.cancel(startAlarm)
        connection?.close()
        connection = nil
        watch?.close()
        watch = nil
    }
}

extension ServiceError.Refusal {
    /// What a machine's process would not do.
    fileprivate init(_ error: ControlError) {
        guard case .refused(let refusal) = error else {
            self.init(.failed, "\(error)")
            return
        }
        switch refusal.reason {
        case .badState: self.init(.badState, refusal.text)
        case .notFound: self.init(.notFound, refusal.text)
        case .notSupported: self.init(.notSupported, refusal.text)
        case .badRequest, .badDevice, .failed: self.init(.failed, refusal.text)
        }
    }
}
