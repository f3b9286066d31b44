public import Addresses
import Bytes

/// Chooses an address of its own for a network without anybody who gives addresses (RFC 3927). Pure: events in, actions out.
public struct LinkLocalClient: Sendable {
    public enum Event: Sendable {
        case start
        /// `deadline` has come.
        case timer
        case arp(ARPPacket)
        case stop
    }

    public enum Action: Equatable, Sendable {
        case send(ARPPacket)
        /// Use the address, with a prefix of 16 bits.
        case configure(IPv4Address)
        case deconfigure
    }

    private enum State: Sendable {
        case stopped
        case probing(AddressProbe)
        case announcing(IPv4Address, left: Int)
        case defending(IPv4Address, lastConflict: UInt64?)
    }

    // RFC 3927, section 9.
    private static let conflictsMax = 10
    private static let rateLimit = 60 * Span.second
    private static let announcements = 2
    private static let announceInterval = 2 * Span.second
    private static let defendInterval = 10 * Span.second

    private let macAddress: MACAddress
    private var chance: SplitMix64
    private var state = State.stopped
    private var conflicts = 0
    /// An address that was good before is tried first.
    private var preferred: IPv4Address?
    /// When `Event.timer` is due.
    public private(set) var deadline: UInt64?

    /// - Parameter preferred: an address this port had before.
    public init(macAddress: MACAddress, seed: UInt64, preferred: IPv4Address? = nil) {
        self.macAddress = macAddress
        chance = SplitMix64(seed: seed)
        self.preferred = preferred.flatMap { Self.isUsable($0) ? $0 : nil }
    }

    /// The address in use.
    public var address: IPv4Address? {
        switch state {
        case .announcing(let address, _), .defending(let address, _): address
        case .stopped, .probing: nil
        }
    }

    public var isRunning: Bool {
        if case .stopped = state { return false }
        return true
    }

    /// 169.254.1.0 to 169.254.254.255 (RFC 3927, section 2.1).
    private static func isUsable(_ address: IPv4Address) -> Bool {
        address.isLinkLocal && (1...254).contains(address.number >> 8 & 255)
    }

    public mutating func handle(_ event: Event, now: UInt64) -> [Action] {
        switch event {
        case .start: return isRunning ? [] : probe(now: now)
        case .stop:
            let had = address
            if had != nil { preferred = had }
            state = .stopped
            deadline = nil
            conflicts = 0
            return had == nil ? [] : [.deconfigure]
        case .timer: return timer(now: now)
        case .arp(let packet): return arp(packet, now: now)
        }
    }

    private mutating func probe(now: UInt64) -> [Action] {
        let address = preferred ?? IPv4Address(number: 0xa9fe_0100 + UInt32.random(in: 0...0xfdff, using: &chance))
        preferred = nil
        // Whoever meets so many conflicts must not flood the network.
        let begin = conflicts > Self.conflictsMax ? now + Self.rateLimit : now
        let probe = AddressProbe(address, macAddress, .chosen, now: begin, &chance)
        state = .probing(probe)
        deadline = probe.deadline
        return []
    }

    private mutating func timer(now: UInt64) -> [Action] {
        guard let due = deadline, now >= due else { return [] }
        switch state {
        case .probing(var probe):
            guard let step = probe.timer(now: now, &chance) else { return [] }
            if case .send(let packet) = step {
                state = .probing(probe)
                deadline = probe.deadline
                return [.send(packet)]
            }
            state = .announcing(probe.address, left: Self.announcements - 1)
            deadline = now + Self.announceInterval
            return [.configure(probe.address), .send(.announcement(probe.address, from: macAddress))]
        case .announcing(let address, let left):
            if left <= 1 {
                state = .defending(address, lastConflict: nil)
                deadline = nil
            } else {
                state = .announcing(address, left: left - 1)
                deadline = now + Self.announceInterval
            }
            return [.send(.announcement(address, from: macAddress))]
        case .stopped, .defending:
            deadline = nil
            return []
        }
    }

    private mutating func arp(_ packet: ARPPacket, now: UInt64) -> [Action] {
        switch state {
        case .stopped: return []
        case .probing(let probe):
            guard probe.isConflict(packet) else { return [] }
            conflicts += 1
            return self.probe(now: now)
        case .announcing(let address, _):
            guard packet.sender == address, packet.senderMAC != macAddress else { return [] }
            return giveUp(now: now)
        case .defending(let address, let last):
            guard packet.sender == address, packet.senderMAC != macAddress else { return [] }
            // RFC 3927, section 2.5 (b): once is defended against, twice in a short time is given in to.
            if let last, now < last + Self.defendInterval { return giveUp(now: now) }
            state = .defending(address, lastConflict: now)
            return [.send(.announcement(address, from: macAddress))]
        }
    }

    private mutating func giveUp(now: UInt64) -> [Action] {
        conflicts += 1
        return [.deconfigure] + probe(now: now)
    }
}
