/// What to do to the kernel's clock when its offset was measured. No I/O.
///
/// The kernel's own loop (RFC 5905, appendix A.5.6; Linux: kernel/time/ntp.c) turns offsets into a steady frequency; here is decided
/// whether an offset is for that loop, or so large that the clock is set.
public struct ClockDiscipline: Equatable, Sendable {
    /// More than this is set at once at the start, in seconds.
    public static let stepAtStart = 0.5
    /// Later the clock is set only when it has been so wrong, as STEPT (section 7.2), more than once in a row: guests do not like it.
    public static let stepLater = 0.5
    static let stepConfirmations = 3
    /// The kernel's loop takes no larger offset (MAXPHASE, include/linux/timex.h), in seconds.
    static let slewMax = 0.5
    /// The largest correction of frequency that the kernel has (MAXFREQ), in parts per million.
    public static let frequencyMax = 500.0

    public enum Action: Equatable, Sendable {
        /// Set the clock by so many seconds.
        case step(Double)
        /// Give the offset in seconds to the kernel's loop, with this time constant.
        case slew(Double, timeConstant: Int)
        /// Wait whether it is measured again.
        case ignore
    }

    public private(set) var isSynchronized = false
    private var large = 0
    /// The size of the last offsets, in seconds; to judge how calm the clock is.
    public private(set) var jitter = 0.0

    public init() {}

    /// - Parameters:
    ///   - offset: what the clock is behind, in seconds.
    ///   - poll: the logarithm of seconds between measurements.
    public mutating func measured(offset: Double, poll: Int) -> Action {
        guard offset.isFinite else { return .ignore }
        if abs(offset) > (isSynchronized ? Self.stepLater : Self.stepAtStart) {
            large += 1
            if isSynchronized, large < Self.stepConfirmations { return .ignore }
            large = 0
            isSynchronized = true
            jitter = 0
            return .step(offset)
        }
        large = 0
        isSynchronized = true
        jitter = jitter == 0 ? abs(offset) : jitter * 0.75 + abs(offset) * 0.25
        return .slew(max(-Self.slewMax, min(Self.slewMax, offset)), timeConstant: max(2, min(poll, 10)))
    }

    /// Whether measurements may become rarer: offsets stay within some milliseconds.
    public var isCalm: Bool { isSynchronized && jitter < 0.005 }
}
