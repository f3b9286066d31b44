/// A time on the wire: seconds since 1900 and a binary fraction, 32 bits each (RFC 5905, section 6). Eras of 136 years are not
/// told apart; differences are right as long as they are less than 68 years.
public struct NTPTimestamp: Hashable, Sendable {
    public var bits: UInt64

    public init(bits: UInt64) { self.bits = bits }

    /// 1970 is 2 208 988 800 s after 1900 (section 6, figure 4).
    private static let unixEpoch: UInt64 = 2_208_988_800

    /// - Parameters:
    ///   - seconds: since 1970.
    ///   - nanoseconds: 0...999 999 999.
    public init(seconds: Int64, nanoseconds: Int64) {
        let whole = UInt64(bitPattern: seconds) &+ Self.unixEpoch
        let fraction = (UInt64(min(max(nanoseconds, 0), 999_999_999)) << 32) / 1_000_000_000
        bits = whole << 32 | fraction
    }

    public var isZero: Bool { bits == 0 }

    /// In seconds: this minus the other.
    public func since(_ other: NTPTimestamp) -> Double {
        Double(Int64(bitPattern: bits &- other.bits)) / 4_294_967_296
    }
}
