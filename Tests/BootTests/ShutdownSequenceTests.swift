import Testing

@testable import Boot

@Suite("Going down in order")
struct ShutdownSequenceTests {
    private let second: UInt64 = 1_000_000_000

    @Test("guests first, then agents in the reverse order of their start, then the rest")
    func order() {
        var sequence = ShutdownSequence(stopsGuests: true)
        var now: UInt64 = 0
        func step(_ stopper: Bool, _ agents: [String], _ any: Bool = true) -> [ShutdownSequence.Action] {
            now += second
            return sequence.advance(now: now, stopperRuns: stopper, agents: agents, anyProcess: any)
        }
        #expect(step(false, ["logd", "hostd"]) == [.stopGuests])
        #expect(step(true, ["logd", "hostd"]) == [])
        #expect(step(false, ["logd", "hostd"]) == [.stopSupervision, .signalAgent("hostd", .terminate)])
        #expect(step(false, ["logd", "hostd"]) == [])
        #expect(step(false, ["logd"]) == [.signalAgent("logd", .terminate)])
        #expect(step(false, []) == [.signalAll(.terminate)])
        #expect(step(false, []) == [])
        #expect(step(false, [], false) == [.finish])
    }

    @Test("nothing that does not end holds it up for ever")
    func deadlines() {
        var sequence = ShutdownSequence(stopsGuests: true)
        var all: [ShutdownSequence.Action] = []
        var now: UInt64 = 0
        while all.last != .finish, now < 1000 * second {
            all += sequence.advance(now: now, stopperRuns: true, agents: ["a", "b"], anyProcess: true)
            now = max(now + second, sequence.due ?? 0)
        }
        #expect(
            all == [
                .stopGuests, .endGuestStop, .stopSupervision, .signalAgent("b", .terminate), .signalAgent("b", .kill),
                .signalAll(.terminate), .signalAll(.kill), .finish,
            ])
        #expect(now < 640 * second)
    }

    @Test("asked twice it waits for nobody", arguments: 0..<4)
    func forced(steps: Int) {
        var sequence = ShutdownSequence(stopsGuests: true)
        for _ in 0..<steps {
            _ = sequence.advance(now: 0, stopperRuns: true, agents: ["a"], anyProcess: true)
        }
        sequence.force()
        let actions = sequence.advance(now: 0, stopperRuns: true, agents: ["a"], anyProcess: true)
        #expect(actions.last == .signalAll(.terminate))
        #expect(sequence.due == ShutdownSequence.killMax)
        #expect(
            sequence.advance(now: 3 * second, stopperRuns: true, agents: ["a"], anyProcess: true) == [.signalAll(.kill)]
        )
    }

    @Test("a host without agents only ends its processes")
    func plain() {
        var sequence = ShutdownSequence(stopsGuests: false)
        let first = sequence.advance(now: 0, stopperRuns: false, agents: [], anyProcess: true)
        #expect(first == [.stopSupervision, .signalAll(.terminate)])
        #expect(sequence.advance(now: 1, stopperRuns: false, agents: [], anyProcess: false) == [.finish])
    }
}
