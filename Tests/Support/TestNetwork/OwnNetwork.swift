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

/// A network beside the calling thread's, to be the other side of a cable. It lives as long as this does.
public final class OtherNetwork: Sendable {
    private let network: Descriptor

    public init() throws {
        let made = Mutex<CInt>(-1)
        let outcome = Outcome()
        let thread = try Thread(name: "other-network") {
            do {
                try enterNewNetwork()
                let descriptor = try Descriptor(opening: "/proc/thread-self/ns/net", .readOnly)
                let raw = descriptor.release()
                made.withLock { $0 = raw }
            } catch {
                outcome.error.withLock { $0 = error }
            }
        }
        thread.join()
        if let error = outcome.error.withLock({ $0 }) { throw error }
        network = Descriptor(adopting: made.withLock { $0 })
    }

    /// For moving links there.
    public var raw: CInt { network.raw }

    /// Runs `body` on a thread in that network, and waits for it. Processes it starts are in that network, too.
    public func run(_ body: @escaping @Sendable () throws -> Void) throws {
        let outcome = Outcome()
        let raw = network.raw
        let thread = try Thread(name: "other-network") {
            do {
                try joinNetwork(raw)
                try body()
            } catch {
                outcome.error.withLock { $0 = error }
            }
        }
        thread.join()
        if let error = outcome.error.withLock({ $0 }) { throw error }
    }
}

/// Why virtual switches cannot be tested on this kernel; nil if they can.
public let virtualSwitchesUnavailable: String? = {
    if let networkUnavailable { return networkUnavailable }
    do {
        try inOwnNetwork {
            var network = try NetworkConfiguration()
            try network.addVLANBridge("probe0")
            try network.addBond("probe1", BondOptions())
        }
        return nil
    } catch {
        return "the kernel lacks VLANs in bridges, or bonds (the lab's has them): \(error)"
    }
}()
