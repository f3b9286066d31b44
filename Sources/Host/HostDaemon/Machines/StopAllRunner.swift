import HostLink
import HostModel
import Linux

/// Stops all machines, for the host's shutdown.
final class StopAllRunner {
    // Belongs to the loop's thread.

    private let keeper: MachineKeeper
    private var run: StopRun
    private var remarks: [String] = []
    private var alarm: Alarms.Name?
    private var isFinished = false
    /// Gets what did not go as wished when all are off.
    private let then: ([String]) -> Void

    init(_ keeper: MachineKeeper, seconds: UInt32, _ then: @escaping ([String]) -> Void) {
        self.keeper = keeper
        self.then = then
        let settings = keeper.settings.current ?? HostSettings()
        let running = keeper.inventory.sorted.filter { $0.power.isOn }.map(\.file)
        run = StopRun(
            StopPlan.waves(settings, running: running),
            stopDelay: UInt64(settings.autostart.stopDelay) * 1_000_000_000,
            deadline: monotonicNanoseconds() + UInt64(seconds) * 1_000_000_000)
        if !running.isEmpty { keeper.journal.add(.info, "The host shuts down: \(running.count) machines are stopped") }
    }

    /// Begins, and goes on with what is due.
    func advance() {
        guard !isFinished else { return }
        carryOut(run.advance(now: monotonicNanoseconds()))
        keeper.alarms.cancel(alarm)
        if run.isDone {
            isFinished = true
            return then(remarks)
        }
        guard let time = run.wakeUp else { return }
        let now = monotonicNanoseconds()
        alarm = keeper.alarms.after(time > now ? time - now : 1) { [weak self] in self?.advance() }
    }

    func machineEnded(_ file: String) {
        run.ended(file)
        advance()
    }

    private func carryOut(_ actions: [StopRun.Action]) {
        for action in actions {
            switch action {
            case .shutDown(let file):
                keeper.stop(file, .guestShutdown, by: "") { [weak self] refusal in
                    guard let self, let refusal else { return }
                    remark("\(keeper.name(of: file)) cannot be shut down (\(refusal.text)) and is powered off")
                    carryOut(run.refused(file))
                }
            case .powerOff(let file): powerOff(file)
            case .cannotSuspend(let file):
                remark("\(keeper.name(of: file)) cannot be suspended yet and is shut down instead")
            case .tooSlow(let file):
                remark("\(keeper.name(of: file)) did not shut down in time and is powered off")
            }
        }
    }

    private func powerOff(_ file: String) {
        keeper.stop(file, .powerOff, by: "") { [weak self] refusal in
            // It was off before the order came.
            if refusal != nil { self?.machineEnded(file) }
        }
    }

    private func remark(_ text: String) {
        remarks.append(text)
        keeper.journal.add(.warning, text)
    }
}
