import Testing

@testable import TimeSync

@Suite("NTP")
struct NTPTests {
    private let start = NTPTimestamp(seconds: 1_764_000_000, nanoseconds: 500_000_000)

    private func shifted(_ time: NTPTimestamp, _ seconds: Double) -> NTPTimestamp {
        NTPTimestamp(bits: time.bits &+ UInt64(bitPattern: Int64(seconds * 4_294_967_296)))
    }

    /// What a server answers that is `ahead` of us, over a way of 10 ms there and 10 ms back.
    private func answer(nonce: UInt64 = 7, ahead: Double, _ change: (inout NTPPacket) -> Void = { _ in }) -> [UInt8] {
        var packet = NTPPacket()
        packet.leap = 0
        packet.mode = NTPPacket.server
        packet.stratum = 2
        packet.origin = NTPTimestamp(bits: nonce)
        packet.receive = shifted(start, ahead + 0.010)
        packet.transmit = shifted(start, ahead + 0.011)
        packet.rootDelay = 655
        change(&packet)
        return packet.bytes
    }

    private func sample(_ bytes: [UInt8], nonce: UInt64 = 7) throws(NTPSample.Refusal) -> NTPSample {
        try NTPSample(bytes, nonce: nonce, sent: start, received: shifted(start, 0.021), time: 1)
    }

    @Test("times are seconds since 1900 with a fraction, and differences survive the end of the era in 2036")
    func timestamps() {
        #expect(NTPTimestamp(seconds: 0, nanoseconds: 0).bits == 2_208_988_800 << 32)
        #expect(NTPTimestamp(seconds: 0, nanoseconds: 250_000_000).bits & 0xffff_ffff == 1 << 30)
        let before = NTPTimestamp(seconds: 2_085_978_495, nanoseconds: 0)
        let after = NTPTimestamp(seconds: 2_085_978_497, nanoseconds: 0)
        #expect(after.bits < before.bits)
        #expect(after.since(before) == 2)
        #expect(before.since(after) == -2)
    }

    @Test("an answer gives offset and delay", arguments: [0, 0.25, -3600, 86_400.5])
    func offset(ahead: Double) throws {
        let sample = try sample(answer(ahead: ahead))
        #expect(abs(sample.offset - ahead) < 1e-6)
        #expect(abs(sample.delay - 0.020) < 1e-6)
        #expect(sample.distance > 0.010 && sample.distance < 0.030)
    }

    @Test("answers to nothing, from nobody in sync, and without sense are refused")
    func refusals() throws {
        #expect(throws: NTPSample.Refusal.unasked) { try self.sample(self.answer(nonce: 8, ahead: 0)) }
        #expect(throws: NTPSample.Refusal.unasked) { try self.sample(self.answer(nonce: 0, ahead: 0), nonce: 0) }
        #expect(throws: NTPSample.Refusal.malformed) { try self.sample(Array(self.answer(ahead: 0).dropLast())) }
        func refusal(_ change: (inout NTPPacket) -> Void) -> NTPSample.Refusal? {
            do {
                _ = try sample(answer(ahead: 0, change))
                return nil
            } catch { return error }
        }
        #expect(refusal { $0.mode = NTPPacket.client } == .malformed)
        #expect(refusal { $0.version = 2 } == .malformed)
        #expect(refusal { $0.leap = 3 } == .notSynchronized)
        #expect(refusal { $0.stratum = 16 } == .notSynchronized)
        #expect(refusal { $0.stratum = 0 } == .kissOfDeath)
        #expect(refusal { $0.transmit = NTPTimestamp(bits: 0) } == .implausible)
        #expect(refusal { $0.rootDispersion = 2 << 16 } == .implausible)
        #expect(refusal { swap(&$0.receive, &$0.transmit) } == .implausible)
        #expect(refusal { _ in } == nil)
    }

    private func claim(_ offset: Double, _ distance: Double = 0.01) -> NTPSample {
        NTPSample(offset: offset, delay: 0.01, distance: distance, time: 1)
    }

    @Test("a majority outvotes a server that is wrong; without one nobody is believed")
    func selection() throws {
        let right = try #require(NTPSelection.combine([claim(0.100), claim(5), claim(0.102), claim(0.104)]))
        #expect(right.offset > 0.1 && right.offset < 0.104)
        #expect(right.survivors == 3)
        #expect(NTPSelection.combine([claim(0), claim(5)]) == nil)
        #expect(NTPSelection.combine([claim(0), claim(5), claim(10)]) == nil)
        #expect(NTPSelection.combine([]) == nil)
        #expect(NTPSelection.combine([claim(3)])?.offset == 3)
        #expect(NTPSelection.combine([claim(.nan), claim(1)])?.offset == 1)
        // The better one counts more.
        let weighted = try #require(NTPSelection.combine([claim(0, 0.001), claim(0.0005, 0.1)]))
        #expect(weighted.offset < 0.0001)
    }

    @Test("the answer with the shortest trip is believed, until it is old")
    func filter() throws {
        let minute: UInt64 = 60_000_000_000
        var state = NTPServerState(now: 0)
        for (index, distance) in [0.5, 0.010, 0.020, 0.030].enumerated() {
            state.asked(nonce: 1, now: UInt64(index) * minute, jitter: 0)
            var sample = claim(Double(index), distance)
            sample.time = UInt64(index) * minute
            state.answered(sample)
        }
        #expect(state.best(now: 4 * minute)?.offset == 1)
        #expect(state.reach == 0b1111)
        for index in 4..<12 {
            state.asked(nonce: 1, now: UInt64(index) * minute, jitter: 0)
            state.answered(claim(Double(index), 0.5))
        }
        #expect(state.samples.count == NTPServerState.filterSize)
        #expect(state.best(now: 12 * minute)?.offset != 1)
    }

    @Test("a server is asked quickly at first, then ever less often while all is calm")
    func polling() {
        let second: UInt64 = 1_000_000_000
        var state = NTPServerState(now: 0)
        var now: UInt64 = 0
        var intervals: [UInt64] = []
        for index in 0..<40 {
            state.asked(nonce: 1, now: now, jitter: 4 * second)
            state.answered(claim(0))
            if index >= 4 { state.adapt(isCalm: true) }
            intervals.append((state.due - now) / second)
            now = state.due
        }
        #expect(intervals.prefix(4) == [2, 2, 2, 2])
        #expect(intervals[4] == 64)
        #expect(intervals.last.map { $0 > 900 && $0 < 1100 } == true)
        state.adapt(isCalm: false)
        #expect(state.poll == NTPServerState.pollMax - 1)
        state.refused(now: now)
        #expect(state.due - now == 1024 * second)
    }

    @Test("a silent server is asked less often, and has no say")
    func silence() {
        var state = NTPServerState(now: 0)
        state.asked(nonce: 1, now: 0, jitter: 0)
        state.answered(claim(1))
        for index in 1...12 { state.asked(nonce: 1, now: UInt64(index) * 100_000_000_000, jitter: 0) }
        #expect(state.reach == 0)
        #expect(state.best(now: 1_300_000_000_000) == nil)
        #expect(state.poll > NTPServerState.pollMin)
    }

    @Test("a clock that is far off is set at the start; later only if that is measured again and again")
    func discipline() {
        var discipline = ClockDiscipline()
        #expect(discipline.measured(offset: 3600, poll: 6) == .step(3600))
        #expect(discipline.measured(offset: 0.2, poll: 6) == .slew(0.2, timeConstant: 6))
        #expect(discipline.measured(offset: -2, poll: 6) == .ignore)
        #expect(discipline.measured(offset: 0.001, poll: 10) == .slew(0.001, timeConstant: 10))
        #expect(discipline.measured(offset: -2, poll: 6) == .ignore)
        #expect(discipline.measured(offset: -2, poll: 6) == .ignore)
        #expect(discipline.measured(offset: -2, poll: 6) == .step(-2))
        #expect(discipline.measured(offset: .nan, poll: 6) == .ignore)
        #expect(!discipline.isCalm || discipline.jitter == 0)
        for _ in 0..<30 { _ = discipline.measured(offset: 0.0001, poll: 6) }
        #expect(discipline.isCalm)
    }
}
