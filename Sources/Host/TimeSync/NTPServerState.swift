/// What is known of one server: when to ask it, and its best recent answer (RFC 5905, sections 10 and 13). No I/O; times are in
/// nanoseconds on the clock of `monotonicNanoseconds`.
public struct NTPServerState: Sendable {
    /// Logarithms of seconds between questions: 64 s to 1024 s.
    static let pollMin = 6
    static let pollMax = 10
    /// Questions at the start, two seconds apart, so that the time is right soon ("iburst").
    static let burst = 4
    static let burstInterval: UInt64 = 2_000_000_000
    /// An answer is waited for so long.
    static let answerMax: UInt64 = 1_500_000_000
    /// The clock filter keeps so many answers.
    static let filterSize = 8
    /// How much worse an answer gets with age: the frequency tolerance PHI of 15 ppm (section 7.2).
    static let aging = 15e-6

    private(set) var samples: [NTPSample] = []
    /// Which of the last eight questions were answered, the latest in the lowest bit.
    public private(set) var reach: UInt8 = 0
    private(set) var poll = Self.pollMin
    private var burstLeft = Self.burst
    /// When to ask next.
    public private(set) var due: UInt64
    /// The question that is open.
    private(set) var nonce: UInt64 = 0
    private var askedAt: UInt64 = 0
    private var steady = 0

    public init(now: UInt64) { due = now }

    /// Asks now.
    ///
    /// - Parameter jitter: a random number; questions of many hosts shall not come all at once.
    public mutating func asked(nonce: UInt64, now: UInt64, jitter: UInt64) {
        self.nonce = nonce
        askedAt = now
        reach <<= 1
        if burstLeft > 0 {
            burstLeft -= 1
            due = now &+ Self.burstInterval
        } else {
            let interval = UInt64(1_000_000_000) << UInt64(poll)
            due = now &+ interval &- interval / 16 &+ jitter % (interval / 8)
        }
        // A server that is silent is asked less often, but one that was never heard a little more, because its network may come.
        if reach == 0, burstLeft == 0 { poll = min(poll + 1, samples.isEmpty ? Self.pollMin + 1 : Self.pollMax) }
    }

    /// It cannot be asked now: its address is not known, or there is no way to it.
    public mutating func postpone(now: UInt64) { due = now &+ 2 * Self.burstInterval }

    /// An answer that was found good.
    public mutating func answered(_ sample: NTPSample) {
        nonce = 0
        reach |= 1
        samples.append(sample)
        if samples.count > Self.filterSize { samples.removeFirst() }
    }

    /// The server refuses: ask it as rarely as can be (section 7.4).
    public mutating func refused(now: UInt64) {
        nonce = 0
        poll = Self.pollMax
        burstLeft = 0
        due = now &+ UInt64(1_000_000_000) << UInt64(Self.pollMax)
    }

    /// Adapts how often it is asked to how calm the clock is.
    public mutating func adapt(isCalm: Bool) {
        steady = isCalm ? steady + 1 : 0
        if !isCalm {
            poll = max(poll - 1, Self.pollMin)
        } else if steady >= 4, burstLeft == 0 {
            steady = 0
            poll = min(poll + 1, Self.pollMax)
        }
    }

    /// The clock was set: what was measured before is void.
    public mutating func forget(now: UInt64) {
        samples = []
        nonce = 0
        burstLeft = Self.burst
        due = now
    }

    /// The answer to believe: the one with the shortest trip, aged (section 10); nil if there is none or all are old.
    public func best(now: UInt64) -> NTPSample? {
        guard reach != 0 else { return nil }
        return samples.map { aged($0, now: now) }.min { $0.distance < $1.distance }
    }

    private func aged(_ sample: NTPSample, now: UInt64) -> NTPSample {
        var sample = sample
        sample.distance += Double(now &- sample.time) / 1e9 * Self.aging
        return sample
    }
}
