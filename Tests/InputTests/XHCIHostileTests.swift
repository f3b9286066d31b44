import DeviceModel
import GuestMemory
import Testing

@testable import Input

@Suite("xHCI with a hostile guest")
struct XHCIHostileTests {
    let driver: XHCIDriver
    let tablet = HIDTablet(now: { 0 })

    init() throws {
        driver = try XHCIDriver()
        driver.controller.attach(tablet, port: 1)
    }

    var hasSystemError: Bool { driver.status & 0x5 == 0x5 }

    @Test("a command ring outside memory stops the controller, with one line in the log")
    func commandRingOutside() {
        for _ in 0..<3 {
            driver.start()
            driver.write64(driver.operational + 0x18, 0xffff_ffff_ffff_ffc1)
            driver.ring(0, 0)
            #expect(hasSystemError)
        }
        #expect(driver.log.value == 1)
        driver.start()
        #expect(driver.status & 5 == 0, "a reset mends it")
    }

    @Test("an event ring outside memory stops the controller")
    func eventRingOutside() {
        driver.start()
        driver.write64(driver.runtime + 0x30, 0x1_0000_0000)
        #expect(hasSystemError)
    }

    @Test("links in a circle end")
    func links() {
        driver.start()
        let ring = driver.allocate(64)
        driver.memory.ram.store(ring, at: ring)
        driver.memory.ram.store(UInt32(6) << 10 | 1, at: ring + 12)
        driver.write64(driver.operational + 0x18, ring | 1)
        driver.ring(0, 0)
        #expect(hasSystemError)
    }

    @Test("a transfer ring without an end is worked on in portions")
    func endlessRing() throws {
        driver.start()
        let slot = try driver.address(port: 1)
        try driver.configure(slot, port: 1)
        let ring = driver.allocate(64)
        driver.memory.ram.store(UInt32(8) << 10 | 1, at: ring + 12)
        driver.memory.ram.store(ring, at: ring + 16)
        driver.memory.ram.store(UInt32(6) << 10 | 1, at: ring + 28)
        #expect(try driver.command(15, slot: slot, endpoint: 3).code == 1)
        #expect(try driver.command(16, slot: slot, endpoint: 3, ring | 1).code == 1)
        driver.ring(slot, 3)
        // It came back; and others still get their turn.
        #expect(try driver.command(23).code == 1)
        #expect(try driver.command(15, slot: slot, endpoint: 3).code == 1)
    }

    @Test("a chain that never ends is an error of the ring")
    func endlessChain() throws {
        driver.start()
        let slot = try driver.address(port: 1)
        try driver.configure(slot, port: 1)
        let ring = driver.allocate(64)
        driver.memory.ram.store(UInt32(1) << 10 | 1 << 4 | 1, at: ring + 12)
        driver.memory.ram.store(ring, at: ring + 16)
        driver.memory.ram.store(UInt32(6) << 10 | 1 << 4 | 1, at: ring + 28)
        #expect(try driver.command(15, slot: slot, endpoint: 3).code == 1)
        #expect(try driver.command(16, slot: slot, endpoint: 3, ring | 1).code == 1)
        driver.ring(slot, 3)
        #expect(driver.events().contains { $0.kind == 32 && $0.code == 5 })
        #expect(driver.outputWord(slot, 3, 0) & 7 == 4)
    }

    @Test("a report does not overflow a buffer that is too small")
    func smallBuffer() throws {
        driver.start()
        let slot = try driver.address(port: 1)
        try driver.configure(slot, port: 1)
        tablet.move(x: 0x7fff, y: 0x7fff, wheel: 0, buttons: [.left])
        let (_, buffer) = try driver.ask(slot, length: 3)
        #expect(driver.events().contains { $0.code == 3 })
        #expect(try driver.memory.ram.read(8, at: buffer) == [0, 0, 0, 0, 0, 0, 0, 0])
    }

    @Test("buffers outside memory stop the controller")
    func bufferOutside() throws {
        driver.start()
        let slot = try driver.address(port: 1)
        try driver.configure(slot, port: 1)
        tablet.move(x: 1, y: 1, wheel: 0, buttons: [])
        var ring = try #require(driver.rings[slot << 8 | 3])
        driver.queue(&ring, 0xffff_ffff_ffff_fffc, 8, 1 << 10 | 1 << 5)
        driver.ring(slot, 3)
        #expect(hasSystemError)
    }

    @Test("addressing checks the context, the port and whether it is taken")
    func addressing() throws {
        driver.start()
        let slot = try driver.address(port: 1)
        let other = try driver.command(9).slot
        let ring = driver.makeRing()
        driver.memory.ram.store(driver.allocate(1024), at: driver.contexts + 8 * UInt64(other))
        for (port, add, code) in [(1, 3, 5), (2, 3, 4), (0, 3, 17), (9, 3, 17), (255, 3, 17), (1, 1, 17)]
            as [(Int, UInt32, UInt8)]
        {
            let input = driver.inputContext(port: port, add: add, entries: 1)
            driver.setEndpoint(input, 1, type: 4, packet: 64, ring: ring)
            #expect(try driver.command(11, slot: other, input).code == code, "port \(port), flags \(add)")
        }
        #expect(try driver.command(11, slot: slot, driver.allocate(1024)).code == 19, "addressed already")
        #expect(try driver.command(12, slot: other, driver.allocate(1024)).code == 19, "not addressed")
    }

    @Test("registers of any offset and width are safe")
    func registers() {
        for offset in stride(from: UInt64(0), to: 0x4000, by: 4) {
            for width in [1, 2, 4, 8] { _ = driver.controller.readBar(0, offset: offset, width: width) }
            // Not the doorbells of a running controller, but everything else.
            for value: UInt64 in [0, .max, 1] { driver.controller.writeBar(0, offset: offset, width: 8, value: value) }
        }
        #expect(driver.controller.readBar(0, offset: .max, width: 4) == 0xffff_ffff)
        driver.controller.writeBar(0, offset: .max, width: 4, value: 1)
    }
}
