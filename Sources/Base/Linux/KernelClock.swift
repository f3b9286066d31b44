import CLinux

/// The kernel's wall clock and the loop that keeps it right (adjtimex(2)). Changing it needs CAP_SYS_TIME.
public enum KernelClock {
    // Bits of sys/timex.h.
    private static let offset: CUnsignedInt = 0x0001
    private static let frequency: CUnsignedInt = 0x0002
    private static let maximumError: CUnsignedInt = 0x0004
    private static let estimatedError: CUnsignedInt = 0x0008
    private static let status: CUnsignedInt = 0x0010
    private static let timeConstant: CUnsignedInt = 0x0020
    private static let setOffset: CUnsignedInt = 0x0100
    private static let nanoseconds: CUnsignedInt = 0x2000
    private static let phaseLocked: CInt = 0x0001
    private static let unsynchronized: CInt = 0x0040

    /// What the kernel adds to the clock's own speed, in parts per million.
    public static func frequencyPPM() throws(SystemError) -> Double {
        var values = timex()
        try apply(&values, "read the clock")
        return Double(values.freq) / 65_536
    }

    /// Sets that. Beyond ±500 it is cut.
    public static func setFrequency(ppm: Double) throws(SystemError) {
        var values = timex()
        values.modes = frequency
        values.freq = Int(max(-500, min(500, ppm)) * 65_536)
        try apply(&values, "set the clock's frequency")
    }

    /// Sets the clock forward, or back, at once.
    ///
    /// - Parameter seconds: less than 100 years.
    public static func step(seconds: Double) throws(SystemError) {
        guard seconds.isFinite, abs(seconds) < 3e9 else { throw .invalid("set the clock", "") }
        var values = timex()
        values.modes = setOffset | nanoseconds
        let whole = seconds.rounded(.down)
        values.time.tv_sec = Int(whole)
        // With this mode the field counts nanoseconds, and must not be negative.
        values.time.tv_usec = min(Int((seconds - whole) * 1e9), 999_999_999)
        try apply(&values, "set the clock")
    }

    /// Gives an offset to the kernel's loop, and says that the clock is right: the kernel then writes it to the machine's own clock
    /// every eleven minutes.
    ///
    /// - Parameters:
    ///   - seconds: what the clock is behind; beyond ±0.5 it is cut.
    ///   - timeConstant: the logarithm of how slowly to go about it, 0...10.
    ///   - error: how wrong the clock may be, in seconds.
    public static func slew(seconds: Double, timeConstant constant: Int, error: Double) throws(SystemError) {
        guard seconds.isFinite, error.isFinite else { throw .invalid("adjust the clock", "") }
        var values = timex()
        values.modes = offset | status | timeConstant | nanoseconds | maximumError | estimatedError
        values.offset = Int(max(-0.5, min(0.5, seconds)) * 1e9)
        values.status = phaseLocked
        values.constant = max(0, min(10, constant))
        values.maxerror = Int(max(0, min(16, error)) * 1e6)
        values.esterror = values.maxerror
        try apply(&values, "adjust the clock")
    }

    /// Says that nobody knows whether the clock is right.
    public static func setUnsynchronized() throws(SystemError) {
        var values = timex()
        values.modes = status
        values.status = unsynchronized
        try apply(&values, "adjust the clock")
    }

    private static func apply(_ values: inout timex, _ operation: String) throws(SystemError) {
        if unsafe adjtimex(&values) < 0 { throw SystemError.last(operation) }
    }
}
