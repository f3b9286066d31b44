public import HostLink
public import Linux
import NetworkService

/// Addresses of names, as the network agent finds them. Never waits: a name that is not known yet is asked for, and known a moment
/// later.
public final class NameCache {
    // Belongs to the loop's thread.

    /// How long an address is believed, in nanoseconds.
    static let lifetime: UInt64 = 300_000_000_000
    /// A question without an answer is asked again after so long.
    static let patience: UInt64 = 10_000_000_000

    private struct Entry {
        var addresses: [String] = []
        var askedAt: UInt64
        var knownAt: UInt64?
    }

    private let address: String
    private let loop: EventLoop
    private var session: ServiceSession?
    private var entries: [String: Entry] = [:]

    /// - Parameter address: the network agent's.
    public init(_ address: String = ServiceAddress.network, on loop: EventLoop) {
        self.address = address
        self.loop = loop
    }

    /// Where a host can be reached, if that is known now.
    ///
    /// - Parameter host: a name, or an address as it is written.
    public func peer(_ host: String, port: UInt16) -> InternetPeer? {
        if let peer = InternetPeer(host, port: port) { return peer }
        let now = monotonicNanoseconds()
        let entry = entries[host]
        let isOld = entry?.knownAt.map { now &- $0 > Self.lifetime } ?? true
        if isOld, entry.map({ now &- $0.askedAt > Self.patience }) ?? true { ask(host, now) }
        // An old address is better than none.
        return entry?.addresses.lazy.compactMap { InternetPeer($0, port: port) }.first
    }

    private func ask(_ host: String, _ now: UInt64) {
        entries[host, default: Entry(askedAt: now)].askedAt = now
        if session == nil { session = try? ServiceSession(address, on: loop) }
        guard let session else {
            // The agent is not there yet; that is a matter of moments.
            entries[host]?.askedAt = now &- Self.patience
            return
        }
        session.closed = { [weak self] in self?.session = nil }
        session.ask(Resolve(host)) { [weak self] result in
            guard case .success(let addresses) = result, !addresses.isEmpty else { return }
            self?.entries[host]?.addresses = addresses
            self?.entries[host]?.knownAt = monotonicNanoseconds()
        }
    }
}
