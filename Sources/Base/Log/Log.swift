import Linux
import Synchronization

/// Writes to the host's log, as one component. Never waits: what the log agent cannot take now is counted, and the count
/// is written with the next line that goes.
///
/// For any thread. Where there is no log agent, as in tests and on a workstation, lines go to standard error.
public final class Log: Sendable {
    /// Where the log agent takes messages.
    public static let path = "/run/wafer/log"

    private struct State: ~Copyable {
        var socket: Descriptor?
        var rate = LineRate()
    }

    private let component: String
    private let path: String
    private let process = UInt32(bitPattern: processIdentifier())
    private let state = Mutex(State())

    /// - Parameters:
    ///   - component: who writes: letters, digits, `.`, `_` and `-`, at most 32.
    ///   - path: where to send to, for tests.
    public init(_ component: String, path: String = Log.path) {
        self.component = component
        self.path = path
    }

    public func error(_ text: String) { write(.error, text) }
    public func warning(_ text: String) { write(.warning, text) }
    public func notice(_ text: String) { write(.notice, text) }
    public func info(_ text: String) { write(.info, text) }
    public func debug(_ text: String) { write(.debug, text) }

    /// Writes one line, or several with new lines between them.
    ///
    /// - Parameter component: who it is from, if not the one this log was made for.
    public func write(_ severity: LogSeverity, _ text: String, as component: String? = nil) {
        let component = component ?? self.component
        state.withLock { state in
            guard state.rate.admit(now: monotonicNanoseconds()) else { return }
            if state.socket == nil { state.socket = try? UnixDatagram.make() }
            let raw = state.socket?.raw ?? -1
            let missing = state.rate.takeSuppressed()
            if missing > 0, !send(.warning, component, "\(missing) messages were lost here", raw) {
                state.rate.lost(missing)
            }
            if !send(severity, component, text, raw) { state.rate.lost(1) }
        }
    }

    /// - Returns: whether it went.
    private func send(_ severity: LogSeverity, _ component: String, _ text: String, _ socket: CInt) -> Bool {
        let bytes = LogDatagram.encode(severity, component: component, process: process, text: text)
        switch UnixDatagram.send(bytes, from: socket, to: path) {
        case .bytes: return true
        case .wouldBlock: return false
        case .closed:
            writeToStandardError("\(component): \(text)\n")
            return true
        }
    }
}
