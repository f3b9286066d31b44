/// A virtual machine's UUID in VMware's notation: `56 4d ee 3c 52 06 a3 de-be 4a 73 9c cc 99 15 1f`.
public struct MachineUUID: Equatable, Hashable, Sendable, CustomStringConvertible {
    /// The 16 bytes in written order.
    public let bytes: [UInt8]

    /// - Returns: nil unless there are 16 bytes.
    public init?(bytes: [UInt8]) {
        guard bytes.count == 16 else { return nil }
        self.bytes = bytes
    }

    /// A fresh one as VMware's hosts make them: it begins with 56 4d ("VM"), the rest is random.
    ///
    /// - Parameter random: at least 16 random bytes; what is missing is zero.
    public init(random: [UInt8]) {
        var bytes = Array(random.prefix(16))
        bytes += repeatElement(0, count: 16 - bytes.count)
        bytes[0] = 0x56
        bytes[1] = 0x4d
        self.bytes = bytes
    }

    /// Reads 16 pairs of hexadecimal digits; blanks and dashes may stand between pairs, so that the RFC 4122 notation
    /// works too.
    public init?(_ text: String) {
        var bytes: [UInt8] = []
        var high: UInt8?
        for byte in text.utf8 {
            if let digit = hexDigit(byte) {
                if let first = high {
                    bytes.append(first << 4 | digit)
                    high = nil
                } else {
                    high = digit
                }
            } else if high != nil || (byte != UInt8(ascii: " ") && byte != UInt8(ascii: "-")) {
                return nil
            }
            if bytes.count > 16 { return nil }
        }
        guard high == nil else { return nil }
        self.init(bytes: bytes)
    }

    public var description: String {
        var text = ""
        for (index, byte) in bytes.enumerated() {
            if index > 0 { text += index == 8 ? "-" : " " }
            text += hexPair(byte)
        }
        return text
    }
}

/// An Ethernet address.
public struct MACAddress: Equatable, Hashable, Sendable, CustomStringConvertible {
    /// The six bytes in the order they are sent.
    public let bytes: [UInt8]

    init(_ first: UInt8, _ second: UInt8, _ third: UInt8, low: UInt32) {
        bytes = [
            first, second, third, UInt8(truncatingIfNeeded: low >> 16), UInt8(truncatingIfNeeded: low >> 8),
            UInt8(truncatingIfNeeded: low),
        ]
    }

    /// Reads `00:0c:29:99:15:1f`; dashes may stand for the colons.
    public init?(_ text: String) {
        let parts = text.utf8.split(omittingEmptySubsequences: false) {
            $0 == UInt8(ascii: ":") || $0 == UInt8(ascii: "-")
        }
        guard parts.count == 6 else { return nil }
        var bytes: [UInt8] = []
        for part in parts {
            guard part.count == 2, let high = part.first.flatMap(hexDigit), let low = part.last.flatMap(hexDigit) else {
                return nil
            }
            bytes.append(high << 4 | low)
        }
        self.bytes = bytes
    }

    public var description: String { bytes.map(hexPair).joined(separator: ":") }

    /// Whether it names a group of stations, which a card cannot have for its own.
    public var isMulticast: Bool { bytes[0] & 1 != 0 }
    public var isZero: Bool { bytes.allSatisfy { $0 == 0 } }

    /// Whether it lies in the range VMware leaves to administrators, 00:50:56:00:00:00 to 00:50:56:3f:ff:ff.
    var isInStaticRange: Bool { bytes.starts(with: [0x00, 0x50, 0x56]) && bytes[3] <= 0x3f }

    /// Whether it lies where a central manager hands out addresses, 00:50:56:80:00:00 to 00:50:56:bf:ff:ff.
    var isInManagerRange: Bool { bytes.starts(with: [0x00, 0x50, 0x56]) && (0x80...0xbf).contains(bytes[3]) }

    /// The address VMware's hosts make for a card: 00:0c:29 and the last three bytes of the machine's UUID, ten higher for
    /// each further card (the file calls that `generatedAddressOffset`).
    static func generated(for uuid: MachineUUID, card: Int) -> MACAddress {
        let low = uuid.bytes.suffix(3).reduce(UInt32(0)) { $0 << 8 | UInt32($1) }
        return MACAddress(0x00, 0x0c, 0x29, low: (low &+ UInt32(10 * card)) & 0xff_ffff)
    }
}

private func hexPair(_ byte: UInt8) -> String {
    let text = String(byte, radix: 16)
    return text.utf8.count == 1 ? "0" + text : text
}
