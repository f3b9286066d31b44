import ConfigService
public import HostLink
public import HostModel
public import Linux
import Messages

/// The host's settings as the configuration agent keeps them, for whoever acts on them. That agent may come later, and end and come back
/// at any time: until then the last settings hold.
public final class SettingsWatch {
    // Belongs to the loop's thread.

    private static let retry: UInt64 = 250_000_000

    private let address: String
    private let loop: EventLoop
    private let changed: (HostSettings) -> Void
    private var session: ServiceSession?
    private var timer: Timer?
    /// As they were last told; nil as long as nobody told any.
    public private(set) var current: HostSettings?

    /// - Parameter changed: called on the loop's thread with the first settings and with all that differ from those before.
    public init(
        _ address: String = ServiceAddress.configuration, on loop: EventLoop,
        _ changed: @escaping (HostSettings) -> Void
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
        let settings = SettingsText.decode(state.text, as: HostSettings.self).0
        guard settings != current else { return }
        current = settings
        changed(settings)
    }

    /// Hears nothing any more.
    public func close() {
        session?.close()
        session = nil
        timer?.close(on: loop)
        timer = nil
    }
}
