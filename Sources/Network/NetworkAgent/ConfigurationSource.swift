import AgentLink
import HostLink
import HostModel
import Linux

/// Settings from the configuration agent, watched for changes. While that agent is away, those it gave last hold, or on a host where
/// it never was, those a host has at first.
final class ConfigurationSource: SettingsSource {
    // Belongs to the loop's thread.

    var changed: ((HostSettings) -> Void)?

    /// The settings given last; emptied by the machine's start.
    private let memory: String
    private let log: (String) -> Void
    private let watch: SettingsWatch
    private var timer: Timer?
    private var settings: HostSettings?
    /// Changes that are not handed over yet.
    private var pending: [(inout NetworkSettings) -> Void] = []
    private var isHandingOver = false

    /// How long the agent's first answer is waited for, and between attempts to hand changes over, in nanoseconds.
    private static let interval: UInt64 = 1_000_000_000

    init(
        service: String = ServiceAddress.configuration, memory: String, on loop: EventLoop,
        log: @escaping (String) -> Void
    ) throws(SystemError) {
        self.memory = memory
        self.log = log
        watch = try SettingsWatch(service, on: loop)
        timer = try Timer(on: loop) { [weak self] in self?.look() }
        watch.changed = { [weak self] in self?.take($0) }
        watch.lost = { log("the configuration agent is away; the settings it gave last hold") }
    }

    func start() {
        if !watch.isConnected { useMemory() }
        timer?.set(after: Self.interval)
    }

    private func look() {
        if settings == nil { useMemory() }
        handOver()
        if !pending.isEmpty { timer?.set(after: Self.interval) }
    }

    private func useMemory() {
        let text = (try? readFile(memory, limit: SettingsText.bytesMax)).map { String(decoding: $0, as: UTF8.self) }
        deliver(text.map { SettingsText.decode($0, as: HostSettings.self).0 } ?? HostSettings())
    }

    private func take(_ settings: HostSettings) {
        for problem in watch.problems { log("settings: \(problem)") }
        try? FileSystem.write(SettingsText.encode(settings), to: memory + ".new")
        try? renameFile(memory + ".new", memory)
        if settings != self.settings { deliver(settings) }
        handOver()
    }

    private func deliver(_ settings: HostSettings) {
        self.settings = settings
        changed?(settings)
    }

    func change(_ edit: @escaping (inout NetworkSettings) -> Void) {
        pending.append(edit)
        // Not now: the caller is in the midst of using the settings.
        timer?.set(after: 1)
    }

    /// Hands pending changes over, made to whatever the settings are then.
    private func handOver() {
        guard !pending.isEmpty, !isHandingOver else { return }
        let edits = pending
        func edit(_ settings: inout HostSettings) {
            for edit in edits { edit(&settings.network) }
        }
        guard watch.isConnected, let kept = watch.current else {
            // Nobody keeps settings here; what was learned holds until somebody does.
            guard var edited = settings else { return }
            edit(&edited)
            if edited != settings { deliver(edited) }
            return
        }
        var edited = kept
        edit(&edited)
        guard edited != kept else { return pending.removeFirst(edits.count) }
        isHandingOver = true
        watch.change(edit) { [weak self] refusal in
            guard let self else { return }
            isHandingOver = false
            guard let refusal else { return pending.removeFirst(edits.count) }
            if refusal.reason != .busy { log("the settings could not be changed: \(refusal.text)") }
            // What cannot be saved now may be later; what is not allowed never will be.
            if refusal.reason == .invalid { pending.removeFirst(edits.count) }
            timer?.set(after: Self.interval)
        }
    }
}
