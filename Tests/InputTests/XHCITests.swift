import DeviceModel
import GuestMemory
import Testing
import VirtioTestSupport

@testable import Input

@Suite("xHCI")
struct XHCITests {
    let driver: XHCIDriver
    let tablet: HIDTablet
    let keyboard: HIDKeyboard

    init() throws {
        let driver = try XHCIDriver()
        let time = driver.time
        self.driver = driver
        tablet = HIDTablet(now: { time.value })
        keyboard = HIDKeyboard(now: { time.value })
        driver.controller.attach(tablet, port: 1)
        driver.controller.attach(keyboard, port: 2)
    }

    /// An addressed and configured tablet.
    func configuredTablet() throws -> Int {
        driver.start()
        let slot = try driver.address(port: 1)
        try driver.configure(slot, port: 1)
        return slot
    }

    @Test("a driver finds an xHCI with ports of both protocols")
    func capabilities() {
        #expect(driver.configuration(0, 4) == 0x000d_1b36)
        #expect(driver.configuration(8, 4) == 0x0c03_3001)
        #expect(driver.configuration(0x60, 1) == 0x30)
        #expect(driver.operational == 0x40)
        #expect(driver.read(0) >> 16 == 0x100)
        #expect(driver.read(4) == 0x0800_0410)
        var capability = UInt64(driver.read(0x10) >> 16) << 2
        var protocols: [[UInt32]] = []
        while true {
            let word = driver.read(capability)
            if word & 0xff == 2 { protocols.append([word >> 24, driver.read(capability + 8) & 0xffff]) }
            if word >> 8 & 0xff == 0 { break }
            capability += UInt64(word >> 8 & 0xff) << 2
        }
        #expect(protocols == [[2, 0x0401], [3, 0x0405]])
        #expect(driver.read(driver.operational + 8) == 1)
        #expect(driver.status & 0x801 == 1, "halted and ready")
    }

    @Test("commands complete in order, over the ring's link and over the end of the event ring")
    func commandRing() throws {
        driver.start()
        for _ in 0..<200 { #expect(try driver.command(23).code == 1) }
        #expect(try driver.command(40).code == 5, "no such command")
        #expect(try driver.command(10, slot: 3).code == 11, "not enabled")
        #expect(try driver.command(10, slot: 99).code == 11, "no such slot")
        #expect(driver.status & 4 == 0)
    }

    @Test("slots run out, and come back")
    func slots() throws {
        driver.start()
        for slot in 1...16 { #expect(try driver.command(9).slot == slot) }
        #expect(try driver.command(9).code == 9)
        #expect(try driver.command(10, slot: 5).code == 1)
        #expect(try driver.command(9).slot == 5)
    }

    @Test("a port tells of its device, and a reset enables it")
    func ports() {
        driver.start()
        #expect(driver.read(driver.port(1)) & 0x2_3fff == 0x2_0ee1, "connected, polling, high speed, changed")
        #expect(driver.read(driver.port(3)) & 0x1 == 0)
        #expect(driver.read(driver.port(5)) & 0x3fff == 0x2a0, "a USB 3 port waits for a device")
        driver.write(driver.port(1), 0x0000_0210)
        let event = driver.events().last
        #expect(event?.kind == 34)
        #expect(event?.parameter == 1 << 24)
        #expect(driver.read(driver.port(1)) & 0x20_3fff == 0x20_0e03)
        driver.write(driver.port(1), 0x0022_0200)
        #expect(driver.read(driver.port(1)) & 0xfe_0000 == 0)
        driver.write(driver.port(1), 0x0000_0202)
        #expect(driver.read(driver.port(1)) & 2 == 0, "a one disables it")
    }

    @Test("the tablet is enumerated as Linux does it")
    func enumeration() throws {
        let slot = try configuredTablet()
        #expect(driver.outputWord(slot, 0, 3) == 3 << 27 | UInt32(slot))
        let device = try driver.control(slot, 0x80, 6, value: 0x0100, length: 18)
        #expect(device.bytes.prefix(8) == [18, 1, 0, 2, 0, 0, 0, 64])
        let head = try driver.control(slot, 0x80, 6, value: 0x0200, length: 9)
        #expect(head.bytes.count == 9)
        let configuration = try driver.control(slot, 0x80, 6, value: 0x0200, length: UInt16(head.bytes[2]))
        #expect(configuration.bytes.count == 34)
        #expect(Array(configuration.bytes[9..<18]) == [9, 4, 0, 0, 1, 3, 0, 0, 0])
        let report = try driver.control(
            slot, 0x81, 6, value: 0x2200, length: UInt16(configuration.bytes[25]) | UInt16(configuration.bytes[26]) << 8
        )
        #expect(report.bytes.suffix(2) == [0xc0, 0xc0])
        let name = try driver.control(slot, 0x80, 6, value: 0x0302, index: 0x0409, length: 255)
        #expect(name.bytes.count == 2 + 2 * "USB Tablet".utf8.count)
        #expect(name.bytes.first.map(Int.init) == name.bytes.count, "a short answer says how short")
        #expect(try driver.control(slot, 0x80, 8, length: 1).bytes == [1])
        #expect(try driver.control(slot, 0x21, 10).code == 1)
        #expect(!tablet.isInUse, "not asked yet")
    }

    @Test("a report waits for the transfer, and a transfer for the report")
    func reports() throws {
        let slot = try configuredTablet()
        let (block, buffer) = try driver.ask(slot)
        #expect(driver.events().isEmpty)
        #expect(tablet.isInUse)
        tablet.move(x: 0x1234, y: 0x7fff, wheel: -1, buttons: [.left, .extra])
        let event = try #require(driver.events().first)
        #expect(event.code == 13, "six bytes of eight")
        #expect(event.length == 2)
        #expect(event.parameter == block)
        #expect(event.slot == slot)
        #expect(try driver.memory.ram.read(6, at: buffer) == [0x11, 0x34, 0x12, 0xff, 0x7f, 0xff])
        tablet.move(x: 1, y: 2, wheel: 0, buttons: [])
        tablet.move(x: 3, y: 4, wheel: 0, buttons: [])
        tablet.move(x: 5, y: 6, wheel: 0, buttons: .left)
        #expect(try driver.report(slot) == [0, 3, 0, 4, 0, 0], "two places become one")
        #expect(try driver.report(slot) == [1, 5, 0, 6, 0, 0])
        for step in UInt16(0)..<100 {
            tablet.move(x: step, y: 100, wheel: 0, buttons: [])
            #expect(try driver.report(slot) == [0, UInt8(step), 0, 100, 0, 0])
        }
    }

    @Test("the boot keyboard tells modifiers and six keys, and has lights")
    func keyboardReports() throws {
        driver.start()
        let slot = try driver.address(port: 2)
        try driver.configure(slot, port: 2)
        let key = { (code: UInt16, down: Bool) in
            if let key = KeyCode(set1: code) { keyboard.key(key, down: down) }
        }
        key(0x2a, true)
        key(0x1e, true)
        #expect(try driver.report(slot) == [2, 0, 0, 0, 0, 0, 0, 0])
        #expect(try driver.report(slot) == [2, 0, 4, 0, 0, 0, 0, 0])
        key(0x1e, true)
        key(0x1e, false)
        key(0x2a, false)
        #expect(try driver.report(slot) == [2, 0, 0, 0, 0, 0, 0, 0], "a repetition is no change")
        #expect(try driver.report(slot) == [0, 0, 0, 0, 0, 0, 0, 0])
        for code in UInt16(0x10)...0x16 { key(code, true) }
        for _ in 0..<6 { _ = try driver.report(slot) }
        #expect(try driver.report(slot) == [0, 0, 1, 1, 1, 1, 1, 1], "seven are too many")
        #expect(try driver.control(slot, 0x21, 9, value: 0x0200, sending: [0x03]).code == 1)
        #expect(keyboard.leds == 6)
        #expect(try driver.control(slot, 0x21, 11, value: 0).code == 1)
        #expect(try driver.control(slot, 0xa1, 3, length: 1).bytes == [0])
        #expect(try driver.control(slot, 0xa1, 1, value: 0x0100, length: 8).bytes == [0, 0, 1, 1, 1, 1, 1, 1])
    }

    @Test("a request that the device refuses stalls, and the endpoint recovers")
    func stall() throws {
        let slot = try configuredTablet()
        #expect(try driver.control(slot, 0x80, 6, value: 0x0f00, length: 5).code == 6)
        #expect(driver.outputWord(slot, 1, 0) & 7 == 2, "halted")
        driver.ring(slot, 1)
        #expect(driver.events().isEmpty)
        #expect(try driver.command(14, slot: slot, endpoint: 1).code == 1)
        #expect(driver.outputWord(slot, 1, 0) & 7 == 3)
        let ring = try #require(driver.rings[slot << 8 | 1])
        #expect(try driver.command(16, slot: slot, endpoint: 1, ring.word).code == 1)
        #expect(try driver.control(slot, 0x80, 0, length: 2).bytes == [0, 0])
        #expect(driver.outputWord(slot, 1, 0) & 7 == 1)
        #expect(try driver.command(14, slot: slot, endpoint: 1).code == 19, "not halted")
    }

    @Test("stopping an endpoint gives its waiting transfer back")
    func stopEndpoint() throws {
        let slot = try configuredTablet()
        let (block, _) = try driver.ask(slot)
        var ring = driver.commands
        driver.queue(&ring, 0, 0, 15 << 10 | UInt32(slot) << 24 | 3 << 16)
        driver.commands = ring
        driver.ring(0, 0)
        let events = driver.events()
        #expect(events.map(\.kind) == [32, 33])
        #expect(events.first?.code == 26)
        #expect(events.first?.parameter == block)
        #expect(driver.outputWord(slot, 3, 0) & 7 == 3)
        #expect(driver.outputWord(slot, 3, 2) & ~0xf == UInt32(block))
        tablet.move(x: 9, y: 9, wheel: 0, buttons: [])
        #expect(driver.events().isEmpty)
        driver.ring(slot, 3)
        #expect(driver.events().first?.parameter == block, "it goes on where it was")
    }

    @Test("a configuration is taken away and given again")
    func deconfigure() throws {
        let slot = try configuredTablet()
        #expect(try driver.command(12, slot: slot, flags: 1 << 9).code == 1)
        #expect(driver.outputWord(slot, 0, 3) >> 27 == 2)
        #expect(driver.outputWord(slot, 3, 0) & 7 == 0)
        driver.ring(slot, 3)
        #expect(driver.events().isEmpty)
        try driver.configure(slot, port: 1)
        tablet.move(x: 1, y: 1, wheel: 0, buttons: [])
        #expect(try driver.report(slot).count == 6)
        #expect(try driver.command(17, slot: slot).code == 1)
        #expect(driver.outputWord(slot, 0, 3) >> 27 == 1)
        #expect(!tablet.isInUse)
    }

    @Test("a tablet that is unplugged and plugged in again is found again")
    func hotPlug() throws {
        let slot = try configuredTablet()
        _ = try driver.ask(slot)
        driver.controller.detach(port: 1)
        #expect(driver.events().map(\.parameter) == [1 << 24])
        #expect(driver.read(driver.port(1)) & 3 == 0)
        #expect(!tablet.isInUse)
        tablet.move(x: 1, y: 1, wheel: 0, buttons: [])
        #expect(driver.events().isEmpty)
        #expect(try driver.control(slot, 0x80, 0, length: 2).code == 4, "nobody answers")
        #expect(try driver.command(10, slot: slot).code == 1)
        driver.write(driver.port(1), 0x0002_0200)
        driver.controller.attach(tablet, port: 1)
        #expect(driver.events().map(\.kind) == [34])
        let again = try driver.address(port: 1)
        try driver.configure(again, port: 1)
        tablet.move(x: 7, y: 8, wheel: 0, buttons: [])
        #expect(try driver.report(again) == [0, 7, 0, 8, 0, 0])
    }

    @Test("event data tells how much was moved, as Windows asks for it")
    func eventData() throws {
        let slot = try configuredTablet()
        var ring = try #require(driver.rings[slot << 8 | 3])
        let buffer = driver.allocate(64)
        driver.queue(&ring, buffer, 4, 1 << 10 | 1 << 4)
        driver.queue(&ring, buffer + 4, 4, 1 << 10 | 1 << 4)
        driver.queue(&ring, 0xfeed_beef_0000_0001, 0, 7 << 10 | 1 << 5)
        driver.ring(slot, 3)
        tablet.move(x: 0x102, y: 0x304, wheel: 0, buttons: [])
        let events = driver.events()
        #expect(events.count == 1)
        #expect(events.first?.parameter == 0xfeed_beef_0000_0001)
        #expect(events.first?.length == 6)
        #expect(events.first?.code == 13)
        #expect((events.first?.control ?? 0) & 4 != 0)
        #expect(try driver.memory.ram.read(6, at: buffer) == [0, 2, 1, 4, 3, 0])
    }

    @Test("a suspended port is woken by a device that may wake it")
    func remoteWakeUp() throws {
        let slot = try configuredTablet()
        _ = try driver.ask(slot)
        driver.write(driver.port(1), 0x0001_0260)
        #expect(driver.read(driver.port(1)) >> 5 & 0xf == 3)
        tablet.move(x: 1, y: 1, wheel: 0, buttons: [])
        #expect(driver.events().isEmpty, "it may not")
        driver.write(driver.port(1), 0x0001_0200)
        #expect(driver.events().map(\.kind) == [34, 32])
        driver.write(driver.port(1), 0x0040_0200)
        #expect(try driver.control(slot, 0x00, 3, value: 1).code == 1)
        _ = try driver.ask(slot)
        driver.write(driver.port(1), 0x0001_0260)
        tablet.move(x: 2, y: 2, wheel: 0, buttons: [])
        #expect(driver.events().map(\.kind) == [34])
        #expect(driver.read(driver.port(1)) >> 5 & 0xf == 15)
        driver.write(driver.port(1), 0x0041_0200)
        #expect(driver.events().map(\.kind).contains(32))
    }
}
