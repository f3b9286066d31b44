/// One line of a log.
public struct LogRecord: Equatable, Sendable {
    /// Longer text is cut, in bytes.
    public static let textMax = 8192
    /// Longer names are cut, in bytes.
    public static let componentMax = 32

    /// When it was written, in nanoseconds since 1970 (UTC).
    public var time: UInt64
    public var severity: LogSeverity
    /// Who wrote it: `hostd`, `kernel`.
    public var component: String
    /// The writer's process ID; 0 if there is none.
    public var process: UInt32
    /// One line without control characters.
    public var text: String

    public init(time: UInt64, severity: LogSeverity, component: String, process: UInt32, text: String) {
        self.time = time
        self.severity = severity
        self.component = component
        self.process = process
        self.text = text
    }

    /// Text fit for a line of a log: at most `textMax` bytes of UTF-8, every control character a space.
    public static func line(_ bytes: some Collection<UInt8>) -> String {
        var text = String(decoding: bytes.prefix(textMax).map { $0 < 32 || $0 == 127 ? 32 : $0 }, as: UTF8.self)
        // A character cut at the end, or a byte that was none, may have grown by its replacement.
        while text.utf8.count > textMax { text.unicodeScalars.removeLast() }
        return text
    }

    /// A name fit for a component: letters, digits, `.`, `_` and `-`; nil if nothing else is there.
    public static func component(_ bytes: some Collection<UInt8>) -> String? {
        guard !bytes.isEmpty, bytes.count <= componentMax, bytes.allSatisfy(isNameByte) else { return nil }
        return String(decoding: bytes, as: UTF8.self)
    }

    private static func isNameByte(_ byte: UInt8) -> Bool {
        switch byte {
        case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
            UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "."), UInt8(ascii: "_"), UInt8(ascii: "-"):
            true
        default: false
        }
    }
}
