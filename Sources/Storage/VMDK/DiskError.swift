public import Linux

/// Why a disk image cannot be used.
public enum DiskError: Error, Equatable, Sendable, CustomStringConvertible {
    /// The host refused an operation.
    case system(SystemError)
    /// A descriptor is not what a descriptor must be. The line is counted from 1; nil if something is missing.
    case malformed(file: String, line: Int?, String)
    /// The image is of a kind Wafer does not have yet; the text names it.
    case notSupported(file: String, String)
    /// The image asks for something it may not have, or what it names does not fit.
    case refused(file: String, String)
    /// Somebody else uses it; empty if they left no name.
    case inUse(file: String, [LockHolder])

    public var description: String {
        switch self {
        case .system(let error): return error.description
        case .malformed(let file, let line, let reason):
            return line.map { "\(file):\($0): \(reason)" } ?? "\(file): \(reason)"
        case .notSupported(let file, let what): return "disk \(file): \(what) is not supported yet"
        case .refused(let file, let reason): return "disk \(file): \(reason)"
        case .inUse(let file, let holders):
            let names = holders.map(\.description).joined(separator: ", ")
            return "disk \(file) is in use by \(names.isEmpty ? "another process" : names)"
        }
    }
}
