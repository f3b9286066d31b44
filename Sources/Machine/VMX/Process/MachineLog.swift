public import Linux
import Synchronization

/// The VM's log file, `vmware.log` beside its `.vmx`, in the form administrators know: time, thread, level, text.
///
/// Former logs are kept as `vmware-N.log`, the highest number the youngest.
public final class MachineLog: Sendable {
    public enum Level: String, Sendable {
        case info = "I005"
        case warning = "W003"
        case error = "E001"
    }

    /// How many former logs are kept.
    static let keptMax = 6
    /// Where one VM's log stops growing, in bytes: a guest that makes it grow must not fill the host's disk.
    static let sizeMax = 16 << 20

    private struct State: ~Copyable {
        var file: Descriptor?
        var size = 0
    }

    private let state: Mutex<State>
    private let alsoToStandardError: Bool

    /// Opens `vmware.log` in a directory; a log that is there is kept under another name.
    public init(directory: String, alsoToStandardError: Bool = false) throws(SystemError) {
        self.alsoToStandardError = alsoToStandardError
        let path = directory + "/vmware.log"
        MachineLog.rotate(path, in: directory)
        state = Mutex(State(file: try Descriptor(opening: path, [.writeOnly, .create, .truncate, .append])))
    }

    /// A log that goes to standard error only.
    public init() {
        alsoToStandardError = true
        state = Mutex(State(file: nil))
    }

    private static func rotate(_ path: String, in directory: String) {
        guard fileExists(path) else { return }
        let numbers = ((try? listDirectory(directory)) ?? []).compactMap { name -> Int? in
            guard name.hasPrefix("vmware-"), name.hasSuffix(".log") else { return nil }
            return Int(name.dropFirst(7).dropLast(4))
        }.sorted()
        let next = (numbers.last ?? 0) + 1
        try? renameFile(path, directory + "/vmware-\(next).log")
        for number in numbers.dropLast(keptMax - 1) { removeFile(directory + "/vmware-\(number).log") }
    }

    public func info(_ text: @autoclosure () -> String) { write(.info, text()) }
    public func warning(_ text: @autoclosure () -> String) { write(.warning, text()) }
    public func error(_ text: @autoclosure () -> String) { write(.error, text()) }

    private func write(_ level: Level, _ text: String) {
        // Guests have a say in some texts: one line each, no control characters.
        let clean = String(text.unicodeScalars.map { $0.value < 0x20 || $0.value == 0x7f ? " " : Character($0) })
        let line = "\(timestamp())| vmx| \(level.rawValue): \(clean)\n"
        state.withLock { state in
            if alsoToStandardError { writeToStandardError(line) }
            guard state.size < Self.sizeMax else { return }
            state.size += line.utf8.count
            if state.size >= Self.sizeMax { state.file?.writeAll("log is full; nothing more is written to it\n") }
            state.file?.writeAll(line)
        }
    }
}
