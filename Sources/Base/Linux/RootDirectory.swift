import CLinux

/// What this process sees as the tree of files.
public enum RootDirectory {
    /// Gives the calling process a mount table of its own, a copy that others' later mounts do not change.
    public static func isolateMounts() throws(SystemError) {
        try retrying("make a mount namespace") { wafer_unshare(WAFER_CLONE_NEWNS) }
        try Mounts.mount("none", on: "/", type: "", [.recursive, .isPrivate])
    }

    /// Makes a directory the root, and the working directory.
    public static func change(to path: String) throws(SystemError) {
        try retrying("change root to", path) { unsafe chroot(path) }
        try retrying("change directory to", "/") { unsafe chdir("/") }
    }

    /// Puts a mounted file system in the place of the initial one, for good.
    public static func replace(with path: String) throws(SystemError) {
        try retrying("change directory to", path) { unsafe chdir(path) }
        try Mounts.mount(".", on: "/", type: "", .move)
        try change(to: ".")
    }
}

extension Launch {
    /// Becomes this process: the executable takes the place of the one that runs, with its process ID. Signals that were
    /// blocked are blocked no more. `directory` and `descriptors` do not count.
    ///
    /// - Returns: only if that fails.
    public func replaceThisProcess() -> SystemError {
        var signals = sigset_t()
        unsafe sigfillset(&signals)
        unsafe pthread_sigmask(SIG_UNBLOCK, &signals, nil)
        return unsafe withCStrings(arguments) { arguments in
            unsafe withCStrings(environment) { environment in
                _ = unsafe execve(path, arguments, environment)
                return SystemError.last("run", path)
            }
        }
    }
}

/// Limits of this process and of those it starts.
public enum ResourceLimits {
    /// Lets it have this many descriptors.
    public static func setDescriptors(soft: UInt, hard: UInt) throws(SystemError) {
        var limit = rlimit(rlim_cur: rlim_t(soft), rlim_max: rlim_t(hard))
        try retrying("set the limit of descriptors") {
            unsafe setrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit)
        }
    }
}
