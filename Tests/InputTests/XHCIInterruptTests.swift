import DeviceModel
import GuestMemory
import Linux
import Testing
import VirtioTestSupport

@testable import Input

@Suite("xHCI interrupts and event rings")
struct XHCIInterruptTests {
    @Test("without messages the wire is up until the driver clears what is pending")
    func wire() throws {
        let driver = try XHCIDriver()
        driver.start()
        let isRaised = { driver.wires.contains { $0.isRaised } }
        #expect(!isRaised())
        try queueNoOperation(driver)
        #expect(isRaised())
        #expect(driver.status & 8 != 0)
        driver.write(driver.operational + 4, 8)
        #expect(isRaised())
        driver.write(driver.runtime + 0x20, 3)
        #expect(!isRaised())
        try queueNoOperation(driver)
        #expect(!isRaised(), "the handler is busy")
        _ = driver.nextEvent()
        driver.acknowledge()
        #expect(isRaised(), "and one event was left")
    }

    func queueNoOperation(_ driver: XHCIDriver) throws {
        var ring = driver.commands
        driver.queue(&ring, 0, 0, 23 << 10)
        driver.commands = ring
        driver.ring(0, 0)
    }

    @Test("a message is sent once, and not again before the interval is over")
    func moderation() throws {
        let driver = try XHCIDriver()
        driver.enableMessages()
        driver.start()
        driver.time.add(1_000_000)
        try queueNoOperation(driver)
        #expect(driver.interrupts.events[0].drain() == 1)
        #expect(driver.read(driver.runtime + 0x20) & 1 == 0, "the message cleared it")
        _ = driver.events()
        // 160 quarters of a microsecond are 40.
        driver.time.add(39_000)
        try queueNoOperation(driver)
        #expect(driver.interrupts.events[0].drain() == 0)
        driver.time.add(2_000)
        _ = driver.status
        driver.write(driver.operational + 0x14, 0)
        #expect(driver.interrupts.events[0].drain() == 1)
    }

    @Test("no interrupt comes while the controller or the interrupter does not allow it")
    func disabled() throws {
        let driver = try XHCIDriver()
        driver.enableMessages()
        driver.start()
        driver.time.add(1_000_000)
        driver.write(driver.operational, 1)
        try queueNoOperation(driver)
        #expect(driver.interrupts.events[0].drain() == 0)
        driver.write(driver.operational, 5)
        #expect(driver.interrupts.events[0].drain() == 1)
    }

    @Test("commands wait while the event ring is full, and none is lost")
    func fullEventRing() throws {
        let driver = try XHCIDriver(eventCount: 16)
        driver.start()
        var ring = driver.commands
        for _ in 0..<14 { driver.queue(&ring, 0, 0, 23 << 10) }
        driver.commands = ring
        driver.ring(0, 0)
        ring = driver.commands
        for _ in 0..<6 { driver.queue(&ring, 0, 0, 23 << 10) }
        driver.commands = ring
        driver.ring(0, 0)
        var total = 0
        while case let events = driver.events(), !events.isEmpty {
            #expect(events.allSatisfy { $0.kind == 33 && $0.code == 1 })
            total += events.count
        }
        #expect(total == 20)
    }

    @Test("an event ring of two segments is used in order")
    func segments() throws {
        let driver = try XHCIDriver()
        driver.start()
        let (first, second, table) = (driver.allocate(256), driver.allocate(512), driver.allocate(32))
        driver.memory.ram.store(second, at: table)
        driver.memory.ram.store(UInt32(16), at: table + 8)
        driver.memory.ram.store(first, at: table + 16)
        driver.memory.ram.store(UInt32(16), at: table + 24)
        driver.write(driver.runtime + 0x28, 2)
        driver.write64(driver.runtime + 0x30, table)
        driver.write64(driver.runtime + 0x38, second)
        for round in 0..<3 {
            for segment in [second, first] {
                for index in UInt64(0)..<16 {
                    try queueNoOperation(driver)
                    let control = driver.memory.ram.load(UInt32.self, at: segment + 16 * index + 12) ?? 0
                    #expect(control >> 10 & 0x3f == 33)
                    #expect(control & 1 == (round % 2 == 0 ? 1 : 0))
                    driver.write64(driver.runtime + 0x38, segment + 16 * index | 8)
                }
            }
        }
    }

    @Test("the command ring stops when told to, and goes on elsewhere")
    func stopCommandRing() throws {
        let driver = try XHCIDriver()
        driver.start()
        try driver.command(23)
        #expect(driver.read(driver.operational + 0x18) == 8)
        driver.write(driver.operational + 0x18, 4)
        let event = try #require(driver.events().first)
        #expect(event.code == 24)
        #expect(driver.read(driver.operational + 0x18) == 0)
        driver.commands = driver.makeRing()
        driver.write64(driver.operational + 0x18, driver.commands.word)
        #expect(try driver.command(23).code == 1)
    }

    @Test("a controller reset forgets everything but what is plugged in")
    func reset() throws {
        let driver = try XHCIDriver()
        let tablet = HIDTablet(now: { 0 })
        driver.controller.attach(tablet, port: 4)
        driver.start()
        let slot = try driver.address(port: 4)
        try driver.configure(slot, port: 4)
        _ = try driver.ask(slot)
        #expect(tablet.isInUse)
        driver.write(driver.operational, 2)
        #expect(driver.status & 1 == 1)
        #expect(driver.read(driver.operational) == 0)
        #expect(!tablet.isInUse)
        #expect(driver.read(driver.port(4)) & 0x2_0001 == 0x2_0001)
        driver.start()
        #expect(try driver.address(port: 4) == 1)
    }

    @Test("time passes in microframes")
    func frames() throws {
        let driver = try XHCIDriver()
        driver.start()
        driver.time.add(1_000_000)
        #expect(driver.read(driver.runtime) == 8)
    }

    @Test("an interrupt that moderation held back comes by itself")
    func moderationTimer() throws {
        let loop = try EventLoop(name: "test")
        try loop.start()
        let driver = try XHCIDriver(loop: loop)
        loop.performAndWait {}
        driver.enableMessages()
        driver.start()
        driver.write(driver.runtime + 0x24, 40_000)  // 10 ms
        let event = driver.interrupts.events[0]
        for _ in 0..<3 {
            event.drain()
            try queueNoOperation(driver)
            _ = driver.events()
            try queueNoOperation(driver)
            let end = monotonicNanoseconds() + 10_000_000_000
            while event.drain() == 0, monotonicNanoseconds() < end {}
            _ = driver.events()
            try queueNoOperation(driver)
            let second = monotonicNanoseconds() + 10_000_000_000
            var count: UInt64 = 0
            while count == 0, monotonicNanoseconds() < second { count = event.drain() }
            #expect(count == 1)
            _ = driver.events()
        }
        driver.controller.close()
        loop.stop()
    }

    @Test("a guest on one thread gets what a console on another one sends")
    func threads() throws {
        let loop = try EventLoop(name: "test")
        try loop.start()
        let driver = try XHCIDriver(loop: loop)
        let tablet = HIDTablet()
        driver.controller.attach(tablet, port: 1)
        driver.enableMessages()
        driver.start()
        let slot = try driver.address(port: 1)
        try driver.configure(slot, port: 1)
        let console = try Thread(name: "console") {
            for step in UInt16(1)...2000 {
                tablet.move(x: step, y: step, wheel: 0, buttons: step & 1 == 0 ? [] : .left)
            }
        }
        var last: UInt16 = 0
        let end = monotonicNanoseconds() + 20_000_000_000
        var asked = try driver.ask(slot)
        while last != 2000, monotonicNanoseconds() < end {
            for event in driver.events() where event.kind == 32 && event.endpoint == 3 {
                let x = driver.memory.ram.load(UInt16.self, at: asked.buffer + 1) ?? 0
                #expect(event.parameter == asked.block)
                #expect(x >= last, "places come in order")
                last = x
                asked = try driver.ask(slot, buffer: asked.buffer)
            }
        }
        #expect(last == 2000)
        console.join()
        driver.controller.close()
        loop.stop()
    }
}
