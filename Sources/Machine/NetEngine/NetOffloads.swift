/// Work on packets that one side leaves to the other.
///
/// Whoever can take packets of such a kind says so; the sender then hands them over with the work undone and described in
/// the `NetHeader`.
public struct NetOffloads: OptionSet, Sendable, BitwiseCopyable, CustomStringConvertible {
    public let rawValue: UInt8
    public init(rawValue: UInt8) { self.rawValue = rawValue }

    /// The checksum is not complete yet.
    public static let checksum = NetOffloads(rawValue: 1 << 0)
    /// TCP over IPv4 that is to be cut into segments.
    public static let tcp4 = NetOffloads(rawValue: 1 << 1)
    /// TCP over IPv6 that is to be cut into segments.
    public static let tcp6 = NetOffloads(rawValue: 1 << 2)
    /// Such TCP with the congestion bit set.
    public static let ecn = NetOffloads(rawValue: 1 << 3)
    /// UDP that is to be cut into fragments.
    public static let udp = NetOffloads(rawValue: 1 << 4)

    /// All of these.
    public static let all: NetOffloads = [.checksum, .tcp4, .tcp6, .ecn, .udp]
    /// Those that make packets longer than the MTU.
    public static let large: NetOffloads = [.tcp4, .tcp6, .udp]

    public var description: String {
        let names: [(NetOffloads, String)] = [
            (.checksum, "checksum"), (.tcp4, "tcp4"), (.tcp6, "tcp6"), (.ecn, "ecn"), (.udp, "udp"),
        ]
        return names.filter { contains($0.0) }.map(\.1).joined(separator: ",")
    }
}
