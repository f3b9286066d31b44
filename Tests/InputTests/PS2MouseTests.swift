import DeviceModel
import Testing
import VirtioTestSupport

@testable import Input

@Suite("PS/2 mouse")
struct PS2MouseTests {
    let rig = ControllerRig()

    init() { rig.configuration = 0x47 }

    @Test("it answers reset, identification and status as a plain mouse")
    func commands() {
        #expect(rig.mouse(0xff) == [0xfa, 0xaa, 0x00])
        #expect(rig.mouse(0xf2) == [0xfa, 0x00])
        #expect(rig.mouse(0xe9) == [0xfa, 0x00, 0x02, 100])
        #expect(rig.mouse(0xe8, 0x03, 0xf3, 200, 0xe7, 0xf4) == [0xfa, 0xfa, 0xfa, 0xfa, 0xfa, 0xfa])
        #expect(rig.mouse(0xe9) == [0xfa, 0x30, 0x03, 200])
        #expect(rig.mouse(0xf6) == [0xfa])
        #expect(rig.mouse(0xe9) == [0xfa, 0x00, 0x02, 100])
        #expect(rig.mouse(0xe1) == [0xfe], "not a command")
    }

    @Test("answers come with the mouse's mark and interrupt")
    func auxiliary() {
        rig.command(0xd4)
        rig.data(0xf4)
        #expect(rig.status & 0x21 == 0x21)
        #expect(rig.mouseLine.isRaised)
        #expect(!rig.keyboardLine.isRaised)
        #expect(rig.read() == 0xfa)
        #expect(!rig.mouseLine.isRaised)
    }

    @Test("it reports nothing before it is enabled")
    func disabled() {
        rig.controller.move(x: 5, y: 5, wheel: 0, buttons: .left)
        #expect(rig.drain().isEmpty)
        #expect(!rig.controller.isMouseInUse)
        _ = rig.mouse(0xf4)
        #expect(rig.controller.isMouseInUse)
        #expect(rig.drain().isEmpty, "what came before is forgotten")
    }

    @Test("a plain mouse sends three bytes, up being positive")
    func plainPackets() {
        _ = rig.mouse(0xf4)
        rig.controller.move(x: 5, y: -3, wheel: 1, buttons: .left)
        #expect(rig.drain() == [0x09, 5, 3])
        rig.controller.move(x: -1, y: 2, wheel: 0, buttons: [.right, .middle])
        #expect(rig.drain() == [0x3e, 0xff, 0xfe])
        rig.controller.move(x: 0, y: 0, wheel: 0, buttons: [.right, .middle])
        #expect(rig.drain().isEmpty)
        rig.controller.move(x: 300, y: 0, wheel: 0, buttons: [])
        #expect(rig.drain() == [0x08, 255, 0, 0x08, 45, 0])
    }

    @Test("the IntelliMouse knock gives a wheel")
    func wheel() {
        #expect(rig.mouse(0xf3, 200, 0xf3, 100, 0xf3, 80, 0xf2).suffix(2) == [0xfa, 3])
        _ = rig.mouse(0xf4)
        rig.controller.move(x: 0, y: 0, wheel: 1, buttons: [])
        #expect(rig.drain() == [0x08, 0, 0, 0xff])
        rig.controller.move(x: 0, y: 0, wheel: -2, buttons: .side)
        #expect(rig.drain() == [0x08, 0, 0, 2])
        #expect(rig.mouse(0xff) == [0xfa, 0xaa, 0])
        #expect(rig.mouse(0xf2) == [0xfa, 0], "a reset makes it plain again")
    }

    @Test("the Explorer knock gives five buttons")
    func explorer() {
        _ = rig.mouse(0xf3, 200, 0xf3, 100, 0xf3, 80)
        #expect(rig.mouse(0xf3, 200, 0xf3, 200, 0xf3, 80, 0xf2).suffix(2) == [0xfa, 4])
        _ = rig.mouse(0xf4)
        rig.controller.move(x: 1, y: 0, wheel: 1, buttons: [.side, .left])
        #expect(rig.drain() == [0x09, 1, 0, 0x1f])
        rig.controller.move(x: 0, y: 0, wheel: 0, buttons: .extra)
        #expect(rig.drain() == [0x08, 0, 0, 0x20])
    }

    @Test("in remote mode it sends when asked")
    func remoteMode() {
        #expect(rig.mouse(0xf0, 0xf4) == [0xfa, 0xfa])
        rig.controller.move(x: 7, y: 0, wheel: 0, buttons: [])
        #expect(rig.drain().isEmpty)
        #expect(rig.mouse(0xeb) == [0xfa, 0x08, 7, 0])
        #expect(rig.mouse(0xea) == [0xfa])
        rig.controller.move(x: 1, y: 0, wheel: 0, buttons: [])
        #expect(rig.drain() == [0x08, 1, 0])
    }

    @Test("in wrap mode it sends back what it gets")
    func wrapMode() {
        #expect(rig.mouse(0xee, 0x12, 0xf4, 0xec, 0xf2) == [0xfa, 0x12, 0xf4, 0xfa, 0xfa, 0x00])
    }

    @Test("motion that is not fetched adds up, and the last state of the buttons arrives")
    func accumulation() {
        _ = rig.mouse(0xf4)
        for _ in 0..<50 { rig.controller.move(x: 2, y: 0, wheel: 0, buttons: .left) }
        rig.controller.move(x: 0, y: 0, wheel: 0, buttons: [])
        let bytes = rig.drain()
        #expect(bytes.count % 3 == 0 && bytes.count <= 12)
        let motion = stride(from: 1, to: bytes.count, by: 3).reduce(0) { $0 + Int(Int8(bitPattern: bytes[$1])) }
        #expect(motion == 100)
        #expect(bytes.first == 0x09)
        #expect(bytes.dropLast(2).last == 0x08)
    }

    @Test("a command in the middle of a packet starts a whole one afterwards")
    func interruptedPacket() {
        _ = rig.mouse(0xf4)
        rig.controller.move(x: 4, y: 0, wheel: 0, buttons: .left)
        #expect(rig.read() == 0x09)
        rig.command(0xd4)
        rig.data(0xf2)
        #expect(rig.read() == 4, "it was in the output buffer already")
        #expect(rig.drain() == [0xfa, 0x00, 0x09, 0, 0])
    }

    @Test("extreme motion ends within what a packet can say")
    func extremes() {
        _ = rig.mouse(0xf4)
        rig.controller.move(x: .max, y: .min, wheel: .min, buttons: [])
        rig.controller.move(x: .max, y: .max, wheel: .max, buttons: [])
        #expect(rig.drain().count % 3 == 0)
    }
}
