import Linux
import Synchronization

/// Why tests cannot have networks and taps of their own here; nil if they can.
public let networkUnavailable: String? = {
    do {
        try inOwnNetwork { _ = try TapQueue("probe0") }
        return nil
    } catch {
        return "no tap in a network of its own: \(error)"
    }
}()

/// Runs `body` on a thread that has a network of its own, and waits for it. Other tests see nothing of that network.
public func inOwnNetwork(_ body: @escaping @Sendable () throws -> Void) throws {
    let outcome = Outcome()
    let thread = try Thread(name: "own-network") {
        do {
            try enterNewNetwork()
            try body()
        } catch {
            outcome.error.withLock { $0 = error }
        }
    }
    thread.join()
    if let error = outcome.error.withLock({ $0 }) { throw error }
}

private final class Outcome: Sendable {
    let error = Mutex<(any Error)?>(nil)
}
