import Synchronization
import Testing

@testable import Linux

@Suite("Polling before sleeping")
struct PollingTests {
    @Test("the window grows while looking longer would have found the work, and goes after a long sleep")
    func window() {
        var window = PollingWindow(limit: 32_000)
        #expect(window.nanoseconds == 0)
        // Work comes 20 µs after the last.
        var looked: [UInt64] = []
        while window.nanoseconds < 20_000 {
            window.slept(20_000 - window.nanoseconds, now: 0)
            looked.append(window.nanoseconds)
        }
        #expect(looked == [4_000, 8_000, 16_000, 32_000])
        window.slept(1, now: 0)
        #expect(window.nanoseconds == 0)
        window.slept(40_000, now: 0)
        #expect(window.nanoseconds == 0)
        window.slept(.max, now: 0)
        #expect(window.nanoseconds == 0)
        var never = PollingWindow(limit: 0)
        never.slept(1, now: 0)
        #expect(never.nanoseconds == 0)
    }

    @Test("a loop that lost the processor while looking leaves it to others for a while")
    func preempted() {
        var window = PollingWindow(limit: 32_000)
        window.slept(1_000, now: 1_000_000)
        #expect(window.nanoseconds == 4_000)
        let goesOn = window.looked(after: 49_000, now: 1_050_000)
        #expect(goesOn)
        #expect(window.nanoseconds == 4_000)
        let stops = !window.looked(after: 50_000, now: 2_000_000)
        #expect(stops)
        #expect(window.nanoseconds == 0)
        window.slept(1_000, now: 51_999_999)
        #expect(window.nanoseconds == 0)
        window.slept(1_000, now: 52_000_000)
        #expect(window.nanoseconds == 4_000)
    }

    /// Work that is announced only while nobody looks for it, as a queue does.
    private final class Box: EventHandler, @unchecked Sendable {
        // @unchecked: all but the atomics belongs to the loop's thread.
        let event: EventFD
        let work = Atomic<Int>(0)
        let wantsSignal = Atomic<Bool>(true)
        let done = Semaphore()
        var taken = 0
        var polled = 0
        init(_ event: EventFD) { self.event = event }

        private func take() -> Bool {
            let count = work.exchange(0, ordering: .sequentiallyConsistent)
            if count == 0 { return false }
            taken += count
            for _ in 0..<count { done.signal() }
            return true
        }

        /// From another thread.
        func put() {
            work.add(1, ordering: .sequentiallyConsistent)
            if wantsSignal.load(ordering: .sequentiallyConsistent) { event.signal() }
        }

        override func ready(_ events: Readiness) { _ = take() }
        override func beginPolling() { wantsSignal.store(false, ordering: .sequentiallyConsistent) }
        override func poll() -> Bool {
            if take() {
                polled += 1
                return true
            }
            return false
        }
        override func endPolling() {
            wantsSignal.store(true, ordering: .sequentiallyConsistent)
            _ = take()
        }
    }

    @Test("no work is lost between looking and sleeping")
    func nothingLost() throws {
        let loop = try EventLoop(name: "test", pollingLimit: 50_000)
        try loop.start()
        defer { loop.stop() }
        let box = Box(try EventFD())
        loop.performAndWait {
            try? loop.watch(box.event.raw, for: [.readable, .edgeTriggered], box)
            loop.addPoller(box)
        }
        for _ in 0..<20_000 {
            box.put()
            box.done.wait()
        }
        loop.performAndWait {
            loop.removePoller(box)
            loop.unwatch(box.event.raw)
        }
        #expect(box.taken == 20_000)
    }

    @Test("work that is always there keeps the loop from nothing else")
    func fairness() throws {
        final class Greedy: EventHandler, @unchecked Sendable {
            override func poll() -> Bool { true }
        }
        let loop = try EventLoop(name: "test", pollingLimit: 1_000_000)
        try loop.start()
        defer { loop.stop() }
        let greedy = Greedy()
        loop.performAndWait { loop.addPoller(greedy) }
        for _ in 0..<100 { loop.performAndWait {} }
        loop.performAndWait { loop.removePoller(greedy) }
    }
}
