import HostModel
import Linux

/// Keeps the trial of settings that runs, if any, and ends it in time.
final class TrialKeeper {
    private let path: String
    private let restore: (NetworkSettings) -> Void
    private let log: (String) -> Void
    private var trial: Trial?
    private var timer: Timer?

    /// - Parameters:
    ///   - path: where the trial is written down, on a file system that a start of the machine empties.
    ///   - restore: gets the settings that have to come back.
    init(
        path: String, on loop: EventLoop, log: @escaping (String) -> Void, restore: @escaping (NetworkSettings) -> Void
    ) throws(SystemError) {
        self.path = path
        self.restore = restore
        self.log = log
        timer = try Timer(on: loop) { [weak self] in self?.end() }
        let now = monotonicNanoseconds()
        guard let text = try? readFile(path, limit: 8 << 20) else { return }
        trial = Trial(text: String(decoding: text, as: UTF8.self), now: now)
        arm(now)
    }

    private func arm(_ now: UInt64) {
        guard let trial else { return }
        timer?.set(after: trial.deadline > now ? trial.deadline - now : 0)
    }

    /// Whole seconds until the settings come back; nil if none are on trial.
    var secondsLeft: UInt32? { trial?.secondsLeft(now: monotonicNanoseconds()) }

    /// - Parameter settings: those to come back to, unless a trial runs that knows older ones.
    func begin(_ settings: NetworkSettings, seconds: UInt32) {
        let now = monotonicNanoseconds()
        let new = Trial(before: trial?.before ?? settings, seconds: seconds, now: now)
        trial = new
        // Written aside first: a torn file would be no trial at all.
        try? FileSystem.write(new.text, to: path + ".new")
        try? renameFile(path + ".new", path)
        log("network settings are on trial for \(new.secondsLeft(now: now)) seconds")
        arm(now)
    }

    /// - Returns: false if there is nothing to confirm.
    func confirm() -> Bool {
        guard trial != nil else { return false }
        forget()
        log("the network settings on trial are confirmed")
        return true
    }

    private func forget() {
        trial = nil
        removeFile(path)
        timer?.cancel()
    }

    private func end() {
        guard let before = trial?.before else { return }
        log("nobody confirmed the network settings on trial: those from before come back")
        restore(before)
        forget()
    }
}
