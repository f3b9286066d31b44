import Linux
public import Log

/// Syslog messages as RFC 5424 writes them.
public enum SyslogMessage {
    /// Facilities of RFC 5424, section 6.2.1, table 1.
    private static let kernel: UInt8 = 0
    private static let daemon: UInt8 = 3
    private static let authentication: UInt8 = 10

    /// `<PRI>1 TIMESTAMP HOSTNAME APP-NAME PROCID - - MESSAGE` (section 6). The message goes without byte order mark, as
    /// "MSG-ANY": receivers show the mark as rubbish.
    public static func encode(_ record: LogRecord, hostName: String) -> [UInt8] {
        let facility =
            switch record.component {
            case "kernel": kernel
            case "auth": authentication
            default: daemon
            }
        let process = record.process == 0 ? "-" : "\(record.process)"
        let header =
            "<\(facility * 8 + record.severity.rawValue)>1 \(timestamp(record.time)) \(name(hostName)) "
            + "\(name(record.component)) \(process) - - "
        return Array(header.utf8) + record.text.utf8
    }

    /// The message in a stream: its length in decimal, a space, the message (RFC 6587, section 3.4.1).
    public static func counted(_ message: [UInt8]) -> [UInt8] { Array("\(message.count) ".utf8) + message }

    /// `2026-11-25T12:31:13.250000Z`, from nanoseconds since 1970 (section 6.2.3).
    public static func timestamp(_ time: UInt64) -> String {
        let calendar = CalendarTime(secondsSince1970: Int64(time / 1_000_000_000))
        func padded(_ value: Int, _ width: Int) -> String {
            let digits = String(value)
            return String(repeating: "0", count: max(0, width - digits.utf8.count)) + digits
        }
        let date = "\(padded(calendar.year, 4))-\(padded(calendar.month, 2))-\(padded(calendar.day, 2))"
        let clock = "\(padded(calendar.hour, 2)):\(padded(calendar.minute, 2)):\(padded(calendar.second, 2))"
        return "\(date)T\(clock).\(padded(Int(time % 1_000_000_000 / 1000), 6))Z"
    }

    /// Printable ASCII without spaces; `-` if there is nothing (section 6).
    private static func name(_ text: String) -> String {
        let bytes = text.utf8.filter { $0 > 32 && $0 < 127 }.prefix(255)
        return bytes.isEmpty ? "-" : String(decoding: bytes, as: UTF8.self)
    }
}
