import HostLink
import Linux
import Log
import LogService

/// `wafer log [NAME]`: shows a log, or which there are.
public enum LogCommand {
    private static let usage = """
        usage: wafer log [[-f] [-n COUNT] NAME]

        Shows the latest lines of a log; without a name, which logs there are.

          -n COUNT  how many lines; 100 without it
          -f        goes on with what is written from now on

        """

    public static func run(_ arguments: [String]) -> Int32 {
        var count: UInt32 = 100
        var follows = false
        var name: String?
        var rest = arguments[...]
        while let word = rest.popFirst() {
            switch word {
            case "-f": follows = true
            case "-n":
                guard let number = rest.popFirst().flatMap({ UInt32($0) }) else { return misused() }
                count = number
            case "--help", "-h":
                writeToStandardOutput(usage)
                return 0
            default:
                guard name == nil, !word.hasPrefix("-") else { return misused() }
                name = word
            }
        }
        do throws(ServiceError) {
            let client = try ServiceClient(ServiceAddress.log)
            guard let name else {
                for log in try client.ask(ListLogs()) {
                    writeToStandardOutput("\(log.name)\t\(log.next - log.first) lines\t\(log.title)\n")
                }
                return 0
            }
            try show(name, count: count, follows: follows, client)
            return 0
        } catch {
            writeToStandardError("wafer log: \(error)\n")
            return 1
        }
    }

    private static func misused() -> Int32 {
        writeToStandardError(usage)
        return 64
    }

    private static func show(_ name: String, count: UInt32, follows: Bool, _ client: ServiceClient) throws(ServiceError)
    {
        var left = count
        var from = ReadLog.last
        while left > 0 || follows {
            let answer = try client.ask(
                ReadLog(name: name, from: from, count: from == ReadLog.last || !follows ? left : 1000))
            for line in answer.lines {
                let record = LogRecord(
                    time: line.time, severity: LogSeverity(rawValue: line.severity) ?? .debug,
                    component: line.component, process: line.process, text: line.text)
                writeToStandardOutput(LogFiles.line(record) + "\n")
            }
            from = answer.next
            left -= min(left, UInt32(truncatingIfNeeded: answer.lines.count))
            if answer.lines.isEmpty {
                if !follows { return }
                // The service has no event for this; half a second is soon enough for eyes.
                _ = try? poll([], milliseconds: 500)
            }
        }
    }
}
