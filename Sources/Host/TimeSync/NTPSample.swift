/// One comparison of our clock with a server's (RFC 5905, section 8).
public struct NTPSample: Equatable, Sendable {
    /// How much the server's clock is ahead of ours, in seconds.
    public var offset: Double
    /// The round trip without the server's own time, in seconds.
    public var delay: Double
    /// How wrong the offset may be: half the delay and what the server says of itself, in seconds.
    public var distance: Double
    /// When it was taken, on the clock of `monotonicNanoseconds`.
    public var time: UInt64
    public var stratum: UInt8
    public var leap: UInt8

    /// Why an answer is of no use (sections 7.4, 9.2 and appendix A.5.1.1).
    public enum Refusal: Error, Equatable, Sendable {
        /// Too short, or no server's answer of a version we know.
        case malformed
        /// It answers nothing that we asked: late, doubled or forged.
        case unasked
        /// The server does not know the time itself.
        case notSynchronized
        /// The server wants to be asked less often, or not at all.
        case kissOfDeath
        /// Its times make no sense.
        case implausible
    }

    /// So wrong a server may be at most (MAXDIST with room for slow networks; section 7.2 has 1.5 s).
    public static let distanceMax = 1.5

    /// - Parameters:
    ///   - bytes: what came.
    ///   - nonce: what was sent as the request's `transmit`.
    ///   - sent: when the request left, by our clock.
    ///   - received: when the answer came, by the same clock.
    public init(
        _ bytes: [UInt8], nonce: UInt64, sent: NTPTimestamp, received: NTPTimestamp, time: UInt64
    ) throws(Refusal) {
        guard let packet = NTPPacket(bytes), packet.mode == NTPPacket.server, (3...4).contains(packet.version) else {
            throw .malformed
        }
        guard packet.origin.bits == nonce, nonce != 0 else { throw .unasked }
        if packet.stratum == 0 { throw .kissOfDeath }
        guard packet.leap != 3, packet.stratum < 16 else { throw .notSynchronized }
        guard !packet.transmit.isZero, !packet.receive.isZero, packet.transmit.since(packet.receive) >= 0 else {
            throw .implausible
        }
        // The four times of section 8: offset is ((T2 - T1) + (T3 - T4)) / 2, delay (T4 - T1) - (T3 - T2).
        let trip = received.since(sent) - packet.transmit.since(packet.receive)
        guard trip > -0.001, trip < 16 else { throw .implausible }
        offset = (packet.receive.since(sent) + packet.transmit.since(received)) / 2
        // The clock's own grain is the least that a trip can take.
        delay = max(trip, 0.000_001)
        distance = delay / 2 + packet.rootDistance
        guard distance < Self.distanceMax else { throw .implausible }
        self.time = time
        stratum = packet.stratum
        leap = packet.leap
    }

    init(offset: Double, delay: Double, distance: Double, time: UInt64, stratum: UInt8 = 2, leap: UInt8 = 0) {
        self.offset = offset
        self.delay = delay
        self.distance = distance
        self.time = time
        self.stratum = stratum
        self.leap = leap
    }
}
