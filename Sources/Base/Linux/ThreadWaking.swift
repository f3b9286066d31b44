import CLinux

/// Waking threads by their kernel number, where the `Thread` object is not at hand. A number that belongs to no thread
/// any more is no error, so that no lifetime needs watching.
extension Thread {
    /// The kernel's number of the calling thread.
    public static var currentNumber: CInt { wafer_gettid() }

    /// Makes a blocking system call of a thread of this process return `EINTR`. `installWakeup()` must have run.
    public static func wakeUp(number: CInt) { _ = wafer_tgkill(getpid(), number, wafer_sigrtmin()) }

    /// Lets the wake-up signal through to the calling thread, whose creator may have had it blocked.
    public static func unblockWakeup() throws(SystemError) {
        var set = sigset_t()
        _ = unsafe sigemptyset(&set)
        _ = unsafe sigaddset(&set, wafer_sigrtmin())
        let error = unsafe pthread_sigmask(SIG_UNBLOCK, &set, nil)
        guard error == 0 else { throw SystemError(number: error, operation: "unblock the wake-up signal") }
    }
}
