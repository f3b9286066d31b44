import HostModel
import Linux

/// Starts machines with the host: once, however often the agent itself is started.
///
/// A mark outlives the agent, not the host: a line for each machine that had its start, or about which somebody has decided
/// meanwhile, and `finished` when all is done.
final class AutostartRunner {
    // Belongs to the loop's thread.

    private static let finishedMark = "finished"
    private let keeper: MachineKeeper
    private let mark: String
    private let began = monotonicNanoseconds()
    private var handled: Set<String> = []
    private var notBefore: UInt64 = 0
    private var isFinished = false
    private var run: AutostartRun?

    init(_ keeper: MachineKeeper) {
        self.keeper = keeper
        mark = "\(keeper.environment.stateDirectory)/autostart"
        for line in ((try? FileSystem.text(of: mark)) ?? "").split(separator: "\n") {
            if line == Self.finishedMark { isFinished = true }
            let parts = line.split(separator: " ", maxSplits: 1)
            guard parts.count == 2, let time = UInt64(parts[0]) else { continue }
            handled.insert(String(parts[1]))
            notBefore = max(notBefore, time)
        }
    }

    /// Goes on with what is due, as soon as settings are known and networks are there.
    func advance() {
        guard !isFinished, let settings = keeper.settings.current else { return }
        let now = monotonicNanoseconds()
        if run == nil {
            let steps = AutostartPlan.starts(settings)
            guard steps.isEmpty || isNetworkReady(now) else {
                keeper.alarms.after(250_000_000) { [weak self] in self?.advance() }
                return
            }
            run = AutostartRun(steps, notBefore: notBefore)
            if !steps.isEmpty { keeper.journal.add(.info, "Machines that start with the host are started") }
        }
        while !isFinished, var run {
            let action = run.next(now: monotonicNanoseconds(), handled: handled, isPresent: fileExists)
            self.run = run
            switch action {
            case .wait(let time):
                let now = monotonicNanoseconds()
                keeper.alarms.after(time > now ? time - now : 1) { [weak self] in self?.advance() }
                return
            case .start(let file):
                // Marked first: rather a machine that somebody has to start than one that starts against their will.
                note(file, notBefore: run.notBefore)
                start(file)
            case .giveUp(let file):
                note(file, notBefore: run.notBefore)
                let text = "\(file) did not appear; the machine is not started"
                keeper.journal.add(.error, subject: file, text)
            case .finished: finish()
            }
        }
    }

    /// Somebody has decided about a machine.
    func decided(_ file: String) {
        if !isFinished, !handled.contains(file) { note(file, notBefore: 0) }
    }

    /// Starts nothing any more.
    func finish() {
        guard !isFinished else { return }
        isFinished = true
        write("\(Self.finishedMark)\n")
    }

    private func start(_ file: String) {
        let begin: () -> Void = { [keeper] in
            // One that runs already, such as found by its socket, has what it should have.
            if keeper.inventory[file]?.power.isOn == true { return }
            keeper.start(file, by: "", automatically: true) { _ in }
        }
        // Its disk may have come after the last look.
        if keeper.inventory[file]?.problems.isEmpty == true { begin() } else { keeper.scan(begin) }
    }

    private func isNetworkReady(_ now: UInt64) -> Bool {
        now - began >= keeper.environment.networkLimit || keeper.environment.isNetworkReady()
    }

    private func note(_ file: String, notBefore time: UInt64) {
        handled.insert(file)
        write("\(time) \(file)\n")
    }

    private func write(_ line: String) {
        try? FileSystem.makeDirectory(keeper.environment.stateDirectory, permissions: 0o700)
        guard let file = try? Descriptor(opening: mark, [.writeOnly, .create, .append], permissions: 0o600) else {
            return
        }
        file.writeAll(line)
    }
}
