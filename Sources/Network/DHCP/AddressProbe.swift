import Addresses
import Bytes

/// Finds out whether an address is free, by asking for it on its network (RFC 5227, section 2.1). Pure.
struct AddressProbe: Sendable {
    /// How often and for how long.
    struct Timing: Sendable {
        /// How long to wait at most before the first probe.
        var start: UInt64
        var count = 3
        /// Between probes.
        var between: ClosedRange<UInt64>
        /// After the last one.
        var wait: UInt64

        /// RFC 5227, section 1.1: for addresses that nobody but the host itself chose.
        static let chosen = Timing(
            start: Span.second, between: Span.second...(2 * Span.second), wait: 2 * Span.second)
        /// For addresses that a server gave, which looks after its addresses itself: the long wait is for networks that are just
        /// coming up, and it would be added to every start of a host.
        static let given = Timing(
            start: 0, between: (150 * Span.millisecond)...(250 * Span.millisecond), wait: 400 * Span.millisecond)
    }

    enum Step: Equatable {
        case send(ARPPacket)
        /// Nobody answered.
        case free
    }

    let address: IPv4Address
    private let macAddress: MACAddress
    private let timing: Timing
    private var sent = 0
    private(set) var deadline: UInt64

    init(_ address: IPv4Address, _ macAddress: MACAddress, _ timing: Timing, now: UInt64, _ chance: inout SplitMix64) {
        self.address = address
        self.macAddress = macAddress
        self.timing = timing
        deadline = now + (timing.start == 0 ? 0 : UInt64.random(in: 0...timing.start, using: &chance))
    }

    /// Call when `deadline` has come.
    mutating func timer(now: UInt64, _ chance: inout SplitMix64) -> Step? {
        guard now >= deadline else { return nil }
        if sent == timing.count { return .free }
        sent += 1
        deadline = now + (sent == timing.count ? timing.wait : UInt64.random(in: timing.between, using: &chance))
        return .send(.probe(address, from: macAddress))
    }

    /// Whether a packet shows that somebody else has the address or is about to take it.
    func isConflict(_ packet: ARPPacket) -> Bool {
        if packet.senderMAC == macAddress { return false }
        if packet.sender == address { return true }
        let isProbe = packet.sender.number == 0 && !packet.isReply
        return isProbe && packet.target == address
    }
}
