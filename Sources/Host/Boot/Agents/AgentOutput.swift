import Linux
import Log

/// What an agent writes to standard error: a line of the log each.
final class AgentOutput {
    private let name: String
    private let log: Log
    private let source: Descriptor
    private var line: [UInt8] = []
    /// False when nobody can write any more.
    private(set) var isOpen = true

    /// - Parameter source: the reading end of the agent's pipe.
    init(_ name: String, _ source: consuming Descriptor, _ log: Log) throws(SystemError) {
        try source.setNonBlocking()
        self.name = name
        self.log = log
        self.source = source
    }

    func watch() -> Watch? {
        isOpen ? Watch(source.raw, .readable) { [unowned self] _ in self.read() } : nil
    }

    /// Takes what is there; what an agent that ended said last is there still.
    func read() {
        guard isOpen, let bytes = source.readAvailable() else { return }
        if bytes.isEmpty {
            isOpen = false
            if !line.isEmpty { write() }
            return
        }
        for byte in bytes {
            if byte != 10 { line.append(byte) }
            if byte == 10 || line.count >= LogRecord.textMax { write() }
        }
    }

    private func write() {
        if !line.isEmpty { log.write(.warning, LogRecord.line(line), as: name) }
        line.removeAll(keepingCapacity: true)
    }
}
