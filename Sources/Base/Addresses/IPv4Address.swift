/// An IPv4 address, first byte first as it is written.
public struct IPv4Address: Hashable, Sendable, CustomStringConvertible {
    /// The address as a number, most significant byte first.
    public var number: UInt32

    public init(number: UInt32) { self.number = number }

    public init(_ a: UInt8, _ b: UInt8, _ c: UInt8, _ d: UInt8) {
        number = UInt32(a) << 24 | UInt32(b) << 16 | UInt32(c) << 8 | UInt32(d)
    }

    /// Reads dotted decimal text; nil if it is anything else.
    public init?(_ text: some StringProtocol) {
        let parts = text.split(separator: ".", omittingEmptySubsequences: false)
        guard parts.count == 4 else { return nil }
        number = 0
        for part in parts {
            guard part.utf8.count <= 3, part.utf8.allSatisfy({ (48...57).contains($0) }), let value = UInt8(part)
            else { return nil }
            number = number << 8 | UInt32(value)
        }
    }

    /// The four bytes, first to last.
    public var bytes: [UInt8] { (0..<4).map { UInt8(truncatingIfNeeded: number >> (24 - 8 * UInt32($0))) } }

    public var description: String { bytes.map { "\($0)" }.joined(separator: ".") }

    /// 169.254.0.0/16 (RFC 3927, section 2.1).
    public var isLinkLocal: Bool { number >> 16 == 0xa9fe }

    /// The mask of a prefix of so many bits, at most 32.
    public static func mask(prefix: Int) -> IPv4Address {
        IPv4Address(number: prefix <= 0 ? 0 : ~0 << UInt32(32 - min(prefix, 32)))
    }

    /// How many bits a mask has; nil if it is none.
    public var prefixOfMask: Int? {
        let prefix = (~number).leadingZeroBitCount
        return Self.mask(prefix: prefix) == self ? prefix : nil
    }
}
