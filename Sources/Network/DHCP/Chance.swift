/// A sequence of numbers nobody else on the network has, from a seed (SplitMix64): the same seed gives the same sequence.
struct Chance: Sendable {
    private var state: UInt64

    init(seed: UInt64) { state = seed }

    mutating func next() -> UInt64 {
        state &+= 0x9e37_79b9_7f4a_7c15
        var value = state
        value = (value ^ value >> 30) &* 0xbf58_476d_1ce4_e5b9
        value = (value ^ value >> 27) &* 0x94d0_49bb_1331_11eb
        return value ^ value >> 31
    }

    /// - Precondition: the range is not empty.
    mutating func number(in range: ClosedRange<UInt64>) -> UInt64 {
        range.lowerBound + next() % (range.upperBound - range.lowerBound + 1)
    }
}

/// Nanoseconds of some time.
enum Span {
    static let second: UInt64 = 1_000_000_000
    static let millisecond: UInt64 = 1_000_000
}
