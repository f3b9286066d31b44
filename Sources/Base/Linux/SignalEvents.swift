import CLinux

/// Delivers signals as events on a loop instead of interrupting whoever runs.
public final class SignalEvents: EventHandler, @unchecked Sendable {
    /// The signals a daemon listens to.
    public enum Signal: CInt, Sendable {
        case terminate = 15
        case interrupt = 2
        case hangUp = 1
        case child = 17
        /// The terminal's window has another size.
        case windowChange = 28
    }

    private let descriptor: Descriptor
    private let received: (Signal) -> Void

    /// Blocks signals in the calling thread, and so in all threads it makes from now on: call before there are others.
    public static func block(_ signals: [Signal]) throws(SystemError) {
        var set = Self.set(signals)
        let result = unsafe pthread_sigmask(SIG_BLOCK, &set, nil)
        if result != 0 { throw SystemError(number: result, operation: "block signals") }
    }

    private static func set(_ signals: [Signal]) -> sigset_t {
        var set = sigset_t()
        _ = unsafe sigemptyset(&set)
        for signal in signals { _ = unsafe sigaddset(&set, signal.rawValue) }
        return set
    }

    /// Takes signals that are blocked in every thread.
    public init(_ signals: [Signal], on loop: EventLoop, _ received: @escaping (Signal) -> Void) throws(SystemError) {
        var set = Self.set(signals)
        descriptor = Descriptor(
            adopting: try retrying("create signalfd") {
                unsafe signalfd(-1, &set, CInt(SFD_CLOEXEC) | CInt(SFD_NONBLOCK))
            })
        self.received = received
        super.init()
        try loop.watch(descriptor.raw, for: .readable, self)
    }

    public override func ready(_ events: Readiness) {
        var information = signalfd_siginfo()
        let size = MemoryLayout<signalfd_siginfo>.size
        while unsafe read(descriptor.raw, &information, size) == size {
            if let signal = Signal(rawValue: CInt(truncatingIfNeeded: information.ssi_signo)) { received(signal) }
        }
    }
}
