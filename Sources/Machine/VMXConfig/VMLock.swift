public import Linux

/// The right to run a virtual machine: one process at a time has it.
///
/// It is a lock on `NAME.vmx.lck` beside the `.vmx` file, because the `.vmx` itself is replaced when it is saved. The kernel
/// drops it when the holder dies, so a crash leaves nothing that must be cleared away.
public final class VMLock: Sendable {
    private let file: LockFile

    /// Why a machine cannot be had.
    public enum Failure: Error, Equatable, Sendable, CustomStringConvertible {
        /// Somebody runs it.
        case running(file: String, LockHolder?)
        case system(SystemError)

        public var description: String {
            switch self {
            case .running(let file, let holder):
                "virtual machine \(file) is in use by \(holder.map(\.description) ?? "another process")"
            case .system(let error): error.description
            }
        }
    }

    /// Takes the machine.
    ///
    /// - Parameters:
    ///   - path: the `.vmx` file. Symbolic links to it lead to the same lock.
    ///   - holder: whom others will be told about.
    public init(_ path: String, holder: LockHolder) throws(Failure) {
        let real: String
        do { real = try Files.resolve(path) } catch { throw .system(error) }
        do {
            file = try LockFile(real + ".lck", holder: holder)
        } catch {
            switch error {
            case .held(let holders): throw .running(file: path, holders.first)
            case .system(let error): throw .system(error)
            }
        }
    }

    /// Who runs the machine now; nil if nobody does or nobody left a name.
    public static func holder(of path: String) -> LockHolder? {
        guard let real = try? Files.resolve(path) else { return nil }
        return LockFile.holders(of: real + ".lck").first
    }
}
