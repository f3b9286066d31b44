/// An Ethernet address.
public struct MACAddress: Hashable, Sendable, BitwiseCopyable, CustomStringConvertible {
    /// The six bytes as one number: the byte sent first in bits 47:40.
    public let rawValue: UInt64

    public static let broadcast = MACAddress(rawValue: 0xffff_ffff_ffff)

    /// - Parameter rawValue: bits above 47 are dropped.
    @inlinable public init(rawValue: UInt64) { self.rawValue = rawValue & 0xffff_ffff_ffff }

    /// The bytes in the order they are sent.
    public init(_ a: UInt8, _ b: UInt8, _ c: UInt8, _ d: UInt8, _ e: UInt8, _ f: UInt8) {
        let high = UInt64(a) << 40 | UInt64(b) << 32 | UInt64(c) << 24
        rawValue = high | UInt64(d) << 16 | UInt64(e) << 8 | UInt64(f)
    }

    /// Reads "00:0c:29:ab:cd:ef"; hyphens will do as well. Nil if it is anything else.
    public init?(_ text: some StringProtocol) {
        let parts = text.split(omittingEmptySubsequences: false) { $0 == ":" || $0 == "-" }
        guard parts.count == 6 else { return nil }
        var value: UInt64 = 0
        for part in parts {
            guard (1...2).contains(part.utf8.count), part.utf8.first != UInt8(ascii: "+"),
                let byte = UInt8(part, radix: 16)
            else { return nil }
            value = value << 8 | UInt64(byte)
        }
        rawValue = value
    }

    /// Meant for a group of stations, or for all of them.
    @inlinable public var isMulticast: Bool { rawValue & 1 << 40 != 0 }
    /// May be a station's own address: neither a group's nor all zeros.
    public var isUnicast: Bool { !isMulticast && rawValue != 0 }

    /// Byte `index` in the order sent, 0...5.
    public subscript(index: Int) -> UInt8 {
        UInt8(truncatingIfNeeded: rawValue >> (8 * (5 - UInt64(truncatingIfNeeded: index))))
    }

    public var bytes: [UInt8] { (0..<6).map { self[$0] } }

    public var description: String {
        bytes.map { $0 < 16 ? "0" + String($0, radix: 16) : String($0, radix: 16) }.joined(separator: ":")
    }
}
