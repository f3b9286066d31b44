import CLinux
import Synchronization

/// A plain kernel thread, for work that blocks in the kernel and must not share a pool: vCPUs and I/O loops.
public final class Thread: Sendable {
    private final class Start: Sendable {
        let name: String
        let body: @Sendable () -> Void
        init(name: String, body: @escaping @Sendable () -> Void) {
            self.name = name
            self.body = body
        }
    }

    /// The thread's name as `ps` and `top` show it; the kernel keeps its first 15 bytes.
    public let name: String
    private let handle: pthread_t
    private let joined = Atomic<Bool>(false)

    /// Size of a thread's stack, in bytes. Less than a huge page: into the 8 MiB that are usual the kernel puts one of 2 MiB as soon as
    /// a byte is touched, if the place suits it.
    private static let stackSize = 1 << 20

    /// Starts a thread that runs `body` and ends with it.
    public init(name: String, _ body: @escaping @Sendable () -> Void) throws(SystemError) {
        self.name = name
        var handle = pthread_t()
        let start = unsafe Unmanaged.passRetained(Start(name: name, body: body))
        var attributes = pthread_attr_t()
        unsafe pthread_attr_init(&attributes)
        unsafe pthread_attr_setstacksize(&attributes, Self.stackSize)
        let result = unsafe pthread_create(&handle, &attributes, threadMain, start.toOpaque())
        unsafe pthread_attr_destroy(&attributes)
        guard result == 0 else {
            unsafe start.release()
            throw SystemError(number: result, operation: "start thread", subject: name)
        }
        self.handle = handle
    }

    deinit {
        if !joined.load(ordering: .acquiring) { pthread_detach(handle) }
    }

    /// Waits until the body has returned. Only the first call waits.
    public func join() {
        if joined.exchange(true, ordering: .acquiringAndReleasing) { return }
        _ = pthread_join(handle, nil)
    }

    /// Makes a blocking system call of this thread return `EINTR`. `installWakeup()` must have run in this process.
    ///
    /// The thread must not have ended yet.
    public func wakeUp() { _ = pthread_kill(handle, wafer_sigrtmin()) }

    /// Installs the empty handler behind `wakeUp()`; once a process.
    public static func installWakeup() throws(SystemError) {
        try retrying("install the wake-up signal") { wafer_install_wakeup_handler(wafer_sigrtmin()) }
    }

    fileprivate static func run(_ context: UnsafeMutableRawPointer) {
        // Balances passRetained in init.
        let start = unsafe Unmanaged<Start>.fromOpaque(context).takeRetainedValue()
        _ = unsafe wafer_set_thread_name(String(start.name.prefix(15)))
        start.body()
    }
}

private nonisolated func threadMain(_ context: UnsafeMutableRawPointer?) -> UnsafeMutableRawPointer? {
    if let context = unsafe context { unsafe Thread.run(context) }
    return nil
}
