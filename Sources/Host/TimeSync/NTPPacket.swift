import Bytes

/// An NTP packet without extensions: 48 bytes, big-endian (RFC 5905, section 7.3, figure 8).
public struct NTPPacket: Equatable, Sendable {
    public static let size = 48
    public static let version: UInt8 = 4
    /// Modes of figure 10.
    public static let client: UInt8 = 3
    public static let server: UInt8 = 4

    /// 0...3; 3: the clock is not synchronized (figure 9).
    public var leap: UInt8 = 3
    public var version = Self.version
    public var mode: UInt8 = Self.client
    /// 1 is next to a reference clock, 0 a refusal ("kiss of death"), 16 not synchronized (figure 11).
    public var stratum: UInt8 = 0
    /// Logarithm of seconds.
    public var poll: Int8 = 0
    public var precision: Int8 = 0
    /// Seconds in 16.16.
    public var rootDelay: UInt32 = 0
    public var rootDispersion: UInt32 = 0
    public var reference: UInt32 = 0
    public var referenceTime = NTPTimestamp(bits: 0)
    /// T1: what the client sent as its `transmit`.
    public var origin = NTPTimestamp(bits: 0)
    /// T2: when the request came to the server.
    public var receive = NTPTimestamp(bits: 0)
    /// T3: when the answer left.
    public var transmit = NTPTimestamp(bits: 0)

    public init() {}

    /// - Returns: nil if the bytes are too few. What follows the header (extensions, a digest) is left out: nothing was asked for.
    public init?(_ bytes: [UInt8]) {
        var reader = ByteReader(bytes.span)
        do throws(OutOfBounds) {
            let head = try reader.big(UInt8.self)
            leap = head >> 6
            version = head >> 3 & 7
            mode = head & 7
            stratum = try reader.big()
            poll = try reader.big()
            precision = try reader.big()
            rootDelay = try reader.big()
            rootDispersion = try reader.big()
            reference = try reader.big()
            referenceTime = NTPTimestamp(bits: try reader.big())
            origin = NTPTimestamp(bits: try reader.big())
            receive = NTPTimestamp(bits: try reader.big())
            transmit = NTPTimestamp(bits: try reader.big())
        } catch { return nil }
    }

    public var bytes: [UInt8] {
        var writer = ByteWriter()
        writer.big(leap << 6 | (version & 7) << 3 | mode & 7)
        writer.big(stratum)
        writer.big(poll)
        writer.big(precision)
        writer.big(rootDelay)
        writer.big(rootDispersion)
        writer.big(reference)
        for time in [referenceTime, origin, receive, transmit] { writer.big(time.bits) }
        return writer.bytes
    }

    /// A request. Its `transmit` is a random number: the server gives it back, and nobody who does not see the request can
    /// forge an answer, nor learn our time (draft-ietf-ntp-data-minimization).
    public static func request(nonce: UInt64) -> NTPPacket {
        var packet = NTPPacket()
        packet.leap = 0
        packet.transmit = NTPTimestamp(bits: nonce)
        return packet
    }

    /// Half a round trip to the primary server and the error gathered on it, in seconds (section 11.2, "root distance").
    public var rootDistance: Double { Double(rootDelay) / 131_072 + Double(rootDispersion) / 65_536 }
}
