/// How much a log message matters: the severities of syslog (RFC 5424, section 6.2.1, table 2).
public enum LogSeverity: UInt8, Sendable, Comparable, CaseIterable {
    case emergency = 0
    case alert
    case critical
    case error
    case warning
    case notice
    case info
    case debug

    /// The more serious is the smaller.
    public static func < (left: LogSeverity, right: LogSeverity) -> Bool { left.rawValue < right.rawValue }
}
