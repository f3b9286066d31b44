import Bytes

/// Encodings that all of AML shares (ACPI 6.5, chapter 20.2).
enum AMLEncoding {
    /// The largest body that a PkgLength can announce: 28 bits, less the four bytes of the PkgLength itself.
    static let bodyCountMax = (1 << 28) - 1 - 4

    /// A PkgLength (20.2.4) for a body of `count` bytes; the length counts the PkgLength's own bytes too.
    static func packageLength(body count: Int) -> [UInt8] {
        precondition((0...bodyCountMax).contains(count), "an AML package is at most 256 MiB")
        // The first byte alone holds six bits; with more bytes it holds four, and each other byte holds eight.
        if count + 1 < 1 << 6 { return [UInt8(count + 1)] }
        for extra in 1...2 where count + 1 + extra < 1 << (4 + 8 * extra) {
            return spread(count + 1 + extra, extra: extra)
        }
        return spread(count + 4, extra: 3)
    }

    /// A number of bits in a field list, which uses the same encoding but does not count itself.
    static func fieldLength(bits count: Int) -> [UInt8] {
        precondition((0..<1 << 28).contains(count), "an AML field is shorter than 2^28 bits")
        if count < 1 << 6 { return [UInt8(count)] }
        for extra in 1...2 where count < 1 << (4 + 8 * extra) { return spread(count, extra: extra) }
        return spread(count, extra: 3)
    }

    private static func spread(_ value: Int, extra: Int) -> [UInt8] {
        var bytes = [UInt8(extra << 6 | value & 0xf)]
        for index in 0..<extra { bytes.append(UInt8(truncatingIfNeeded: value >> (4 + 8 * index))) }
        return bytes
    }

    /// An opcode followed by a PkgLength and the body it covers.
    static func package(_ opcode: [UInt8], _ body: [UInt8]) -> [UInt8] {
        opcode + packageLength(body: body.count) + body
    }

    /// An integer constant in its shortest form (20.2.3).
    static func integer(_ value: UInt64) -> [UInt8] {
        var writer = ByteWriter()
        switch value {
        case 0, 1: writer.little(UInt8(value))
        case 2...0xff:
            writer.append([0x0a])
            writer.little(UInt8(value))
        case 0x100...0xffff:
            writer.append([0x0b])
            writer.little(UInt16(value))
        case 0x1_0000...0xffff_ffff:
            writer.append([0x0c])
            writer.little(UInt32(value))
        default:
            writer.append([0x0e])
            writer.little(value)
        }
        return writer.bytes
    }

    /// The 32-bit form of an EISA identifier such as `PNP0A08` (19.6.36): three letters of five bits and four hexadecimal
    /// digits, in big-endian order.
    static func eisaIdentifier(_ text: String) -> UInt32 {
        let characters = Array(text.utf8)
        precondition(characters.count == 7, "an EISA identifier has three letters and four digits")
        var value: UInt32 = 0
        for letter in characters[..<3] {
            precondition((0x41...0x5a).contains(letter), "an EISA identifier begins with three capital letters")
            value = value << 5 | UInt32(letter - 0x40)
        }
        guard let number = UInt32(text.suffix(4), radix: 16) else {
            preconditionFailure("an EISA identifier ends in four hexadecimal digits")
        }
        return (value << 16 | number).byteSwapped
    }

    /// The 16 bytes of a UUID in the order of `ToUUID` (19.6.142): the first three groups little-endian, the rest as
    /// written.
    static func uuid(_ text: String) -> [UInt8] {
        let digits = Array(text.utf8.filter { $0 != 0x2d })
        precondition(digits.count == 32, "a UUID has 32 hexadecimal digits")
        let bytes = stride(from: 0, to: 32, by: 2).map { index -> UInt8 in
            guard let byte = UInt8(String(decoding: digits[index..<index + 2], as: UTF8.self), radix: 16) else {
                preconditionFailure("a UUID has only hexadecimal digits")
            }
            return byte
        }
        return [3, 2, 1, 0, 5, 4, 7, 6].map { bytes[$0] } + bytes[8...]
    }
}
