import Linux
import Log

/// What PID 1 tells a person: on the machine's console, with the time since power-on, and in the log.
final class Console {
    private let log: Log
    /// Whether there is a log to write to.
    var isLogged = false
    /// Whether the console's screen belongs to somebody else now, the direct console.
    var isQuiet = false

    init(_ log: Log) { self.log = log }

    /// Says something that went as it should.
    func note(_ text: String) { say(.notice, text) }

    /// Says something that went wrong and what that means.
    func warn(_ text: String) { say(.warning, text) }

    private func say(_ severity: LogSeverity, _ text: String) {
        if isLogged { log.write(severity, text) }
        if isQuiet { return }
        let milliseconds = monotonicNanoseconds() / 1_000_000
        let seconds = "\(milliseconds / 1000)"
        let fraction = "\(1000 + milliseconds % 1000)".dropFirst()
        let padding = String(repeating: " ", count: max(0, 4 - seconds.utf8.count))
        let warning = severity == .warning ? "warning: " : ""
        writeToStandardError("[\(padding)\(seconds).\(fraction)] wafer: \(warning)\(text)\n")
    }
}
