public import Linux
public import Log
public import LogService

/// All the logs of the host, in memory.
public final class LogStore {
    private var rings: [LogName: LogRing] = [:]

    /// - Parameter directory: on a file system in memory; made if it is missing.
    public init(_ directory: String) throws(SystemError) {
        try FileSystem.makeDirectory(directory, permissions: 0o700)
        for name in LogName.allCases {
            rings[name] = try LogRing("\(directory)/\(name.rawValue)", capacity: name.capacity)
        }
    }

    /// The sequence number of the kernel message after the last one that was stored.
    public var kernelSequence: UInt64 { rings[.vmkernel]?.mark ?? 0 }

    public func append(_ record: LogRecord, kernelSequence: UInt64? = nil) throws(SystemError) {
        try rings[LogName(component: record.component)]?.append(record, mark: kernelSequence)
    }

    public func list() -> [ListLogs.Entry] {
        LogName.allCases.compactMap { name in
            rings[name].map {
                ListLogs.Entry(name: name.rawValue, title: name.title, first: $0.first, next: $0.next)
            }
        }
    }

    /// - Returns: nil if there is no such log.
    public func read(_ call: ReadLog) -> ReadLog.Answer? {
        guard let name = LogName(rawValue: call.name), let ring = rings[name] else { return nil }
        let wanted = UInt64(call.count)
        let start = call.from == ReadLog.last ? (ring.next > wanted ? ring.next - wanted : 0) : call.from
        let lines = ring.lines(from: start, count: Int(call.count)).map { number, record in
            LogLine(
                number: number, time: record.time, severity: record.severity.rawValue, component: record.component,
                process: record.process, text: record.text)
        }
        return ReadLog.Answer(
            first: ring.first, next: lines.last.map { $0.number + 1 } ?? min(max(start, ring.first), ring.next),
            lines: lines)
    }
}
