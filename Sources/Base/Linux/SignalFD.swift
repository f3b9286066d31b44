import CLinux

/// Receives chosen signals as reads from a descriptor instead of interrupting the thread.
public struct SignalFD: ~Copyable {
    private let descriptor: Descriptor

    /// Blocks the signals for this thread, and for threads it starts later, and delivers them here.
    public init(_ signals: [CInt]) throws(SystemError) {
        var set = sigset_t()
        unsafe sigemptyset(&set)
        for signal in signals { unsafe sigaddset(&set, signal) }
        unsafe pthread_sigmask(SIG_BLOCK, &set, nil)
        descriptor = Descriptor(
            adopting: try retrying("create signalfd") {
                unsafe signalfd(-1, &set, CInt(SFD_CLOEXEC | SFD_NONBLOCK))
            })
    }

    /// The descriptor's number, borrowed, for waiting.
    public var raw: CInt { descriptor.raw }

    /// The next pending signal, or nil.
    public borrowing func next() -> CInt? { nextWithOrigin()?.number }

    /// The next pending signal and whether the kernel itself sent it, no process; nil if there is none.
    public borrowing func nextWithOrigin() -> (number: CInt, isKernels: Bool)? {
        var info = signalfd_siginfo()
        let size = MemoryLayout<signalfd_siginfo>.size
        let raw = self.raw
        let count = unsafe withUnsafeMutableBytes(of: &info) { unsafe CLinux.read(raw, $0.baseAddress, size) }
        guard count == size else { return nil }
        // SI_KERNEL of asm-generic/siginfo.h.
        return (CInt(truncatingIfNeeded: info.ssi_signo), info.ssi_code == 0x80)
    }
}
