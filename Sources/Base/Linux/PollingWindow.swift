/// How long a loop looks for work before it sleeps.
///
/// Looking costs processor time, sleeping costs the time to wake up again. The window follows what happens: if the loop was
/// woken soon after it had gone to sleep, a somewhat longer look would have found the work, and the window grows; after a
/// long sleep it shrinks to nothing, so an idle guest costs nothing. (The rule of QEMU's I/O threads and KVM's halt
/// polling.)
///
/// On a host with more to do than processors, a loop that looks takes time from those it waits for, and is made to wait
/// itself when it has work (measured: three to eight times the latency). It notices by gaps between two looks, and sleeps
/// for a while then.
struct PollingWindow: Equatable, Sendable, BitwiseCopyable {
    /// Length of the first step, in nanoseconds.
    static let first: UInt64 = 4_000
    /// Two looks so far apart, in nanoseconds: somebody else had the processor.
    static let gap: UInt64 = 50_000
    /// How long not to look then, in nanoseconds.
    static let pause: UInt64 = 50_000_000

    /// The longest window, in nanoseconds; zero never looks.
    var limit: UInt64
    /// The window now.
    private(set) var nanoseconds: UInt64 = 0
    /// When looking may begin again.
    private var pausedUntil: UInt64 = 0

    init(limit: UInt64) { self.limit = limit }

    /// The loop has slept for so long, after it had looked in vain for the present window.
    mutating func slept(_ duration: UInt64, now: UInt64) {
        let (wait, overflow) = duration.addingReportingOverflow(nanoseconds)
        // A look of that length would have found what ended the sleep; a longer one than the limit is not worth it.
        let isWorth = !overflow && wait <= limit && now >= pausedUntil
        nanoseconds = isWorth ? min(max(nanoseconds &* 2, Self.first), limit) : 0
    }

    /// The loop has looked again after so long.
    ///
    /// - Returns: false if it should stop looking, because the processor is wanted elsewhere.
    mutating func looked(after duration: UInt64, now: UInt64) -> Bool {
        if duration < Self.gap { return true }
        nanoseconds = 0
        pausedUntil = now &+ Self.pause
        return false
    }
}
