/// What a process sends to the log agent's socket: `<SEVERITY>COMPONENT[PROCESS]: TEXT`, one or more lines. See
/// docs/formats/log.md.
public enum LogDatagram {
    /// More than this is not read, in bytes.
    public static let bytesMax = LogRecord.textMax + 64
    /// Lines that one message may have; the rest is left out.
    public static let linesMax = 64

    public static func encode(_ severity: LogSeverity, component: String, process: UInt32, text: String) -> [UInt8] {
        Array("<\(severity.rawValue)>\(component)[\(process)]: ".utf8) + text.utf8.prefix(LogRecord.textMax)
    }

    /// Reads a message from whomever. One that has another form is kept whole, as a notice of an unknown component.
    ///
    /// - Parameter time: when it came, in nanoseconds since 1970.
    public static func parse(_ bytes: [UInt8], time: UInt64) -> [LogRecord] {
        let head = parseHead(bytes)
        return bytes[(head?.end ?? 0)...]
            .split(separator: 10, maxSplits: linesMax, omittingEmptySubsequences: true)
            .prefix(linesMax)
            .map { line in
                LogRecord(
                    time: time, severity: head?.severity ?? .notice, component: head?.component ?? "unknown",
                    process: head?.process ?? 0, text: LogRecord.line(line))
            }
    }

    private static func parseHead(
        _ bytes: [UInt8]
    ) -> (severity: LogSeverity, component: String, process: UInt32, end: Int)? {
        guard bytes.count > 3, bytes[0] == UInt8(ascii: "<"), bytes[2] == UInt8(ascii: ">"),
            bytes[1] >= UInt8(ascii: "0"), let severity = LogSeverity(rawValue: bytes[1] &- UInt8(ascii: "0"))
        else { return nil }
        let limit = min(bytes.count, 3 + LogRecord.componentMax + 16)
        guard let colon = bytes[3..<limit].firstIndex(of: UInt8(ascii: ":")), colon + 1 < bytes.count,
            bytes[colon + 1] == 32
        else { return nil }
        let who = bytes[3..<colon]
        let name = who.prefix { $0 != UInt8(ascii: "[") }
        guard let component = LogRecord.component(name) else { return nil }
        var process: UInt32 = 0
        if name.endIndex < colon {
            guard who.last == UInt8(ascii: "]") else { return nil }
            let digits = who[(name.endIndex + 1)...].dropLast()
            guard digits.allSatisfy({ (48...57).contains($0) }),
                let number = UInt32(String(decoding: digits, as: UTF8.self))
            else { return nil }
            process = number
        }
        return (severity, component, process, colon + 2)
    }
}
