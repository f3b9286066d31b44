import CLinux

/// Nanoseconds on the clock that never steps (CLOCK_MONOTONIC).
public func monotonicNanoseconds() -> UInt64 {
    var time = timespec()
    _ = unsafe clock_gettime(CLOCK_MONOTONIC, &time)
    return UInt64(truncatingIfNeeded: time.tv_sec) &* 1_000_000_000 &+ UInt64(truncatingIfNeeded: time.tv_nsec)
}

/// The wall clock: seconds since 1970 and nanoseconds within the second (CLOCK_REALTIME).
public func wallClock() -> (seconds: Int64, nanoseconds: Int64) {
    var time = timespec()
    _ = unsafe clock_gettime(CLOCK_REALTIME, &time)
    return (Int64(time.tv_sec), Int64(time.tv_nsec))
}

/// Calls back on an event loop when its time has come.
public final class Timer: EventHandler, @unchecked Sendable {
    private let descriptor: Descriptor
    private let fired: () -> Void

    /// - Parameter fired: runs on the loop's thread.
    public init(on loop: EventLoop, _ fired: @escaping () -> Void) throws(SystemError) {
        descriptor = Descriptor(
            adopting: try retrying("create timer") {
                timerfd_create(CLOCK_MONOTONIC, CInt(TFD_CLOEXEC) | CInt(TFD_NONBLOCK))
            })
        self.fired = fired
        super.init()
        try loop.watch(descriptor.raw, for: .readable, self)
    }

    /// Fires once after `nanoseconds`, then, if `interval` is not zero, every `interval` nanoseconds. Replaces what was
    /// set before.
    public func set(after nanoseconds: UInt64, every interval: UInt64 = 0) {
        // A zero value would disarm the timer.
        arm(after: max(nanoseconds, 1), every: interval)
    }

    /// Does not fire until set again.
    public func cancel() { arm(after: 0, every: 0) }

    private func arm(after nanoseconds: UInt64, every interval: UInt64) {
        var setting = itimerspec()
        setting.it_value.tv_sec = Int(truncatingIfNeeded: nanoseconds / 1_000_000_000)
        setting.it_value.tv_nsec = Int(truncatingIfNeeded: nanoseconds % 1_000_000_000)
        setting.it_interval.tv_sec = Int(truncatingIfNeeded: interval / 1_000_000_000)
        setting.it_interval.tv_nsec = Int(truncatingIfNeeded: interval % 1_000_000_000)
        _ = unsafe timerfd_settime(descriptor.raw, 0, &setting, nil)
    }

    /// Stops watching; the timer can be dropped after this.
    public func close(on loop: EventLoop) { loop.unwatch(descriptor.raw) }

    public override func ready(_ events: Readiness) {
        var count: UInt64 = 0
        guard unsafe read(descriptor.raw, &count, 8) == 8 else { return }
        fired()
    }
}

/// Makes the calling thread wait.
public func pause(nanoseconds: UInt64) {
    let end = monotonicNanoseconds() + nanoseconds
    var now = monotonicNanoseconds()
    while now < end {
        _ = try? poll([], milliseconds: Int(clamping: (end - now + 999_999) / 1_000_000))
        now = monotonicNanoseconds()
    }
}
