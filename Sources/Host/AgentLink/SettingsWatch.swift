import ConfigService
public import HostLink
public import HostModel
public import Linux
import Messages

/// The host's settings as the configuration agent keeps them, for whoever acts on them or changes them. That agent may come later, and end
/// and come back at any time: until then the last settings hold, and changes are refused.
public final class SettingsWatch {
    // Belongs to the loop's thread.

    public typealias Refusal = ServiceError.Refusal

    /// Between attempts to reach the agent, in nanoseconds.
    private static let retry: UInt64 = 100_000_000
    /// How often a change is tried anew when somebody else changes settings at the same time.
    private static let attemptsMax = 8

    private struct Change {
        var edit: (inout HostSettings) -> Void
        var then: (Refusal?) -> Void
        var attempts = 0
    }

    private let address: String
    private let loop: EventLoop
    private var session: ServiceSession?
    private var timer: Timer?
    private var revision: UInt64 = 0
    private var waiting: [Change] = []
    private var isBusy = false
    /// As they were last told; nil as long as nobody told any.
    public private(set) var current: HostSettings?
    /// What could not be understood of them.
    public private(set) var problems: [SettingsText.Problem] = []
    /// Called on the loop's thread with the first settings and with all that differ from those before.
    public var changed: ((HostSettings) -> Void)?
    /// The configuration agent went away.
    public var lost: (() -> Void)?

    public init(
        _ address: String = ServiceAddress.configuration, on loop: EventLoop,
        _ changed: ((HostSettings) -> Void)? = nil
    ) throws(SystemError) {
        self.address = address
        self.loop = loop
        self.changed = changed
        timer = try Timer(on: loop) { [weak self] in self?.connect() }
        connect()
    }

    /// Whether the configuration agent answers now.
    public var isConnected: Bool { session != nil }

    private func connect() {
        guard let session = try? ServiceSession(address, on: loop) else { return connectLater() }
        self.session = session
        session.closed = { [weak self] in
            self?.session = nil
            self?.connectLater()
            self?.lost?()
        }
        session.event = { [weak self] kind, payload in
            guard kind == ConfigService.settingsChanged else { return }
            var reader = FieldReader(payload)
            if let state = try? reader.read(SettingsState.self) { self?.take(state) }
        }
        session.ask(WatchSettings()) { [weak self] result in
            if case .success(let state) = result { self?.take(state) }
        }
    }

    private func connectLater() { timer?.set(after: Self.retry) }

    private func take(_ state: SettingsState) {
        revision = state.revision
        let settings: HostSettings
        (settings, problems) = SettingsText.decode(state.text, as: HostSettings.self)
        use(settings)
    }

    private func use(_ settings: HostSettings) {
        guard settings != current else { return }
        current = settings
        changed?(settings)
    }

    /// Hears nothing any more.
    public func close() {
        session?.close()
        session = nil
        timer?.close(on: loop)
        timer = nil
    }

    // MARK: Changes

    /// Changes them. `edit` may run more than once, when somebody else changes them at the same time.
    ///
    /// - Parameter then: gets nil when the change is saved.
    public func change(_ edit: @escaping (inout HostSettings) -> Void, then: @escaping (Refusal?) -> Void) {
        waiting.append(Change(edit: edit, then: then))
        next()
    }

    private func next() {
        guard !isBusy, !waiting.isEmpty else { return }
        var change = waiting.removeFirst()
        guard let session, var settings = current else {
            change.then(Refusal(.busy, "the configuration agent does not answer; try again in a moment"))
            return next()
        }
        isBusy = true
        change.edit(&settings)
        change.attempts += 1
        session.ask(SetSettings(text: SettingsText.encode(settings), base: revision)) { [weak self] result in
            guard let self else { return }
            switch result {
            case .success(let revision):
                // The agent's own word of it may come later: whoever asked must find the change made.
                self.revision = max(self.revision, revision)
                use(settings)
                finish(change, nil)
            case .failure(.refused(let refusal)) where refusal.reason == .busy && change.attempts < Self.attemptsMax:
                refresh(change)
            case .failure(.refused(let refusal)): finish(change, refusal)
            case .failure(let error): finish(change, Refusal(.failed, "the settings are not saved: \(error)"))
            }
        }
    }

    /// Somebody was faster: the change is made to what they left.
    private func refresh(_ change: Change) {
        guard let session else { return finish(change, Refusal(.busy, "the configuration agent does not answer")) }
        session.ask(GetSettings()) { [weak self] result in
            guard let self else { return }
            if case .success(let state) = result { take(state) }
            waiting.insert(change, at: 0)
            isBusy = false
            next()
        }
    }

    private func finish(_ change: Change, _ refusal: Refusal?) {
        change.then(refusal)
        isBusy = false
        next()
    }
}
