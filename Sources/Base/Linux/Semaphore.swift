import CLinux

/// Lets one thread wait for another. A signal given before the wait is not lost.
@safe public final class Semaphore: @unchecked Sendable {
    // @unchecked: the kernel's semaphore is made for concurrent use; the pointer never changes.
    private let semaphore: UnsafeMutablePointer<sem_t>

    public init(_ count: UInt32 = 0) {
        unsafe semaphore = .allocate(capacity: 1)
        unsafe semaphore.initialize(to: sem_t())
        _ = unsafe sem_init(semaphore, 0, count)
    }

    deinit {
        _ = unsafe sem_destroy(semaphore)
        unsafe semaphore.deallocate()
    }

    /// Lets one waiter, now or later, go on.
    public func signal() { _ = unsafe sem_post(semaphore) }

    /// Waits for a signal.
    public func wait() {
        while unsafe sem_wait(semaphore) != 0 {}
    }
}
