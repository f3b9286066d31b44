import Bytes
import GuestMemory
import Linux
import Synchronization
import Testing
import Virtio
import VirtioTestSupport

@Suite("Queues on event loops")
struct QueueThreadTests {
    @Test(
        "driver and device on two threads never miss each other, however they sleep", .timeLimit(.minutes(1)),
        arguments: VirtQueueTests.kinds)
    func noLostWakeUps(features: VirtioFeatures) throws {
        let loop = try EventLoop(name: "queues")
        try loop.start()
        let control = try EventLoop(name: "control")
        try control.start()
        let machine = try EchoMachine(loop: loop, control: control)
        defer {
            machine.function.close()
            control.stop()
            loop.stop()
        }
        machine.queues[0].batch = 3
        // MSI-X on, as the guest would do it: interrupts come through the vector's event.
        let bus = try VirtioPCIFunctionTests.Bus(machine.function)
        let (capability, on) = bus.enableMSIX
        bus.write(capability + 2, 2, on)
        let ring = machine.start(features, size: 4)
        let waiter = try EventLoop(name: "driver")
        let driver = SleepingDriver(machine, ring, waiter)
        try waiter.watch(machine.interrupts.events[0].raw, for: .readable, driver)
        waiter.perform { driver.ready([]) }
        waiter.run()
        #expect(driver.completed == SleepingDriver.total)
        #expect(machine.log.lines == [])
    }

    /// A driver that sleeps until its interrupt comes: one that is lost ends the test by its time limit.
    final class SleepingDriver: EventHandler, @unchecked Sendable {
        static let total = 3000
        let machine: EchoMachine
        let ring: any RingDriver
        let loop: EventLoop
        var offered = 0
        var completed = 0
        var random = SplitMix64(seed: 5)

        init(_ machine: EchoMachine, _ ring: any RingDriver, _ loop: EventLoop) {
            self.machine = machine
            self.ring = ring
            self.loop = loop
        }

        override func ready(_ events: Readiness) {
            machine.interrupts.events[0].drain()
            var waiting = true
            while waiting {
                ring.setInterrupts(false)
                completed += ring.collect().count
                for _ in 0..<Int.random(in: 1...4, using: &random) where offered < Self.total {
                    guard ring.offer([Buffer(0x1000, 8, writable: true)]) != nil else { break }
                    offered += 1
                }
                if ring.shouldKick() { machine.driver.kick(0) }
                // The wish must be seen before we look again, as in the device.
                ring.setInterrupts(true)
                atomicMemoryFence(ordering: .sequentiallyConsistent)
                let late = ring.collect().count
                completed += late
                waiting = late > 0
            }
            if completed == Self.total { loop.stop() }
        }
    }

    @Test("a reset waits until no queue touches memory, and the status reads zero only then", .timeLimit(.minutes(1)))
    func synchronousReset() throws {
        let loop = try EventLoop(name: "queues")
        try loop.start()
        let control = try EventLoop(name: "control")
        try control.start()
        let machine = try EchoMachine(loop: loop, control: control)
        defer {
            machine.function.close()
            control.stop()
            loop.stop()
        }
        for round in 0..<200 {
            let ring = machine.start(round % 2 == 0 ? [] : .packedRing)
            for _ in 0..<8 { _ = ring.offer([Buffer(0x1000, 8, writable: true)]) }
            machine.driver.kick(0)
            machine.driver.status = 0
            #expect(machine.driver.status == 0)
            let seen = ring.collect().count
            #expect(!machine.queues[0].ring.isConfigured)
            _ = ring.offer([Buffer(0x1000, 8, writable: true)])
            machine.driver.kick(0)
            #expect(ring.collect().isEmpty, "after \(seen)")
        }
        #expect(machine.log.lines == [])
    }
}
