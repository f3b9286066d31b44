import DeviceModel
import Display
import Synchronization
import Testing

@Suite("Registers of the standard VGA")
struct VGARegisterTests {
    let mapper = RecordingMapper()
    let guest: GuestVGA

    init() {
        guest = GuestVGA(mapper: mapper)
        guest.out(0x3c2, 0xc3)
    }

    @Test("a word to an index port sets the index and its register")
    func words() {
        guest.out16(0x3ce, 0x5a08)
        #expect(guest.in(0x3ce) == 8)
        #expect(guest.in(0x3cf) == 0x5a)
        #expect(guest.in16(0x3ce) == 0x5a08)
    }

    @Test("bits that do not exist read as zeros")
    func masks() {
        guest.set(0x3c4, 2, 0xff)
        #expect(guest.get(0x3c4, 2) == 0x0f)
        guest.set(0x3ce, 5, 0xff)
        #expect(guest.get(0x3ce, 5) == 0x7b)
        guest.set(0x3d4, 0x40, 0xff)
        #expect(guest.get(0x3d4, 0x40) == 0)
    }

    @Test("the CRT controller moves to 3Bx for monochrome")
    func monochrome() {
        guest.set(0x3d4, 0x0f, 0x12)
        guest.out(0x3c2, 0xc2)
        #expect(guest.in(0x3d5) == 0xff)
        guest.out(0x3b4, 0x0f)
        #expect(guest.in(0x3b5) == 0x12)
    }

    @Test("protected CRT controller registers keep their values but for one bit")
    func protection() {
        guest.set(0x3d4, 0x11, 0x80)
        guest.set(0x3d4, 0, 0x5f)
        guest.set(0x3d4, 7, 0xff)
        #expect(guest.get(0x3d4, 0) == 0)
        #expect(guest.get(0x3d4, 7) == 0x10)
        guest.set(0x3d4, 0x11, 0x00)
        guest.set(0x3d4, 0, 0x5f)
        #expect(guest.get(0x3d4, 0) == 0x5f)
    }

    @Test("the attribute controller takes index and data in turn, from the index after a look at status 1")
    func flipFlop() {
        guest.setAttribute(0x10, 0x41)
        guest.out(0x3c0, 0x10)
        #expect(guest.in(0x3c1) == 0x41)
        _ = guest.in(0x3da)
        guest.out(0x3c0, 0x03)
        guest.out(0x3c0, 0x15)
        _ = guest.in(0x3da)
        // While the screen has the palette, it is not changed.
        guest.out(0x3c0, 0x23)
        guest.out(0x3c0, 0x2a)
        guest.out(0x3c0, 0x23)
        #expect(guest.in(0x3c1) == 0x15)
    }

    @Test("the DAC counts through colours when written and when read")
    func dac() {
        guest.setColour(254, 1, 2, 3)
        for value in [4, 5, 6] as [UInt8] { guest.out(0x3c9, value) }
        #expect(guest.in(0x3c8) == 0)
        guest.out(0x3c7, 254)
        #expect(guest.in(0x3c7) == 3)
        #expect((0..<6).map { _ in guest.in(0x3c9) } == [1, 2, 3, 4, 5, 6])
        // Six bits, unless the display interface says eight.
        guest.setColour(1, 0xff, 0xff, 0xff)
        guest.out(0x3c7, 1)
        #expect(guest.in(0x3c9) == 0x3f)
    }

    @Test("whoever waits for retrace or its end sees both soon")
    func retrace() {
        let states = (0..<4).map { _ in guest.in(0x3da) & 8 }
        #expect(Set(states) == [0, 8])
    }

    // MARK: DISPI

    @Test("the display interface tells its version and memory, at its ports and in BAR 2")
    func identity() {
        #expect(guest.getDISPI(0) == 0xb0c5)
        #expect(guest.getDISPI(10) == 256)
        #expect(guest.vga.readBar(2, offset: 0x500, width: 2) == 0xb0c5)
        #expect(guest.vga.readBar(2, offset: 0x514, width: 2) == 256)
        guest.setDISPI(0, 0xb0c2)
        #expect(guest.getDISPI(0) == 0xb0c2)
        guest.setDISPI(0, 0xbeef)
        #expect(guest.getDISPI(0) == 0xb0c2)
        // Where words must be aligned, data is at 1D0.
        guest.out16(0x1ce, 10)
        #expect(guest.in16(0x1d0) == 256)
    }

    @Test("maxima read where a mode's numbers do")
    func capabilities() {
        guest.setDISPI(4, 2)
        #expect([1, 2, 3].map { guest.getDISPI($0) } == [2560, 1600, 32])
        guest.setDISPI(4, 0)
        #expect([1, 2, 3].map { guest.getDISPI($0) } == [0, 0, 0])
    }

    @Test("a mode set as OVMF's driver does: through BAR 2")
    func ovmf() {
        func write(_ index: UInt64, _ value: UInt64) {
            guest.vga.writeBar(2, offset: 0x500 + index * 2, width: 2, value: value)
        }
        for (index, value) in [
            (4, 0), (5, 0), (8, 0), (9, 0), (3, 32), (1, 1280), (6, 1280), (2, 800), (7, 800), (4, 0x41),
        ] {
            write(UInt64(index), UInt64(value))
        }
        // The attribute controller's index, so that the screen is on: 3C0 is at 400.
        guest.vga.writeBar(2, offset: 0x400, width: 1, value: 0x20)
        guest.memory.poke(0, UInt32(0x123456))
        #expect(guest.look().isResized)
        #expect(guest.screen.surface.width == 1280 && guest.screen.surface.height == 800)
        #expect(guest.pixel(0, 0) == 0x123456)
    }

    @Test("switching a mode on clears its picture unless told not to")
    func clearing() {
        guest.memory.poke(100, UInt32(0xffffff))
        guest.setLinearMode(640, 480, 32, flags: 0xc1)
        _ = guest.look()
        #expect(guest.pixel(25, 0) == 0xffffff)
        guest.setLinearMode(640, 480, 32, flags: 0x41)
        _ = guest.look()
        #expect(guest.pixel(25, 0) == 0)
    }

    @Test("no mode reaches beyond the memory", arguments: [4, 8, 15, 16, 24, 32] as [UInt16])
    func limits(depth: UInt16) {
        let small = GuestVGA(memory: 1 << 20)
        small.setLinearMode(2560, 1600, depth)
        let bits = depth == 15 ? 16 : Int(depth)
        func reaches() -> Int {
            let pitch = Int(small.getDISPI(6)) * bits / 8
            let start = Int(small.getDISPI(9)) * pitch + Int(small.getDISPI(8)) * bits / 8
            return start + Int(small.getDISPI(2)) * pitch
        }
        #expect(small.getDISPI(4) & 1 == 1 && small.getDISPI(2) > 0)
        #expect(reaches() <= 1 << 20)
        for (index, value) in [(6, 0xffff), (9, 0xffff), (8, 0xffff), (6, 1), (9, 7)] as [(UInt16, UInt16)] {
            small.setDISPI(index, value)
            #expect(reaches() <= 1 << 20)
            _ = small.look()
        }
    }

    @Test("a mode with a depth or size that cannot be is not switched on")
    func nonsense() {
        guest.setLinearMode(640, 480, 13)
        #expect(guest.getDISPI(4) & 1 == 0)
        guest.setDISPI(1, 0)
        guest.setDISPI(3, 32)
        guest.setDISPI(4, 1)
        #expect(guest.getDISPI(4) & 1 == 0)
        guest.setDISPI(1, 4000)
        #expect(guest.getDISPI(1) == 0)
    }

    // MARK: The window

    @Test("the window shows banks of a linear mode, and is offered as a mapping")
    func banks() {
        guest.setLinearMode(640, 480, 32, flags: 0x01)
        guest.setDISPI(5, 3)
        guest.poke(0xa0005, 0x77)
        #expect(guest.memory.base.load(fromByteOffset: 0x3_0005, as: UInt8.self) == 0x77)
        #expect(guest.peek(0xa0005) == 0x77)
        #expect(guest.peek(0xb8000) == 0xff)
        #expect(
            mapper.windows.withLock { $0.last } == DirectWindow(guestAddress: 0xa0000, offset: 0x30000, count: 0x10000))
        guest.setDISPI(4, 0)
        #expect(mapper.windows.withLock { $0.last } == .some(nil))
        guest.set(.vga13)
        #expect(mapper.windows.withLock { $0.last } == DirectWindow(guestAddress: 0xa0000, offset: 0, count: 0x10000))
        guest.set(0x3c4, 2, 0x01)
        #expect(mapper.windows.withLock { $0.last } == .some(nil))
    }

    @Test("the window is where the graphics controller puts it, and shut while memory is off")
    func places() {
        guest.set(.text3)
        guest.poke(0xb8000, 0x41)
        #expect(guest.peek(0xb8000) == 0x41)
        #expect(guest.peek(0xa0000) == 0xff && guest.peek(0xb0000) == 0xff)
        guest.set(0x3ce, 6, 0x0a)
        #expect(guest.peek(0xb0000) == 0x41 && guest.peek(0xb8000) == 0xff)
        guest.set(0x3ce, 6, 0x02)
        #expect(guest.peek(0xa0000) == 0x41)
        guest.out(0x3c2, 0x65)
        #expect(guest.peek(0xa0000) == 0xff)
    }

    @Test("in text modes even addresses are characters in plane 0 and odd ones attributes in plane 1")
    func oddEven() {
        guest.set(.text3)
        guest.poke(0xb8002, 0x41)
        guest.poke(0xb8003, 0x1f)
        #expect(guest.memory.base.load(fromByteOffset: 4, as: UInt32.self) == 0x1f41)
        #expect(guest.vga.legacy.read(region: LegacyVGA.windowRegion, offset: 0x18002, width: 2) == 0x1f41)
    }

    // MARK: PCI

    @Test("it is the PCI function that drivers look for, with EDID, byte order and 16 MiB")
    func function() {
        guest.vga.withSpace { space in
            #expect(space.get(0, as: UInt32.self) == 0x1111_1234)
            #expect(space.get(0x08, as: UInt32.self) == 0x0300_0002)
        }
        #expect(guest.vga.readBar(2, offset: 0x604, width: 4) == 0x1e1e_1e1e)
        #expect(guest.vga.readBar(2, offset: 0, width: 8) == 0x00ff_ffff_ffff_ff00)
        let edid = (0..<128).map { UInt8(truncatingIfNeeded: guest.vga.readBar(2, offset: $0, width: 1)) }
        #expect(edid.reduce(0, &+) == 0)
        #expect(guest.vga.readBar(2, offset: 0x80, width: 4) == 0)
        #expect(guest.vga.readBar(2, offset: 0xfff, width: 8) == .max)
        guest.vga.writeBar(0, offset: 0xff_fffc, width: 4, value: 0xdead_beef)
        #expect(guest.vga.readBar(0, offset: 0xff_fffc, width: 4) == 0xdead_beef)
        guest.vga.writeBar(0, offset: 0x100_0000, width: 4, value: 1)
    }

    @Test("its mapper hears where the guest puts the framebuffer")
    func moves() {
        guest.vga.barMoved(0, to: 0xc000_0000)
        guest.vga.barMoved(2, to: 0xd000_0000)
        guest.vga.barMoved(0, to: nil)
        #expect(mapper.framebuffers.withLock { $0 } == [0xc000_0000, nil])
    }

    @Test("a reset switches the mode off and shuts the window")
    func reset() {
        guest.setLinearMode(640, 480, 32)
        _ = guest.look()
        guest.vga.reset()
        #expect(guest.getDISPI(4) == 0)
        #expect(guest.look().isResized)
        #expect(guest.screen.surface.width == 720)
    }

    @Test("whatever stands in the registers, a look draws a picture", arguments: 0..<8)
    func anything(seed: UInt64) {
        let guest = GuestVGA(memory: 256 << 10)
        guest.out(0x3c2, 0xc3)
        // The constants of Knuth's MMIX generator.
        var state = seed
        func next() -> UInt64 {
            state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
            return state >> 33
        }
        for round in 0..<400 {
            let value = UInt8(truncatingIfNeeded: next())
            switch next() % 8 {
            case 0: guest.out(0x3c0, value)
            case 1: guest.set(0x3c4, value & 7, UInt8(truncatingIfNeeded: next()))
            case 2: guest.set(0x3ce, value & 15, UInt8(truncatingIfNeeded: next()))
            case 3: guest.set(0x3d4, value & 31, UInt8(truncatingIfNeeded: next()))
            case 4: guest.setDISPI(UInt16(value & 15), UInt16(truncatingIfNeeded: next() & 0x3ff))
            case 5: guest.poke(0xa0000 + next() % 0x20000, value)
            case 6: _ = guest.peek(0xa0000 + next() % 0x20000)
            default: guest.out(0x3b0 + UInt16(value & 0x2f), UInt8(truncatingIfNeeded: next()))
            }
            guard round % 100 == 99 else { continue }
            let change = guest.look(now: next())
            let surface = guest.screen.surface
            #expect(surface.pixels.count == surface.width * surface.height)
            for rectangle in change.rectangles {
                #expect(rectangle.clipped(width: surface.width, height: surface.height) == rectangle)
            }
        }
    }
}
