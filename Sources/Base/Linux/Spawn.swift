import CLinux

/// How a process ended.
public enum ExitStatus: Equatable, Sendable, CustomStringConvertible {
    /// It returned this status.
    case exited(UInt8)
    /// This signal ended it.
    case signalled(CInt)

    init(waitStatus: CInt) {
        let signal = waitStatus & 0x7f
        self = signal == 0 ? .exited(UInt8(truncatingIfNeeded: waitStatus >> 8)) : .signalled(signal)
    }

    public var description: String {
        switch self {
        case .exited(let status): "ended with status \(status)"
        case .signalled(let number): "was ended by signal \(number)"
        }
    }
}

/// A process to start, described before it is.
public struct Launch: Sendable {
    /// The executable's path.
    public var path: String
    /// Its arguments, the name it is called by first.
    public var arguments: [String]
    /// `NAME=value` strings.
    public var environment: [String]
    /// Where it works; nil for where its parent does.
    public var directory: String?
    /// Descriptors, borrowed until `start` returns, that it gets as 0, 1, 2 and so on. Everything else stays here.
    public var descriptors: [CInt]

    public init(
        path: String, arguments: [String], environment: [String] = [], directory: String? = nil,
        descriptors: [CInt] = [0, 1, 2]
    ) {
        self.path = path
        self.arguments = arguments
        self.environment = environment
        self.directory = directory
        self.descriptors = descriptors
    }

    /// Starts it in a session and process group of its own, with all signals at their defaults and none blocked.
    ///
    /// - Returns: its process ID, which is also that of its group.
    public func start() throws(SystemError) -> Int32 {
        var actions = unsafe posix_spawn_file_actions_t()
        unsafe posix_spawn_file_actions_init(&actions)
        defer { _ = unsafe posix_spawn_file_actions_destroy(&actions) }
        // A wanted number may be the source of a later one (1 -> 0, 0 -> 1): go through numbers above all of them.
        let above = CInt(max(descriptors.count, Int(descriptors.max() ?? 0) + 1))
        for (index, source) in descriptors.enumerated() {
            _ = unsafe posix_spawn_file_actions_adddup2(&actions, source, above + CInt(index))
        }
        for index in descriptors.indices {
            _ = unsafe posix_spawn_file_actions_adddup2(&actions, above + CInt(index), CInt(index))
            _ = unsafe posix_spawn_file_actions_addclose(&actions, above + CInt(index))
        }
        if let directory { _ = unsafe wafer_spawn_add_chdir(&actions, directory) }

        var attributes = posix_spawnattr_t()
        unsafe posix_spawnattr_init(&attributes)
        defer { _ = unsafe posix_spawnattr_destroy(&attributes) }
        var signals = sigset_t()
        unsafe sigemptyset(&signals)
        unsafe posix_spawnattr_setsigmask(&attributes, &signals)
        unsafe sigfillset(&signals)
        unsafe posix_spawnattr_setsigdefault(&attributes, &signals)
        let flags = WAFER_SPAWN_SETSID | WAFER_SPAWN_SETSIGMASK | WAFER_SPAWN_SETSIGDEF
        unsafe posix_spawnattr_setflags(&attributes, flags)

        var process: pid_t = 0
        let number = unsafe withCStrings(arguments) { arguments in
            unsafe withCStrings(environment) { environment in
                unsafe posix_spawn(&process, path, &actions, &attributes, arguments, environment)
            }
        }
        guard number == 0 else { throw SystemError(number: number, operation: "start", subject: path) }
        return process
    }
}

/// Processes started here.
public enum Child {
    /// Takes one ended child, if there is any.
    public static func reap() -> (process: Int32, status: ExitStatus)? {
        var status: CInt = 0
        while true {
            let process = unsafe waitpid(-1, &status, WNOHANG)
            if process > 0 { return (process, ExitStatus(waitStatus: status)) }
            if process == 0 || wafer_errno() != EINTR { return nil }
        }
    }

    /// Waits until one child has ended.
    public static func wait(for process: Int32) throws(SystemError) -> ExitStatus {
        var status: CInt = 0
        try retrying("wait for process", "\(process)") { unsafe waitpid(process, &status, 0) }
        return ExitStatus(waitStatus: status)
    }

    /// Whether there is any child, ended or not, that was not reaped.
    public static var existsAny: Bool {
        var information = unsafe siginfo_t()
        return unsafe waitid(P_ALL, 0, &information, WEXITED | WNOHANG | WNOWAIT) == 0
    }

    /// Sends a signal to a process, or with a negative number to a process group; one that has ended is no error.
    public static func signal(_ process: Int32, _ number: CInt) { _ = kill(process, number) }
}

/// Calls `body` with a null-terminated array of C strings.
func withCStrings<Result>(
    _ strings: [String], _ body: (UnsafePointer<UnsafeMutablePointer<CChar>?>) -> Result
) -> Result {
    var pointers: [UnsafeMutablePointer<CChar>?] = unsafe strings.map { unsafe strdup($0) }
    unsafe pointers.append(nil)
    defer { unsafe pointers.forEach { unsafe free($0) } }
    return unsafe pointers.withUnsafeBufferPointer { buffer in
        guard let base = buffer.baseAddress else { preconditionFailure("an array with a terminator is not empty") }
        return unsafe body(base)
    }
}
