import ConfigService
import HostLink
import HostModel
import Linux
import Messages

/// The host's settings as the configuration agent keeps them. That agent may come later, and end and come back at any time: until
/// then the last settings hold, and changes are refused.
final class ConfigSettings: SettingsSource {
    // Belongs to the loop's thread.

    typealias Refusal = ServiceError.Refusal

    /// Between attempts to reach the agent, in nanoseconds.
    private static let retryAfter: UInt64 = 100_000_000
    /// How often a change is tried anew when somebody else changes settings at the same time.
    private static let attemptsMax = 8

    private struct Change {
        var edit: (inout HostSettings) -> Void
        var then: (Refusal?) -> Void
        var attempts = 0
    }

    private let address: String
    private let loop: EventLoop
    private let alarms: Alarms
    private var session: ServiceSession?
    private var revision: UInt64 = 0
    private var waiting: [Change] = []
    private var isBusy = false
    private(set) var current: HostSettings?
    var changed: ((HostSettings) -> Void)?

    init(_ address: String, on loop: EventLoop, _ alarms: Alarms) {
        self.address = address
        self.loop = loop
        self.alarms = alarms
        connect()
    }

    private func connect() {
        guard let session = try? ServiceSession(address, on: loop) else { return connectLater() }
        self.session = session
        session.closed = { [weak self] in
            self?.session = nil
            self?.connectLater()
        }
        session.event = { [weak self] kind, payload in
            guard kind == ConfigService.settingsChanged else { return }
            var reader = FieldReader(payload)
            guard let state = try? reader.read(SettingsState.self) else { return }
            self?.take(state)
        }
        session.ask(WatchSettings()) { [weak self] result in
            if case .success(let state) = result { self?.take(state) }
        }
    }

    private func connectLater() {
        alarms.after(Self.retryAfter) { [weak self] in self?.connect() }
    }

    private func take(_ state: SettingsState) {
        revision = state.revision
        let settings = SettingsText.decode(state.text, as: HostSettings.self).0
        guard settings != current else { return }
        current = settings
        changed?(settings)
    }

    func change(_ edit: @escaping (inout HostSettings) -> Void, then: @escaping (Refusal?) -> Void) {
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
                if settings != current {
                    current = settings
                    changed?(settings)
                }
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
