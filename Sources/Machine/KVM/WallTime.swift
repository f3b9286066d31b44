import Linux

/// The host's wall clock in nanoseconds since 1970.
enum WallTime {
    static var now: UInt64 {
        let (seconds, nanoseconds) = wallClock()
        return UInt64(max(seconds, 0)) &* 1_000_000_000 &+ UInt64(nanoseconds)
    }

    /// Nanoseconds since then; zero if the clock was set back.
    static func elapsed(since time: UInt64) -> UInt64 {
        let now = now
        return now > time ? now - time : 0
    }
}
