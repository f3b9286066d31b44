public import Addresses

/// A DHCP client for one link (RFC 2131, section 4.4). Pure: events in, actions out; it does no I/O and knows no clock.
public struct DHCPClient: Sendable {
    /// Who asks.
    public struct Identity: Equatable, Sendable {
        public var macAddress: MACAddress
        /// Told to the server, which may enter it into the domain name system.
        public var hostName: String?

        public init(macAddress: MACAddress, hostName: String? = nil) {
            self.macAddress = macAddress
            self.hostName = hostName
        }
    }

    public enum Event: Sendable {
        case linkUp
        case linkDown
        /// Any DHCP message that came.
        case message(DHCPMessage)
        case arp(ARPPacket)
        /// `deadline` has come.
        case timer
        /// Ask for more time now, or begin anew.
        case renew
        /// Give the address back and stop.
        case release
    }

    public enum Action: Equatable, Sendable {
        /// To everybody on the link, from this address.
        case broadcast(DHCPMessage, from: IPv4Address)
        /// From the leased address, by way of the routes.
        case unicast(DHCPMessage, to: IPv4Address)
        case send(ARPPacket)
        /// Use this; it may be in use already.
        case configure(DHCPLease)
        case deconfigure
        /// Nobody has answered for a while. The client goes on.
        case noServer
    }

    public enum State: Equatable, Sendable {
        case stopped
        case waitingForLink
        /// Asking who gives addresses (INIT, SELECTING).
        case selecting
        /// Taking an offer.
        case requesting
        /// Looking whether somebody else has the address.
        case probing
        case bound
        case renewing
        case rebinding
        /// Asking whether an address from before is still good (INIT-REBOOT, REBOOTING).
        case rebooting
        /// Waiting before beginning anew.
        case pausing
    }

    /// A lease, when it began on the clock that `now` is of, and the server's message it was read from.
    public struct Held: Equatable, Sendable {
        public var lease: DHCPLease
        public var start: UInt64
        public var message: [UInt8]

        /// - Returns: nil if the message gives no lease.
        public init?(message: [UInt8], start: UInt64) {
            guard let parsed = DHCPMessage(message), parsed.kind == .acknowledgement, let lease = DHCPLease(parsed)
            else { return nil }
            self.lease = lease
            self.start = start
            self.message = message
        }

        var renewal: UInt64 { lease.seconds == nil ? .max : start + UInt64(lease.renewalSeconds) * Span.second }
        var rebinding: UInt64 { lease.seconds == nil ? .max : start + UInt64(lease.rebindingSeconds) * Span.second }
        /// When it ends.
        public var end: UInt64 { lease.seconds.map { start + UInt64($0) * Span.second } ?? .max }
    }

    public internal(set) var state = State.waitingForLink
    /// The lease in use, or to be confirmed.
    public internal(set) var held: Held?
    /// When `Event.timer` is due.
    public internal(set) var deadline: UInt64?

    /// May change; the server hears of it with the next message.
    public var identity: Identity
    var chance: Chance
    var transaction: UInt32 = 0
    /// When this round of asking began, and how many messages it has sent.
    var began: UInt64 = 0
    var tries = 0
    var requestedAt: UInt64 = 0
    var offer: DHCPLease?
    var probe: AddressProbe?
    /// The lease that the probe is for.
    var probed: Held?
    /// `configure` was the last word.
    var isConfigured: Bool
    var refusals = 0

    /// - Parameters:
    ///   - held: a lease from before; ignored if it has ended.
    ///   - isConfigured: whether its address is in use still.
    ///   - seed: differs from host to host and from start to start.
    public init(_ identity: Identity, held: Held? = nil, isConfigured: Bool = false, seed: UInt64) {
        self.identity = identity
        self.held = held
        self.isConfigured = isConfigured && held != nil
        chance = Chance(seed: seed)
    }

    public mutating func handle(_ event: Event, now: UInt64) -> [Action] {
        switch event {
        case .linkUp: return state == .waitingForLink ? begin(now: now) : []
        case .linkDown:
            guard state != .stopped else { return [] }
            enter(.waitingForLink, until: isConfigured ? held?.end : nil)
            return []
        case .message(let message): return take(message, now: now)
        case .arp(let packet):
            guard state == .probing, let probe, probe.isConflict(packet) else { return [] }
            return decline(probe.address, now: now)
        case .timer:
            guard let due = deadline, now >= due else { return [] }
            return timer(now: now)
        case .renew:
            switch state {
            case .bound, .renewing, .rebinding: return renew(now: now)
            case .stopped, .waitingForLink, .probing: return []
            case .selecting, .requesting, .rebooting, .pausing: return begin(now: now)
            }
        case .release: return release(now: now)
        }
    }

    mutating func enter(_ state: State, until deadline: UInt64?) {
        self.state = state
        self.deadline = deadline == .max ? nil : deadline
        if state != .probing { probe = nil }
    }

    /// Confirms a lease that is still good, or looks for one.
    mutating func begin(now: UInt64) -> [Action] {
        newRound(now: now)
        if let held, held.end > now {
            let adopted: [Action] = isConfigured ? [.configure(held.lease)] : []
            state = .rebooting
            return adopted + sendRequest(now: now)
        }
        return drop() + select(now: now)
    }

    mutating func newRound(now: UInt64) {
        transaction = UInt32(truncatingIfNeeded: chance.next())
        began = now
        tries = 0
    }

    /// Asks who gives addresses.
    mutating func select(now: UInt64) -> [Action] {
        newRound(now: now)
        offer = nil
        return discover(now: now)
    }

    mutating func discover(now: UInt64) -> [Action] {
        tries += 1
        enter(.selecting, until: now + backOff())
        var message = message(.discover, now: now)
        // The server may be able to give the same again.
        if let held { message.options.set(.requestedAddress, held.lease.address.number) }
        var actions = [Action.broadcast(message, from: IPv4Address(number: 0))]
        if tries == Self.triesUntilNoServer { actions.append(.noServer) }
        return actions
    }

    /// Some twelve seconds after the first question.
    static let triesUntilNoServer = 3

    /// RFC 2131, section 4.1: 4, 8, 16, 32, then 64 seconds, each one up to a second more or less.
    mutating func backOff() -> UInt64 {
        let seconds = UInt64(4) << UInt64(min(max(tries - 1, 0), 4))
        return chance.number(in: ((seconds - 1) * Span.second)...((seconds + 1) * Span.second))
    }

    mutating func drop() -> [Action] {
        held = nil
        guard isConfigured else { return [] }
        isConfigured = false
        return [.deconfigure]
    }

    mutating func timer(now: UInt64) -> [Action] {
        switch state {
        case .stopped: return []
        case .waitingForLink:
            deadline = nil
            return held.map { $0.end <= now } == true ? drop() : []
        case .selecting: return discover(now: now)
        case .requesting:
            return tries < Self.requestsMax ? sendRequest(now: now) : select(now: now)
        case .rebooting:
            if tries < Self.rebootRequestsMax { return sendRequest(now: now) }
            // RFC 2131, section 3.2: with nobody to ask, what is still good may be used.
            guard let held, held.end > now else { return drop() + select(now: now) }
            return use(held, now: now)
        case .probing: return probeTimer(now: now)
        case .bound: return renew(now: now)
        case .renewing, .rebinding: return extend(now: now)
        case .pausing: return select(now: now)
        }
    }

    static let requestsMax = 4
    static let rebootRequestsMax = 2

    mutating func message(_ kind: DHCPMessage.Kind, now: UInt64) -> DHCPMessage {
        var message = DHCPMessage(kind, transaction: transaction, macAddress: identity.macAddress)
        message.seconds = UInt16(clamping: (now - min(began, now)) / Span.second)
        message.options[.clientIdentifier] = [1] + identity.macAddress.bytes
        guard kind == .discover || kind == .request else { return message }
        message.options[.parameterList] = Self.parameters
        message.options[.sizeMax] = [0x05, 0xdc]  // 1500
        if let name = identity.hostName, !name.isEmpty { message.options[.hostName] = Array(name.utf8.prefix(255)) }
        return message
    }

    /// RFC 3442 wants its routes to be asked for before the routers.
    private static let parameters: [UInt8] = [
        DHCPOptions.Code.subnetMask, .classlessRoutes, .routers, .nameServers, .hostName, .domainName, .mtu,
        .ntpServers,
        .domainSearch, .renewalTime, .rebindingTime,
    ].map(\.rawValue)
}
