import CLinux

/// An eventfd: a kernel counter that one side adds to and another side waits for and clears.
///
/// It is how a doorbell reaches a device (ioeventfd), a device reaches the interrupt controller (irqfd), and threads
/// wake one another. Signalling and draining neither allocate nor block.
public final class EventFD: Sendable {
    private let descriptor: Descriptor

    /// A non-blocking counter that starts at zero.
    public init() throws(SystemError) {
        descriptor = Descriptor(
            adopting: try retrying("create eventfd") { eventfd(0, CInt(EFD_CLOEXEC | EFD_NONBLOCK)) })
    }

    /// The descriptor's number, borrowed.
    public var raw: CInt { descriptor.raw }

    /// Adds one. A counter at its maximum is already signalled, so a full counter is no error.
    public func signal() { _ = eventfd_write(raw, 1) }

    /// Adds one to an event that is known by its number only: for queue paths, which hold no reference to count.
    public static func signal(raw: CInt) { _ = eventfd_write(raw, 1) }

    /// Whether a signal waits to be drained.
    public var isSignalled: Bool {
        var poll = pollfd(fd: raw, events: Int16(POLLIN), revents: 0)
        return unsafe CLinux.poll(&poll, 1, 0) == 1
    }

    /// Takes the count and sets it to zero.
    ///
    /// - Returns: how often it was signalled since the last call; zero if it was not.
    @discardableResult
    public func drain() -> UInt64 {
        var count: eventfd_t = 0
        return unsafe eventfd_read(raw, &count) == 0 ? count : 0
    }
}
