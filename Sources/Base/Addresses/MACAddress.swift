/// An Ethernet address (IEEE 802, MAC-48).
public struct MACAddress: Hashable, Sendable, CustomStringConvertible {
    /// The six bytes as a number, the first one most significant; the upper 16 bits are zero.
    public let number: UInt64

    /// - Parameter number: its upper 16 bits are dropped.
    public init(number: UInt64) { self.number = number & 0xffff_ffff_ffff }

    /// - Returns: nil unless there are six bytes.
    public init?(_ bytes: some Collection<UInt8>) {
        guard bytes.count == 6 else { return nil }
        number = bytes.reduce(0) { $0 << 8 | UInt64($1) }
    }

    /// Reads six groups of two hexadecimal digits between colons; nil if the text is anything else.
    public init?(text: some StringProtocol) {
        let groups = text.split(separator: ":", omittingEmptySubsequences: false)
        guard groups.count == 6 else { return nil }
        var number: UInt64 = 0
        for group in groups {
            guard group.utf8.count == 2, group.utf8.first != UInt8(ascii: "+"), let byte = UInt8(group, radix: 16)
            else { return nil }
            number = number << 8 | UInt64(byte)
        }
        self.number = number
    }

    public static let broadcast = MACAddress(number: .max)
    public static let zero = MACAddress(number: 0)

    /// The six bytes, first to last.
    public var bytes: [UInt8] { (0..<6).map { UInt8(truncatingIfNeeded: number >> (40 - 8 * UInt64($0))) } }

    /// Lower case with colons.
    public var description: String {
        bytes.map { ($0 < 16 ? "0" : "") + String($0, radix: 16) }.joined(separator: ":")
    }

    /// To many stations: the lowest bit of the first byte.
    public var isMulticast: Bool { number >> 40 & 1 == 1 }
}
