import AgentLink
import HostLink
import Linux
import Log

/// The clock that the time agent keeps right: the kernel's, or another in tests.
protocol DisciplinedClock {
    func step(seconds: Double) throws(SystemError)
    func slew(seconds: Double, timeConstant: Int, error: Double) throws(SystemError)
    func setUnsynchronized() throws(SystemError)
}

struct HostClock: DisciplinedClock {
    func step(seconds: Double) throws(SystemError) { try KernelClock.step(seconds: seconds) }
    func slew(seconds: Double, timeConstant: Int, error: Double) throws(SystemError) {
        try KernelClock.slew(seconds: seconds, timeConstant: timeConstant, error: error)
    }
    func setUnsynchronized() throws(SystemError) { try KernelClock.setUnsynchronized() }
}

/// Asks time servers and keeps the clock right.
final class TimeAgent: @unchecked Sendable {
    // @unchecked: belongs to the loop's thread.

    /// More servers make nothing better (RFC 8633, section 3.2: four).
    static let serversMax = 4
    /// Between two corrections, but for the first.
    private static let correctionMin: UInt64 = 15_000_000_000
    /// Answers wanted of a server before the first correction.
    private static let samplesFirst = 3

    private let loop: EventLoop
    private let clock: any DisciplinedClock
    private let log: Log
    private let port: UInt16
    private let statusFile: String?
    private let names: NameCache
    private var timer: Timer?
    private(set) var servers: [TimeServer] = []
    private(set) var discipline = ClockDiscipline()
    private var correctedAt: UInt64?
    private var usedSample: UInt64 = 0
    private(set) var lastOffset: Double?
    private var wasAgreed = true

    init(
        on loop: EventLoop, clock: any DisciplinedClock, log: Log, port: UInt16 = TimeServer.port, statusFile: String?
    ) throws(SystemError) {
        self.loop = loop
        self.clock = clock
        self.log = log
        self.port = port
        self.statusFile = statusFile
        names = NameCache(on: loop)
        timer = try Timer(on: loop) { [weak self] in self?.advance() }
    }

    /// Asks these servers from now on, at most four of them.
    func configure(servers names: [String]) {
        var wanted: [String] = []
        for name in names where !wanted.contains(name) { wanted.append(name) }
        if wanted.count > Self.serversMax {
            log.warning("only the first \(Self.serversMax) of \(wanted.count) time servers are asked")
            wanted.removeLast(wanted.count - Self.serversMax)
        }
        for server in servers where !wanted.contains(server.name) { server.close() }
        let kept = servers
        let now = monotonicNanoseconds()
        servers = wanted.map { name in
            kept.first { $0.name == name }
                ?? TimeServer(name, on: loop, now: now) { [weak self] server in self?.answered(server) }
        }
        advance()
    }

    private func advance() {
        let now = monotonicNanoseconds()
        for server in servers { server.advance(now: now) { names.peer($0, port: port) } }
        writeStatus()
        guard let due = servers.map(\.state.due).min() else { return }
        timer?.set(after: due > now ? due - now : 1)
    }

    private func answered(_ server: TimeServer) {
        let now = monotonicNanoseconds()
        if let correctedAt {
            guard now &- correctedAt >= Self.correctionMin else { return }
        } else if server.state.samples.count < Self.samplesFirst {
            return
        }
        // What was measured before the last correction says nothing about the clock as it is now.
        let samples = servers.compactMap { $0.state.best(now: now) }.filter { $0.time > usedSample }
        guard let newest = samples.map(\.time).max() else { return }
        guard let agreed = NTPSelection.combine(samples) else {
            if wasAgreed { log.warning("time servers do not agree with one another; the clock is left alone") }
            wasAgreed = false
            return
        }
        wasAgreed = true
        usedSample = newest
        correctedAt = now
        correct(agreed.offset, distance: samples.map(\.distance).min() ?? 1, poll: server.state.poll, now: now)
    }

    private func correct(_ offset: Double, distance: Double, poll: Int, now: UInt64) {
        let before = discipline.isSynchronized
        lastOffset = offset
        do throws(SystemError) {
            switch discipline.measured(offset: offset, poll: poll) {
            case .step(let seconds):
                try clock.step(seconds: seconds)
                log.notice("the clock was set by \(Self.rounded(seconds)) s")
                try clock.slew(seconds: 0, timeConstant: 6, error: distance)
                for server in servers { server.forget(now: now) }
                usedSample = now
                correctedAt = nil
            case .slew(let seconds, let timeConstant):
                try clock.slew(seconds: seconds, timeConstant: timeConstant, error: distance)
            case .ignore:
                log.warning("the clock seems to be wrong by \(Self.rounded(offset)) s; waiting whether that stays so")
            }
        } catch { log.error("the clock cannot be corrected: \(error.reason)") }
        if !before, discipline.isSynchronized {
            log.notice("the clock follows \(servers.map(\.name).joined(separator: ", "))")
        }
        for server in servers { server.adapt(isCalm: discipline.isCalm) }
        writeStatus()
    }

    /// To the millisecond.
    private static func rounded(_ seconds: Double) -> Double { (seconds * 1000).rounded() / 1000 }

    /// For people and the direct console; see docs/formats/agents.md.
    private func writeStatus() {
        guard let statusFile else { return }
        var text = "synchronized \(discipline.isSynchronized ? "yes" : "no")\n"
        if let lastOffset { text += "offset \(lastOffset)\n" }
        for server in servers {
            let stratum = server.state.samples.last.map { "\($0.stratum)" } ?? "-"
            text +=
                "server \(server.name) \(server.address?.description ?? "-") reach \(server.state.reach) stratum \(stratum)\n"
        }
        do throws(SystemError) {
            try FileSystem.write(text, to: "\(statusFile).new")
            try renameFile("\(statusFile).new", statusFile)
        } catch {}
    }

    /// Nobody keeps the clock right any more.
    func close() {
        for server in servers { server.close() }
        servers = []
        timer?.close(on: loop)
        timer = nil
    }
}
