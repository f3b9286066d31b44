public import Log

/// A record of `/dev/kmsg` (Linux: Documentation/ABI/testing/dev-kmsg):
///
///     PRIORITY,SEQUENCE,MICROSECONDS,FLAGS[,…];TEXT
///      KEY=VALUE
///
/// PRIORITY holds the severity in its lowest three bits, and above them the facility: 0 for the kernel's own.
public struct KernelMessage: Equatable, Sendable {
    /// The kernel hands out no longer ones (CONSOLE_EXT_LOG_MAX and the log line's limit), in bytes.
    public static let bytesMax = 8192

    public var severity: LogSeverity
    /// Whether a process wrote it to `/dev/kmsg`, not the kernel itself.
    public var isForeign: Bool
    public var sequence: UInt64
    /// Since the kernel's clock started.
    public var microseconds: UInt64
    public var text: String

    /// - Returns: nil for what has another form.
    public init?(_ bytes: [UInt8]) {
        guard let semicolon = bytes.firstIndex(of: UInt8(ascii: ";")) else { return nil }
        let fields = bytes[..<semicolon].split(separator: UInt8(ascii: ","), omittingEmptySubsequences: false)
        guard fields.count >= 4, let priority = Self.number(fields[0]), let sequence = Self.number(fields[1]),
            let microseconds = Self.number(fields[2]),
            let severity = LogSeverity(rawValue: UInt8(truncatingIfNeeded: priority & 7))
        else { return nil }
        self.severity = severity
        isForeign = priority >> 3 != 0
        self.sequence = sequence
        self.microseconds = microseconds
        text = LogRecord.line(Self.unescaped(bytes[(semicolon + 1)...].prefix { $0 != 10 }))
    }

    private static func number(_ digits: ArraySlice<UInt8>) -> UInt64? {
        guard digits.allSatisfy({ (48...57).contains($0) }) else { return nil }
        return UInt64(String(decoding: digits, as: UTF8.self))
    }

    /// Bytes that are not printable ASCII stand as `\xNN` there.
    private static func unescaped(_ text: ArraySlice<UInt8>) -> [UInt8] {
        var result: [UInt8] = []
        result.reserveCapacity(text.count)
        var rest = text
        while let byte = rest.popFirst() {
            if byte == UInt8(ascii: "\\"), rest.first == UInt8(ascii: "x"), rest.count >= 3,
                let high = hexadecimal(rest[rest.startIndex + 1]), let low = hexadecimal(rest[rest.startIndex + 2])
            {
                result.append(high << 4 | low)
                rest.removeFirst(3)
            } else {
                result.append(byte)
            }
        }
        return result
    }

    private static func hexadecimal(_ digit: UInt8) -> UInt8? {
        switch digit {
        case UInt8(ascii: "0")...UInt8(ascii: "9"): digit - UInt8(ascii: "0")
        case UInt8(ascii: "a")...UInt8(ascii: "f"): digit - UInt8(ascii: "a") + 10
        case UInt8(ascii: "A")...UInt8(ascii: "F"): digit - UInt8(ascii: "A") + 10
        default: nil
        }
    }
}
