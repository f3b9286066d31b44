/// How a VM's process ends, after BSD's sysexits.
public enum ExitCode: Int32, Sendable {
    /// The guest powered off, or was powered off.
    case done = 0
    /// The guest crashed: KVM could not go on with it.
    case crashed = 1
    case usage = 64
    /// The `.vmx` file or a disk image is not usable.
    case configuration = 65
    /// There is no KVM here.
    case unavailable = 69
    /// A system call failed.
    case system = 71
    /// The VM or one of its disks is in use.
    case busy = 75
}

/// Why a VM cannot be started.
public struct StartFailure: Error, Sendable, CustomStringConvertible {
    public var code: ExitCode
    public var description: String

    public init(_ code: ExitCode, _ description: String) {
        self.code = code
        self.description = description
    }
}
