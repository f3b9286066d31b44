/// How a text file written by VMware's products stores characters: they name it on a line of the file.
public enum TextEncoding: Equatable, Sendable {
    case utf8
    /// Microsoft code page 1252: Latin-1 with printable characters at 0x80-0x9f.
    case windows1252
    /// ISO 8859-1: every byte is the code point of that number.
    case latin1

    /// The encoding of this name; nil if it is none of these. Capitals do not matter.
    public init?(name: String) {
        switch name.lowercased() {
        case "utf-8", "utf8", "us-ascii", "ascii": self = .utf8
        case "windows-1252", "cp1252": self = .windows1252
        case "iso-8859-1", "iso_8859-1", "latin1": self = .latin1
        default: return nil
        }
    }

    /// Its usual name, as VMware writes it.
    public var name: String {
        switch self {
        case .utf8: "UTF-8"
        case .windows1252: "windows-1252"
        case .latin1: "ISO-8859-1"
        }
    }

    /// The text these bytes stand for; nil if they stand for none in this encoding.
    public func decode(_ bytes: some Collection<UInt8>) -> String? {
        switch self {
        case .utf8: return String(validating: bytes, as: UTF8.self)
        case .latin1:
            var text = ""
            for byte in bytes { text.unicodeScalars.append(Unicode.Scalar(byte)) }
            return text
        case .windows1252:
            var text = ""
            for byte in bytes {
                guard let scalar = Self.scalar(windows1252: byte) else { return nil }
                text.unicodeScalars.append(scalar)
            }
            return text
        }
    }

    /// The bytes of a text; nil if the encoding lacks one of its characters.
    public func encode(_ text: String) -> [UInt8]? {
        switch self {
        case .utf8: return Array(text.utf8)
        case .latin1:
            var bytes: [UInt8] = []
            for scalar in text.unicodeScalars {
                guard let byte = UInt8(exactly: scalar.value) else { return nil }
                bytes.append(byte)
            }
            return bytes
        case .windows1252:
            var bytes: [UInt8] = []
            for scalar in text.unicodeScalars {
                guard let byte = Self.byte(windows1252: scalar) else { return nil }
                bytes.append(byte)
            }
            return bytes
        }
    }

    /// Code points of bytes 0x80-0x9f in code page 1252; zero where it defines none.
    private static let windows1252High: [UInt32] = [
        0x20ac, 0, 0x201a, 0x0192, 0x201e, 0x2026, 0x2020, 0x2021, 0x02c6, 0x2030, 0x0160, 0x2039, 0x0152, 0, 0x017d,
        0, 0, 0x2018, 0x2019, 0x201c, 0x201d, 0x2022, 0x2013, 0x2014, 0x02dc, 0x2122, 0x0161, 0x203a, 0x0153, 0,
        0x017e, 0x0178,
    ]

    private static func scalar(windows1252 byte: UInt8) -> Unicode.Scalar? {
        guard (0x80...0x9f).contains(byte) else { return Unicode.Scalar(byte) }
        let value = windows1252High[Int(byte) - 0x80]
        return value == 0 ? nil : Unicode.Scalar(value)
    }

    private static func byte(windows1252 scalar: Unicode.Scalar) -> UInt8? {
        if let index = windows1252High.firstIndex(of: scalar.value), scalar.value != 0 { return UInt8(0x80 + index) }
        guard let byte = UInt8(exactly: scalar.value), !(0x80...0x9f).contains(byte) else { return nil }
        return byte
    }
}
