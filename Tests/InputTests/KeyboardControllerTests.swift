import DeviceModel
import Synchronization
import Testing
import VirtioTestSupport

@testable import Input

/// A keyboard controller as a guest sees it, with wires and a clock of the test's own.
final class ControllerRig {
    let keyboardLine = TestLine()
    let mouseLine = TestLine()
    let resets = Counter()
    let time = Counter()
    let controller: KeyboardController

    init() {
        let (resets, time) = (resets, time)
        controller = KeyboardController(
            keyboard: keyboardLine, mouse: mouseLine, reset: { resets.add(1) }, now: { time.value })
    }

    var status: UInt8 { UInt8(controller.read(region: KeyboardController.commandRegion, offset: 0, width: 1)) }
    func read() -> UInt8 { UInt8(controller.read(region: KeyboardController.dataRegion, offset: 0, width: 1)) }
    func command(_ byte: UInt8) {
        controller.write(region: KeyboardController.commandRegion, offset: 0, width: 1, value: UInt64(byte))
    }
    func data(_ byte: UInt8) {
        controller.write(region: KeyboardController.dataRegion, offset: 0, width: 1, value: UInt64(byte))
    }

    /// What there is to read now, but no more than `limit` bytes.
    func drain(limit: Int = 64) -> [UInt8] {
        var bytes: [UInt8] = []
        while status & 1 != 0, bytes.count < limit { bytes.append(read()) }
        return bytes
    }

    func ask(_ byte: UInt8) -> [UInt8] {
        command(byte)
        return drain()
    }

    func keyboard(_ bytes: UInt8...) -> [UInt8] {
        bytes.flatMap { byte in
            data(byte)
            return drain()
        }
    }

    func mouse(_ bytes: UInt8...) -> [UInt8] {
        bytes.flatMap { byte in
            command(0xd4)
            data(byte)
            return drain()
        }
    }

    /// The configuration byte, read and written as drivers do.
    var configuration: UInt8 {
        get { ask(0x20).first ?? 0 }
        set {
            command(0x60)
            data(newValue)
        }
    }

    func press(_ code: UInt16) { if let key = KeyCode(set1: code) { controller.key(key, down: true) } }
    func release(_ code: UInt16) { if let key = KeyCode(set1: code) { controller.key(key, down: false) } }
}

final class Counter: Sendable {
    private let count = Atomic<UInt64>(0)
    var value: UInt64 { count.load(ordering: .relaxed) }
    func add(_ step: UInt64) { count.add(step, ordering: .relaxed) }
}

@Suite("i8042 keyboard controller")
struct KeyboardControllerTests {
    let rig = ControllerRig()

    @Test("Linux's probe finds a controller with a mouse port and interrupts")
    func linuxProbe() {
        #expect(rig.drain(limit: 16).isEmpty)
        let initial = rig.configuration
        #expect(initial & 0x40 != 0, "translation is on, as Linux expects behind firmware")
        #expect(rig.status & 0x10 != 0, "the keyboard is not locked")
        rig.configuration = (initial | 0x10) & ~0x01
        // The loop test of the mouse port, then that it is no multiplexer.
        rig.command(0xd3)
        rig.data(0x5a)
        #expect(rig.status & 0x21 == 0x21)
        #expect(rig.read() == 0x5a)
        for byte: UInt8 in [0xf0, 0x56, 0xa4] {
            rig.command(0xd3)
            rig.data(byte)
            #expect(rig.drain() == [byte])
        }
        // The mouse port switches on and off by commands, and the configuration says so.
        rig.command(0xa7)
        #expect(rig.configuration & 0x20 != 0)
        rig.command(0xa8)
        #expect(rig.configuration & 0x20 == 0)
        #expect(rig.ask(0xa9) == [0])
        // A byte looped back through the mouse port raises its interrupt.
        rig.configuration = 0x56
        rig.command(0xd3)
        rig.data(0xa5)
        #expect(rig.mouseLine.isRaised)
        #expect(!rig.keyboardLine.isRaised)
        #expect(rig.read() == 0xa5)
        #expect(!rig.mouseLine.isRaised)
        #expect(rig.ask(0xaa) == [0x55])
        #expect(rig.ask(0xab) == [0x00])
    }

    @Test("the keyboard answers reset, identification, echo and set selection")
    func keyboardCommands() {
        rig.configuration = 0x05
        #expect(rig.keyboard(0xff) == [0xfa, 0xaa])
        #expect(rig.keyboard(0xf2) == [0xfa, 0xab, 0x83])
        #expect(rig.keyboard(0xee) == [0xee])
        #expect(rig.keyboard(0xf0, 0x00) == [0xfa, 0xfa, 0x02])
        #expect(rig.keyboard(0xf0, 0x01) == [0xfa, 0xfa])
        #expect(rig.keyboard(0xf0, 0x00) == [0xfa, 0xfa, 0x01])
        #expect(rig.keyboard(0xf0, 0x03) == [0xfa, 0xfe], "set 3 is refused")
        #expect(rig.keyboard(0xf3, 0x00) == [0xfa, 0xfa])
        #expect(rig.keyboard(0xed, 0x06) == [0xfa, 0xfa])
        #expect(rig.controller.leds == 6)
        #expect(rig.keyboard(0x11) == [0xfe], "not a command")
        #expect(rig.keyboard(0xf6) == [0xfa])
        #expect(rig.keyboard(0xf0, 0x00) == [0xfa, 0xfa, 0x02])
    }

    @Test("a command where an argument was due is a command")
    func commandInPlaceOfArgument() {
        rig.configuration = 0x05
        #expect(rig.keyboard(0xed, 0xf4) == [0xfa, 0xfa])
        #expect(rig.keyboard(0xed, 0xf2) == [0xfa, 0xfa, 0xab, 0x83])
    }

    @Test("answers are translated like keys, as GRUB and DOS expect")
    func translatedAnswers() {
        rig.configuration = 0x45
        #expect(rig.keyboard(0xf2) == [0xfa, 0xab, 0x41])
        #expect(rig.keyboard(0xf0, 0x00) == [0xfa, 0xfa, 0x41], "set 2")
    }

    @Test(
        "keys arrive as set 1 when translated, or when selected, and as set 2 otherwise",
        arguments: [
            (UInt16(0x1e), [0x1e, 0x9e], [0x1c, 0xf0, 0x1c]),
            (0xe01d, [0xe0, 0x1d, 0xe0, 0x9d], [0xe0, 0x14, 0xe0, 0xf0, 0x14]),
            (0xe048, [0xe0, 0x48, 0xe0, 0xc8], [0xe0, 0x75, 0xe0, 0xf0, 0x75]),
            (0x41, [0x41, 0xc1], [0x83, 0xf0, 0x83]), (0x01, [0x01, 0x81], [0x76, 0xf0, 0x76]),
            (0x58, [0x58, 0xd8], [0x07, 0xf0, 0x07]), (0x54, [0x54, 0xd4], [0x84, 0xf0, 0x84]),
            (0xe11d, [0xe1, 0x1d, 0x45, 0xe1, 0x9d, 0xc5], [0xe1, 0x14, 0x77, 0xe1, 0xf0, 0x14, 0xf0, 0x77]),
        ] as [(UInt16, [UInt8], [UInt8])])
    func scanCodes(code: UInt16, set1: [UInt8], set2: [UInt8]) {
        rig.configuration = 0x45
        rig.press(code)
        rig.release(code)
        #expect(rig.drain() == set1)
        rig.configuration = 0x05
        rig.press(code)
        rig.release(code)
        #expect(rig.drain() == set2)
        #expect(rig.keyboard(0xf0, 0x01) == [0xfa, 0xfa])
        rig.press(code)
        rig.release(code)
        #expect(rig.drain() == set1)
    }

    @Test("every key of set 1 survives set 2 and translation")
    func allKeys() {
        rig.configuration = 0x45
        for code in UInt16(1)...0x58 where code != 0x55 {
            rig.press(code)
            rig.release(code)
            #expect(rig.drain() == [UInt8(code), UInt8(code) | 0x80], "key \(code)")
        }
    }

    @Test("Pause with Ctrl is Break")
    func breakKey() {
        rig.configuration = 0x45
        rig.press(0x1d)
        rig.press(0xe11d)
        rig.release(0xe11d)
        #expect(rig.drain() == [0x1d, 0xe0, 0x46, 0xe0, 0xc6])
    }

    @Test("each byte raises the keyboard's interrupt anew")
    func interrupts() {
        rig.configuration = 0x45
        rig.press(0xe048)
        #expect(rig.keyboardLine.isRaised)
        #expect(rig.keyboardLine.edges == 1)
        #expect(rig.read() == 0xe0)
        #expect(rig.keyboardLine.isRaised)
        #expect(rig.keyboardLine.edges == 2)
        #expect(rig.read() == 0x48)
        #expect(!rig.keyboardLine.isRaised)
        rig.configuration = 0x44
        rig.press(0x1e)
        #expect(!rig.keyboardLine.isRaised, "masked")
        #expect(rig.drain() == [0x1e])
    }

    @Test("a keyboard that is switched off keeps its keys, one that does not scan has none")
    func switchedOff() {
        rig.configuration = 0x55
        rig.press(0x1e)
        #expect(rig.drain().isEmpty)
        rig.command(0xae)
        #expect(rig.drain() == [0x1e])
        #expect(rig.keyboard(0xf5) == [0xfa])
        rig.press(0x1f)
        #expect(rig.drain().isEmpty)
        #expect(rig.keyboard(0xf4) == [0xfa])
        rig.press(0x1f)
        #expect(rig.drain() == [0x1f])
    }

    @Test("keys that nobody fetches are dropped, and no key stays down")
    func overflow() {
        rig.configuration = 0x45
        for code in UInt16(0x10)..<0x30 {
            rig.press(code)
            rig.release(code)
        }
        let codes = rig.drain()
        // What was in the queue, and the releases it had no room for.
        #expect(codes.count <= 20)
        var down: Set<UInt8> = []
        for code in codes { if code < 0x80 { down.insert(code) } else { down.remove(code & 0x7f) } }
        #expect(codes.first == 0x10)
        #expect(down.isEmpty)
    }

    @Test("Linux's flush of at most 16 bytes empties a full controller")
    func flush() {
        rig.configuration = 0x05
        for code in UInt16(0x10)..<0x30 { rig.press(code) }
        _ = rig.drain(limit: 17)
        #expect(rig.status & 1 == 0)
    }

    @Test("an answer comes before keys that wait")
    func answerFirst() {
        rig.configuration = 0x45
        rig.command(0xad)
        rig.press(0x1e)
        rig.press(0x1f)
        rig.data(0xed)
        #expect(rig.read() == 0xfa)
        #expect(rig.drain() == [0x1e, 0x1f])
    }

    @Test("the reset line is pulsed by command and by the output port, and only by them")
    func resetLine() {
        rig.command(0xfe)
        #expect(rig.resets.value == 1)
        rig.command(0xff)
        rig.command(0xf1)
        #expect(rig.resets.value == 1)
        rig.command(0xd1)
        rig.data(0xdf)
        #expect(rig.resets.value == 1)
        rig.command(0xd1)
        rig.data(0xde)
        #expect(rig.resets.value == 2)
    }

    @Test("the A20 gate reads back")
    func gateA20() {
        #expect(rig.ask(0xd0) == [0x03])
        rig.command(0xd1)
        rig.data(0xdd)
        #expect(rig.ask(0xd0) == [0x01])
        rig.command(0xdf)
        #expect(rig.ask(0xd0) == [0x03])
    }

    @Test("accesses that are not bytes do nothing")
    func widths() {
        #expect(rig.controller.read(region: 0, offset: 0, width: 2) == 0xffff)
        rig.controller.write(region: 1, offset: 0, width: 2, value: 0xfe)
        #expect(rig.resets.value == 0)
    }

    @Test("a guest that does not fetch keys counts as not listening after a while")
    func listening() {
        #expect(!rig.controller.isKeyboardInUse, "nobody has spoken to it")
        _ = rig.keyboard(0xf4)
        #expect(rig.controller.isKeyboardInUse)
        rig.press(0x1e)
        #expect(rig.controller.isKeyboardInUse)
        rig.time.add(1_000_000_000)
        #expect(!rig.controller.isKeyboardInUse)
        _ = rig.drain()
        #expect(rig.controller.isKeyboardInUse)
        rig.controller.reset()
        #expect(!rig.controller.isKeyboardInUse)
    }
}
