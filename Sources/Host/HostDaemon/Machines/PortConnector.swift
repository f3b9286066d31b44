import HostLink
import HostModel
import Linux
import NetworkService

/// Has the network agent connect machines' taps to their port groups. That agent keeps a port connected through its own restarts;
/// while it is away, ports wait.
final class PortConnector {
    // Belongs to the loop's thread.

    /// Between attempts, in nanoseconds.
    private static let retryAfter: UInt64 = 500_000_000
    /// Between attempts to reach an agent that is away.
    private static let awayAfter: UInt64 = 2_000_000_000
    /// How often a port is tried that the network agent refuses: its tap is still on its way, or its port group is missing.
    private static let refusalsMax = 20

    private let address: String
    private let loop: EventLoop
    private let alarms: Alarms
    private let journal: Journal
    private var session: ServiceSession?

    init(_ address: String, journal: Journal, on loop: EventLoop, _ alarms: Alarms) {
        self.address = address
        self.journal = journal
        self.loop = loop
        self.alarms = alarms
    }

    /// Connects a port, sooner or later, as long as it is wanted.
    ///
    /// - Parameter isWanted: asked before each attempt: whether the machine still runs.
    func connect(_ port: MachinePort, of file: String, refusals: Int = 0, while isWanted: @escaping () -> Bool) {
        guard isWanted() else { return }
        func later(_ refusals: Int, after delay: UInt64 = PortConnector.retryAfter) {
            alarms.after(delay) { [weak self] in
                self?.connect(port, of: file, refusals: refusals, while: isWanted)
            }
        }
        guard let session = reach() else { return later(refusals, after: Self.awayAfter) }
        session.ask(ConnectPort(portGroup: port.portGroup, tap: port.tap)) { [weak self] result in
            switch result {
            case .success: break
            case .failure(.refused(let refusal)) where refusals >= Self.refusalsMax:
                let text = "\(port.tap) is not connected to port group \"\(port.portGroup)\": \(refusal.text)"
                self?.journal.add(.error, subject: file, text)
            case .failure(.refused): later(refusals + 1)
            case .failure: later(refusals)
            }
        }
    }

    private func reach() -> ServiceSession? {
        if let session { return session }
        guard let session = try? ServiceSession(address, on: loop) else { return nil }
        session.closed = { [weak self] in self?.session = nil }
        self.session = session
        return session
    }

    func close() {
        session?.close()
        session = nil
    }
}
