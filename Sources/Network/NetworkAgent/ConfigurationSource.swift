import ConfigService
import HostLink
import HostModel
import Linux
import Messages

/// Settings from the configuration agent, watched for changes. While that agent is away, those it gave last hold, or on a host where
/// it never was, those a host has at first.
final class ConfigurationSource: SettingsSource {
    // Belongs to the loop's thread.

    var changed: ((HostSettings) -> Void)?

    private let service: String
    /// The settings given last; emptied by the machine's start.
    private let memory: String
    private let loop: EventLoop
    private let log: (String) -> Void
    private var session: ServiceSession?
    private var timer: Timer?
    private var state: SettingsState?
    private var settings: HostSettings?
    /// Changes that are not handed over yet.
    private var pending: [(inout NetworkSettings) -> Void] = []
    private var isHandingOver = false

    /// How often the agent is looked for, and how long its first answer is waited for, in nanoseconds.
    private static let interval: UInt64 = 1_000_000_000

    init(
        service: String = ServiceAddress.configuration, memory: String, on loop: EventLoop,
        log: @escaping (String) -> Void
    ) throws(SystemError) {
        self.service = service
        self.memory = memory
        self.loop = loop
        self.log = log
        timer = try Timer(on: loop) { [weak self] in self?.look() }
    }

    func start() {
        connect()
        if session == nil { useMemory() }
        timer?.set(after: Self.interval)
    }

    private func look() {
        if session == nil { connect() }
        if settings == nil { useMemory() }
        handOver()
        if session == nil || !pending.isEmpty { timer?.set(after: Self.interval) }
    }

    private func useMemory() {
        let text = (try? readFile(memory, limit: SettingsText.bytesMax)).map { String(decoding: $0, as: UTF8.self) }
        deliver(text.map { SettingsText.decode($0, as: HostSettings.self).0 } ?? HostSettings())
    }

    private func connect() {
        guard let session = try? ServiceSession(service, on: loop) else { return }
        self.session = session
        session.closed = { [weak self] in self?.lost() }
        session.event = { [weak self] kind, payload in
            guard kind == ConfigService.settingsChanged else { return }
            var reader = FieldReader(payload)
            if let state = try? reader.read(SettingsState.self) { self?.take(state) }
        }
        session.ask(WatchSettings()) { [weak self] result in
            if case .success(let state) = result { self?.take(state) }
            self?.handOver()
        }
    }

    private func lost() {
        log("the configuration agent is away; the settings it gave last hold")
        session = nil
        isHandingOver = false
        timer?.set(after: Self.interval)
    }

    private func take(_ state: SettingsState) {
        self.state = state
        let (settings, problems) = SettingsText.decode(state.text, as: HostSettings.self)
        for problem in problems { log("settings: \(problem)") }
        try? FileSystem.write(state.text, to: memory + ".new")
        try? renameFile(memory + ".new", memory)
        if settings != self.settings { deliver(settings) }
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
        guard !pending.isEmpty, !isHandingOver, var settings else { return }
        let count = pending.count
        for edit in pending { edit(&settings.network) }
        guard let session, let state else {
            // Nobody keeps settings here; what was learned holds until somebody does.
            if settings != self.settings { deliver(settings) }
            return
        }
        guard settings != self.settings else { return pending.removeFirst(count) }
        isHandingOver = true
        session.ask(SetSettings(text: SettingsText.encode(settings), base: state.revision)) { [weak self] result in
            guard let self else { return }
            isHandingOver = false
            switch result {
            case .success: pending.removeFirst(count)
            case .failure(.refused(let refusal)) where refusal.reason == .busy: refresh()
            case .failure(.refused(let refusal)):
                log("the settings could not be changed: \(refusal.text)")
                // What cannot be saved now may be later; what is not allowed never will be.
                if refusal.reason == .invalid { pending.removeFirst(count) }
                timer?.set(after: Self.interval)
            case .failure: break
            }
        }
    }

    /// Somebody else was faster: the changes are made to what they left.
    private func refresh() {
        session?.ask(GetSettings()) { [weak self] result in
            if case .success(let state) = result { self?.take(state) }
            self?.handOver()
        }
    }
}
