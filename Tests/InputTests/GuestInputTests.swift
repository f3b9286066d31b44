import DeviceModel
import Linux
import Testing

@testable import Input

@Suite("Input from a console")
struct GuestInputTests {
    let rig = ControllerRig()
    let driver: XHCIDriver
    let keyboard: HIDKeyboard
    let tablet: HIDTablet
    let input: GuestInput

    init() throws {
        driver = try XHCIDriver()
        let time = rig.time
        keyboard = HIDKeyboard(now: { time.value })
        tablet = HIDTablet(now: { time.value })
        driver.controller.attach(tablet, port: 1)
        driver.controller.attach(keyboard, port: 2)
        input = GuestInput(
            controller: rig.controller, keyboard: keyboard, tablet: tablet, loop: nil, now: { time.value })
        rig.configuration = 0x47
    }

    func key(_ code: UInt16, _ down: Bool) { if let key = KeyCode(set1: code) { input.key(key, down: down) } }

    /// The guest drives a USB device; its endpoint has been asked and answered nothing yet.
    func drive(port: Int) throws -> Int {
        driver.start()
        let slot = try driver.address(port: port)
        try driver.configure(slot, port: port)
        _ = try driver.ask(slot)
        return slot
    }

    @Test("keys go to the PS/2 keyboard when the guest drives both")
    func prefersPS2() throws {
        _ = try drive(port: 2)
        _ = rig.keyboard(0xf4)
        key(0x1e, true)
        key(0x1e, false)
        #expect(rig.drain() == [0x1e, 0x9e])
        #expect(driver.events().isEmpty)
    }

    @Test("keys go to the USB keyboard when the guest drives only that")
    func fallsBackToUSB() throws {
        _ = try drive(port: 2)
        key(0x1e, true)
        #expect(driver.events().count == 1)
        #expect(rig.drain().isEmpty)
        key(0x1e, false)
        #expect(!keyboard.isDown(try #require(KeyCode(set1: 0x1e))))
    }

    @Test("firmware drove the PS/2 keyboard, the system drives the USB one: keys follow, and none stays down")
    func handOver() throws {
        _ = rig.keyboard(0xf4)
        _ = try drive(port: 2)
        key(0x1e, true)
        rig.time.add(1_000_000_000)
        key(0x1f, true)
        #expect(driver.events().count == 1)
        key(0x1e, false)
        key(0x1f, false)
        #expect(rig.drain() == [0x1e, 0x9e])
    }

    @Test("many keys at once arrive one after another")
    func burst() {
        _ = rig.keyboard(0xf4)
        var expected: [UInt8] = []
        for _ in 0..<3 {
            for code in UInt16(0x10)..<0x30 {
                key(code, true)
                key(code, false)
                expected += [UInt8(code), UInt8(code) | 0x80]
            }
        }
        var codes: [UInt8] = []
        while codes.count < expected.count {
            let more = rig.drain()
            if more.isEmpty { break }
            codes += more
            // What a timer does: any key has those before it delivered first.
            key(0x54, false)
        }
        #expect(codes == expected)
    }

    @Test("a burst goes on by itself as the guest reads")
    func burstOnLoop() throws {
        let loop = try EventLoop(name: "test")
        try loop.start()
        let input = GuestInput(controller: rig.controller, keyboard: nil, tablet: nil, loop: loop)
        loop.performAndWait {}
        _ = rig.keyboard(0xf4)
        var expected: [UInt8] = []
        for code in UInt16(0x10)..<0x30 {
            guard let key = KeyCode(set1: code) else { continue }
            input.key(key, down: true)
            input.key(key, down: false)
            expected += [UInt8(code), UInt8(code) | 0x80]
        }
        var codes: [UInt8] = []
        let end = monotonicNanoseconds() + 10_000_000_000
        while codes.count < expected.count, monotonicNanoseconds() < end { codes += rig.drain() }
        #expect(codes == expected)
        input.close()
        loop.stop()
    }

    @Test("keys that nobody fetches are forgotten, and releases are not")
    func forgotten() {
        _ = rig.keyboard(0xf4)
        for code in UInt16(0x10)..<0x30 {
            key(code, true)
            key(code, false)
        }
        rig.time.add(2_000_000_000)
        key(0x39, true)
        let codes = rig.drain()
        var down: Set<UInt8> = []
        for code in codes { if code < 0x80 { down.insert(code) } else { down.remove(code & 0x7f) } }
        #expect(codes.count <= 24)
        #expect(down.isEmpty || down == [0x39])
    }

    @Test("a client that goes lets go of its keys and buttons")
    func releaseAll() {
        _ = rig.keyboard(0xf4)
        _ = rig.mouse(0xf4)
        key(0x1d, true)
        key(0xe038, true)
        input.move(x: 0, y: 0, buttons: .left)
        _ = rig.drain()
        input.releaseAll()
        #expect(rig.drain() == [0x9d, 0xe0, 0xb8, 0x08, 0, 0])
        input.releaseAll()
        #expect(rig.drain().isEmpty)
    }

    @Test("the pointer's place becomes motion on the screen for a PS/2 mouse")
    func relative() {
        _ = rig.mouse(0xf4)
        input.setScreen(width: 800, height: 600)
        input.pointer(x: 32768, y: 32768, buttons: [])
        #expect(rig.drain().isEmpty, "the first place is no motion")
        input.pointer(x: 32768 + 8192, y: 32768 - 8192, buttons: .left)
        #expect(rig.drain() == [0x09, 100, 75])
    }

    @Test("the pointer's place goes to the tablet when the guest drives it")
    func absolute() throws {
        let slot = try drive(port: 1)
        _ = rig.mouse(0xf4)
        input.pointer(x: 65535, y: 2, wheel: 1, buttons: .right)
        #expect(rig.drain().isEmpty)
        #expect(driver.events().count == 1)
        input.pointer(x: 0, y: 65535, buttons: [])
        #expect(try driver.report(slot) == [0, 0, 0, 0xff, 0x7f, 0])
    }

    @Test("motion goes to the PS/2 mouse if there is one in use, else it moves the tablet's place")
    func motion() throws {
        let slot = try drive(port: 1)
        input.setScreen(width: 1024, height: 1024)
        input.pointer(x: 0, y: 0, wheel: 1, buttons: [])
        input.move(x: 512, y: 256, buttons: [])
        _ = driver.events()
        #expect(try driver.report(slot) == [0, 0, 0x40, 0, 0x20, 0])
        _ = rig.mouse(0xf4)
        input.move(x: 5, y: 0, buttons: [])
        #expect(rig.drain() == [0x08, 5, 0])
        input.move(x: .min, y: .max, wheel: .max, buttons: [])
        #expect(rig.drain().count % 3 == 0)
    }

    @Test("a button that is down when the guest turns to another device is let go on the first")
    func buttonHandOver() throws {
        _ = rig.mouse(0xf4)
        input.pointer(x: 100, y: 100, buttons: .left)
        #expect(rig.drain() == [0x09, 0, 0])
        let slot = try drive(port: 1)
        input.pointer(x: 200, y: 100, buttons: .left)
        #expect(rig.drain() == [0x08, 0, 0])
        _ = driver.events()
        input.pointer(x: 200, y: 100, buttons: [])
        #expect(try driver.report(slot).first == 0)
    }

    @Test("numbers that are no key are none")
    func noKeys() {
        #expect(KeyCode(set1: 0) == nil)
        #expect(KeyCode(set1: 0x9e) == nil)
        #expect(KeyCode(set1: 0xe09d) == nil)
        #expect(KeyCode(extendedKeyEvent: 0x80) == nil)
        #expect(KeyCode(extendedKeyEvent: 0x1ff) == nil)
        #expect(KeyCode(extendedKeyEvent: 0x9d) == KeyCode(set1: 0xe01d))
    }

    @Test("lights come from the keyboard in use")
    func leds() throws {
        _ = rig.keyboard(0xf4)
        _ = rig.keyboard(0xed, 4)
        #expect(input.leds == 4)
    }
}
