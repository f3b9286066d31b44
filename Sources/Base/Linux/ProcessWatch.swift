import CLinux

/// Tells when a process ends, whosever child it is, and signals exactly that process: the number may be another's by then, the
/// kernel's descriptor of it is not (pidfd_open(2)).
public final class ProcessWatch: EventHandler, @unchecked Sendable {
    // @unchecked: belongs to the loop's thread.

    /// The process's number.
    public let process: Int32
    private let descriptor: Descriptor
    private let loop: EventLoop
    private var ended: ((ExitStatus?) -> Void)?

    /// Watches a process that is there.
    ///
    /// - Parameter ended: runs once on the loop's thread. A child of this process is reaped then, and gives its status; nil for
    ///   another's child.
    /// - Throws: ESRCH (`isNoProcess`) if it has ended already and was reaped.
    public init(_ process: Int32, on loop: EventLoop, _ ended: @escaping (ExitStatus?) -> Void) throws(SystemError) {
        self.process = process
        self.loop = loop
        self.ended = ended
        descriptor = Descriptor(
            adopting: try retrying("watch process", "\(process)") { wafer_pidfd_open(process) })
        super.init()
        try loop.watch(descriptor.raw, for: .readable, self)
    }

    /// Sends a signal; a process that has ended is no error.
    public func signal(_ number: CInt) { _ = wafer_pidfd_send_signal(descriptor.raw, number) }

    /// Stops watching. The process is not reaped.
    public func close() {
        guard ended != nil else { return }
        ended = nil
        loop.unwatch(descriptor.raw)
    }

    public override func ready(_ events: Readiness) {
        guard let ended else { return }
        close()
        ended(Child.reap(process))
    }
}

extension Child {
    /// Takes one child if it has ended; nil if it runs, or is no child of this process.
    public static func reap(_ process: Int32) -> ExitStatus? {
        var status: CInt = 0
        while true {
            let result = unsafe waitpid(process, &status, WNOHANG)
            if result == process { return ExitStatus(waitStatus: status) }
            if result == 0 || wafer_errno() != EINTR { return nil }
        }
    }
}

extension SystemError {
    /// ESRCH: there is no such process.
    public var isNoProcess: Bool { number == ESRCH }
}
