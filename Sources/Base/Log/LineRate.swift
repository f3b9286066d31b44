/// Lets so many lines through at once and so many a second, so that a process that complains in a loop cannot push
/// everybody else's lines out of the log.
struct LineRate: Sendable {
    static let burst: UInt64 = 400
    static let perSecond: UInt64 = 50
    private static let line = 1_000_000_000 / perSecond

    /// Time in nanoseconds that lines may still take.
    private var credit = Self.burst * Self.line
    private var last: UInt64 = 0
    /// Lines held back since one was last let through.
    private(set) var suppressed: UInt64 = 0

    /// - Parameter now: on the clock of `monotonicNanoseconds`.
    /// - Returns: whether a line may be written now.
    mutating func admit(now: UInt64) -> Bool {
        if last != 0, now > last { credit = min(credit &+ min(now &- last, 1 << 40), Self.burst * Self.line) }
        last = now
        guard credit >= Self.line else {
            suppressed &+= 1
            return false
        }
        credit -= Self.line
        return true
    }

    /// Lines that were let through got lost on the way.
    mutating func lost(_ count: UInt64) { suppressed &+= count }

    /// How many lines are missing before the next one.
    mutating func takeSuppressed() -> UInt64 {
        defer { suppressed = 0 }
        return suppressed
    }
}
