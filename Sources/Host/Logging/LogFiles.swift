import Linux
import Log

/// Log files in a directory on a datastore, one a log: `NAME.log`, and when that is full `NAME.0.log` to `NAME.7.log`, the newest
/// first, as people are used to from ESXi.
final class LogFiles {
    /// A file is put aside when it is longer than this, in bytes.
    static let sizeMax = 1 << 20
    static let generations = 8

    private let directory: String
    private let sizeMax: Int
    private var sizes: [LogName: Int] = [:]

    init(_ directory: String, sizeMax: Int = LogFiles.sizeMax) throws(SystemError) {
        self.directory = directory
        self.sizeMax = sizeMax
        try FileSystem.makeDirectory(directory, permissions: 0o700)
    }

    /// Adds a line: its time, who wrote it, the text.
    func append(_ record: LogRecord) throws(SystemError) {
        let name = LogName(component: record.component)
        let path = "\(directory)/\(name.rawValue).log"
        let line = Array((Self.line(record) + "\n").utf8)
        var size = sizes[name] ?? Int(FileSystem.status(of: path)?.size ?? 0)
        if size > 0, size + line.count > sizeMax {
            try rotate(name)
            size = 0
        }
        // Opened anew each time: a datastore may go away and come back, and must not be held.
        let file = try Descriptor(opening: path, [.writeOnly, .create, .append], permissions: 0o600)
        try file.write(all: line.span, path)
        sizes[name] = size + line.count
    }

    private func rotate(_ name: LogName) throws(SystemError) {
        func path(_ generation: Int) -> String {
            generation < 0 ? "\(directory)/\(name.rawValue).log" : "\(directory)/\(name.rawValue).\(generation).log"
        }
        for generation in (0..<Self.generations).reversed() where fileExists(path(generation - 1)) {
            try renameFile(path(generation - 1), path(generation))
        }
    }

    /// `2026-11-25T12:31:13.250000Z error hostd[123]: text`.
    static func line(_ record: LogRecord) -> String {
        let process = record.process == 0 ? "" : "[\(record.process)]"
        return
            "\(SyslogMessage.timestamp(record.time)) \(record.severity) \(record.component)\(process): \(record.text)"
    }
}
