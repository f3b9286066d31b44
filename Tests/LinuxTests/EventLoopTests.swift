import Linux
import Synchronization
import Testing

@Suite("Event loop")
struct EventLoopTests {
    private final class Counter: EventHandler, @unchecked Sendable {
        let event: EventFD
        let done: Semaphore
        var count: UInt64 = 0  // loop thread only until `done`
        init(_ event: EventFD, _ done: Semaphore) {
            self.event = event
            self.done = done
        }
        override func ready(_ events: Readiness) {
            count += event.drain()
            done.signal()
        }
    }

    @Test("a signalled descriptor reaches its handler on the loop's thread; after unwatch it does not")
    func dispatches() throws {
        let loop = try EventLoop(name: "test")
        try loop.start()
        defer { loop.stop() }
        let done = Semaphore()
        let counter = Counter(try EventFD(), done)
        loop.performAndWait { try? loop.watch(counter.event.raw, for: .readable, counter) }
        counter.event.signal()
        done.wait()
        #expect(counter.count == 1)
        loop.performAndWait { loop.unwatch(counter.event.raw) }
        counter.event.signal()
        loop.performAndWait {}
        #expect(counter.count == 1)
    }

    /// Outlives the handler and knows when that has ended.
    private final class Witness: Sendable {
        let ended = Atomic(false)
        let endedTooEarly = Atomic(false)
        let done = Semaphore()
    }

    /// Unwatches itself when called, which lets go of its only owner, and goes on.
    private final class Leaver: EventHandler, @unchecked Sendable {
        let event: EventFD
        let loop: EventLoop
        let witness: Witness
        let leave: () -> Void
        init(_ loop: EventLoop, _ witness: Witness, leave: @escaping () -> Void) throws {
            event = try EventFD()
            (self.loop, self.witness, self.leave) = (loop, witness, leave)
        }
        override func ready(_ events: Readiness) {
            let (witness, leave) = (witness, leave)
            loop.unwatch(event.raw)
            leave()
            witness.endedTooEarly.store(witness.ended.load(ordering: .relaxed), ordering: .relaxed)
        }
        deinit {
            witness.ended.store(true, ordering: .relaxed)
            witness.done.signal()
        }
    }

    @Test("a handler that unwatches itself and has no other owner lives until it returns, and no longer")
    func unwatchesItself() throws {
        let loop = try EventLoop(name: "test")
        try loop.start()
        defer { loop.stop() }
        let witness = Witness()
        loop.performAndWait {
            var owned: Leaver?
            owned = try? Leaver(loop, witness) { owned = nil }
            if let leaver = owned {
                try? loop.watch(leaver.event.raw, for: .readable, leaver)
                leaver.event.signal()
            }
        }
        witness.done.wait()
        loop.performAndWait {}
        let endedTooEarly = witness.endedTooEarly.load(ordering: .relaxed)
        #expect(!endedTooEarly)
    }

    @Test("handed-over work keeps its order and runs on the loop")
    func performs() throws {
        let loop = try EventLoop(name: "test")
        try loop.start()
        defer { loop.stop() }
        let seen = Mutex<[Int]>([])
        for number in 0..<100 { loop.perform { seen.withLock { $0.append(loop.isCurrent ? number : -1) } } }
        loop.performAndWait {}
        #expect(seen.withLock { $0 } == Array(0..<100))
        #expect(!loop.isCurrent)
    }

    @Test("a timer fires as often as it was set to")
    func timerFires() throws {
        let loop = try EventLoop(name: "test")
        try loop.start()
        defer { loop.stop() }
        let fired = Semaphore()
        let timer = Mutex<Timer?>(nil)
        loop.performAndWait {
            let made = try? Timer(on: loop) { fired.signal() }
            made?.set(after: 0, every: 1_000_000)
            timer.withLock { $0 = made }
        }
        fired.wait()
        fired.wait()
        loop.performAndWait { timer.withLock { $0?.close(on: loop) } }
    }
}
