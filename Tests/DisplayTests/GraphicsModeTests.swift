import Display
import Testing

@Suite("Graphics modes")
struct GraphicsModeTests {
    let guest = GuestVGA()

    @Test("mode 12h: set/reset and bit mask draw a pixel, as drivers for sixteen colours do")
    func planarPixel() {
        guest.set(.vga12)
        // Colour 12 at (13, 2): all planes from set/reset, one bit open, latches from a read.
        guest.set(0x3ce, 0, 12)
        guest.set(0x3ce, 1, 0x0f)
        guest.set(0x3ce, 8, 0x04)
        _ = guest.peek(0xa0000 + 2 * 80 + 1)
        guest.poke(0xa0000 + 2 * 80 + 1, 0)
        _ = guest.look()
        #expect(guest.screen.surface.width == 640 && guest.screen.surface.height == 480)
        #expect(guest.pixel(13, 2) == 0xff5555)
        #expect(guest.pixel(12, 2) == 0 && guest.pixel(14, 2) == 0)
        // The next one beside it leaves the first alone, thanks to the latches.
        guest.set(0x3ce, 0, 2)
        guest.set(0x3ce, 8, 0x02)
        _ = guest.peek(0xa0000 + 2 * 80 + 1)
        guest.poke(0xa0000 + 2 * 80 + 1, 0)
        #expect(guest.look().rectangles == [PixelRect(x: 14, y: 2, width: 1, height: 1)])
        #expect(guest.pixel(13, 2) == 0xff5555 && guest.pixel(14, 2) == 0x00aa00)
    }

    @Test("write mode 1 copies latches, mode 2 spreads a colour, mode 3 masks it with the data")
    func writeModes() {
        guest.set(.vga12)
        guest.set(0x3ce, 5, 2)
        guest.poke(0xa0000, 5)
        guest.set(0x3ce, 5, 1)
        _ = guest.peek(0xa0000)
        guest.poke(0xa0001, 0xff)
        guest.set(0x3ce, 5, 3)
        guest.set(0x3ce, 0, 15)
        _ = guest.peek(0xa0002)
        guest.poke(0xa0002, 0xf0)
        _ = guest.look()
        #expect(
            guest.art(0, 0, 24, 1, [0: ".", 0xaa00aa: "m", 0xffffff: "w"]) == ["mmmmmmmmmmmmmmmmwwww...."])
    }

    @Test("logical operations work on the latches, and data is rotated first")
    func operations() {
        guest.set(.vga12)
        guest.set(0x3c4, 2, 0x01)
        guest.poke(0xa0000, 0b1100_1010)
        for (operation, expected) in [(1, 0b1000_1000), (2, 0b1110_1110), (3, 0b0110_0110)] as [(UInt8, UInt8)] {
            guest.set(0x3ce, 3, 0)
            guest.poke(0xa0001, 0b1100_1010)
            guest.set(0x3ce, 3, operation << 3)
            _ = guest.peek(0xa0001)
            guest.poke(0xa0001, 0b1010_1100)
            #expect(guest.peek(0xa0001) == expected)
        }
        guest.set(0x3ce, 3, 3)
        guest.poke(0xa0002, 0b0000_1001)
        #expect(guest.peek(0xa0002) == 0b0010_0001)
    }

    @Test("read mode 0 reads the chosen plane, mode 1 compares colours")
    func readModes() {
        guest.set(.vga12)
        guest.set(0x3c4, 2, 0x04)
        guest.poke(0xa0010, 0x3c)
        guest.set(0x3ce, 4, 2)
        #expect(guest.peek(0xa0010) == 0x3c)
        guest.set(0x3ce, 4, 1)
        #expect(guest.peek(0xa0010) == 0)
        guest.set(0x3ce, 5, 0x08)
        guest.set(0x3ce, 2, 4)
        guest.set(0x3ce, 7, 0x0f)
        #expect(guest.peek(0xa0010) == 0x3c)
        // Planes that do not matter match always.
        guest.set(0x3ce, 7, 0)
        #expect(guest.peek(0xa0010) == 0xff)
    }

    @Test("mode 13h: a byte is a pixel of 2 by 2, its colour from the palette's six bits")
    func mode13() {
        guest.set(.vga13)
        guest.setColour(200, 63, 32, 1)
        guest.poke(0xa0000 + 320 * 3 + 5, 200)
        _ = guest.look()
        #expect(guest.screen.surface.width == 640 && guest.screen.surface.height == 400)
        let lit = [(10, 6), (11, 6), (10, 7), (11, 7)]
        for (x, y) in lit { #expect(guest.pixel(x, y) == 0xff8204) }
        #expect(guest.pixel(9, 6) == 0 && guest.pixel(12, 7) == 0 && guest.pixel(10, 8) == 0)
        // A new colour shows without a write to memory.
        guest.setColour(200, 0, 63, 0)
        #expect(guest.look().rectangles == [PixelRect(x: 10, y: 6, width: 2, height: 2)])
        #expect(guest.pixel(10, 6) == 0x00ff00)
    }

    @Test("an unchained 256-colour mode draws by planes and flips pages by the start address")
    func modeX() {
        guest.set(.vga13)
        guest.set(0x3c4, 4, 0x06)
        guest.set(0x3d4, 0x14, 0x00)
        guest.set(0x3d4, 0x17, 0xe3)
        guest.setColour(7, 63, 63, 63)
        // Pixel (6, 1) is byte 81 of plane 2; on the second page, 16000 further.
        guest.set(0x3c4, 2, 0x04)
        guest.poke(0xa0000 + 81, 7)
        guest.poke(0xa0000 + 16_000 + 80, 7)
        _ = guest.look()
        #expect(guest.pixel(12, 2) == 0xffffff && guest.pixel(4, 2) == 0)
        guest.set(0x3d4, 0x0c, UInt8(16_000 >> 8))
        guest.set(0x3d4, 0x0d, UInt8(16_000 & 0xff))
        _ = guest.look()
        #expect(guest.pixel(12, 2) == 0 && guest.pixel(4, 2) == 0xffffff)
    }

    @Test("mode 4: two bits a pixel, odd lines in the second bank")
    func cga() {
        guest.set(.cga4)
        // The palette of these modes: bit 4 is intensity.
        guest.setColour(0x13, 0x15, 0x3f, 0x3f)
        guest.setColour(0x15, 0x3f, 0x15, 0x3f)
        guest.setColour(0x17, 0x3f, 0x3f, 0x3f)
        guest.poke(0xb8000 + 1, 0b00_01_10_11)
        guest.poke(0xb8000 + 0x2000 + 80, 0b11_00_00_00)
        _ = guest.look()
        #expect(guest.screen.surface.width == 640 && guest.screen.surface.height == 400)
        // Light cyan, light magenta and white, each two by two.
        let letters: [UInt32: Character] = [0: ".", 0x55ffff: "c", 0xff55ff: "m", 0xffffff: "w"]
        #expect(guest.art(8, 0, 8, 3, letters) == ["..ccmmww", "..ccmmww", "........"])
        // The first byte of line 3: bank 1, second row.
        #expect(guest.art(0, 6, 4, 2, letters) == ["ww..", "ww.."])
    }

    @Test("mode 0Dh: pixels and lines are doubled")
    func ega() {
        guest.set(.ega0D)
        guest.set(0x3c4, 2, 0x0f)
        guest.poke(0xa0000 + 40, 0x80)
        _ = guest.look()
        #expect(guest.screen.surface.width == 640 && guest.screen.surface.height == 400)
        #expect(guest.art(0, 1, 4, 4, [0: ".", 0xffffff: "w"]) == ["....", "ww..", "ww..", "...."])
    }

    @Test("the split screen starts over from the memory's beginning, and panning shifts what is above")
    func splitAndPan() {
        guest.set(.vga12)
        guest.poke(0xa0000, 0xff)
        guest.set(0x3d4, 0x0c, 0x20)
        guest.poke(0xa2000, 0x0f)
        guest.setAttribute(0x13, 4)
        // Line compare 99: bit 8 is in register 7, bit 9 in register 9.
        guest.set(0x3d4, 0x11, 0)
        guest.set(0x3d4, 0x18, 99)
        guest.set(0x3d4, 0x07, 0x3e & ~0x10)
        guest.set(0x3d4, 0x09, 0x00)
        guest.showScreen()
        _ = guest.look()
        #expect(guest.art(0, 0, 8, 1, [0: ".", 0xffffff: "w"]) == ["wwww...."])
        #expect(guest.pixel(0, 99) == 0)
        #expect(guest.pixel(0, 100) == 0xffffff && guest.pixel(0, 101) == 0)
    }

    @Test("linear modes show 15, 16, 24 and 32 bits", arguments: [15, 16, 24, 32] as [UInt16])
    func depths(depth: UInt16) {
        guest.setLinearMode(64, 48, depth)
        let at = 64 * Int(depth == 15 ? 16 : depth) / 8
        switch depth {
        case 15: guest.memory.poke(at, UInt16(0b0_11111_10000_00001))
        case 16: guest.memory.poke(at, UInt16(0b11111_100000_00001))
        case 24:
            guest.memory.poke(at, UInt16(0x8408))
            guest.memory.poke(at + 2, UInt8(0xff))
        default: guest.memory.poke(at, UInt32(0xaa_ff_84_08))
        }
        _ = guest.look()
        #expect(guest.pixel(0, 1) == (depth == 16 ? 0xff8208 : 0xff8408))
        #expect(guest.pixel(1, 1) == 0)
    }

    @Test("an eight-bit linear mode uses all eight bits of the palette if told so")
    func wideDAC() {
        guest.setLinearMode(64, 48, 8, flags: 0x61)
        guest.setColour(9, 0x81, 0x42, 0x24)
        guest.memory.poke(3, UInt8(9))
        _ = guest.look()
        #expect(guest.pixel(3, 0) == 0x814224)
    }

    @Test("four-bit modes of any size are planar and banked")
    func planarDISPI() {
        guest.setLinearMode(800, 600, 4)
        guest.set(0x3c4, 4, 0x06)
        guest.set(0x3c4, 2, 0x0f)
        guest.set(0x3ce, 8, 0xff)
        guest.setEGAPalette()
        for index in UInt8(0)..<16 { guest.setAttribute(index, index) }
        guest.setAttribute(0x12, 0x0f)
        guest.setAttribute(0x10, 0x01)
        guest.showScreen()
        guest.poke(0xa0000 + 599 * 100 + 99, 0x01)
        _ = guest.look()
        #expect(guest.screen.surface.width == 800 && guest.screen.surface.height == 600)
        #expect(guest.pixel(799, 599) != 0 && guest.pixel(798, 599) == 0)
    }

    @Test("only lines on written pages are looked at, and of them only what changed is told")
    func damage() {
        guest.setLinearMode(1024, 768, 32)
        #expect(guest.look().isResized)
        #expect(guest.look().isEmpty)
        guest.memory.poke((500 * 1024 + 17) * 4, UInt32(0xffffff))
        #expect(guest.look().rectangles == [PixelRect(x: 17, y: 500, width: 1, height: 1)])
        // A write that the log misses is not seen: nobody reads those pages.
        guest.memory.poke((100 * 1024) * 4, UInt32(0xffffff), isLogged: false)
        #expect(guest.look().isEmpty)
        guest.memory.poke((100 * 1024 + 1) * 4, UInt32(0xffffff))
        #expect(guest.look().rectangles == [PixelRect(x: 0, y: 100, width: 2, height: 1)])
    }

    @Test("a picture wider than the screen is panned by its offsets")
    func virtualScreen() {
        guest.setLinearMode(640, 480, 32)
        guest.setDISPI(6, 1024)
        #expect(guest.getDISPI(7) == 4096)
        guest.memory.poke((20 * 1024 + 10) * 4, UInt32(0x00ff00))
        guest.setDISPI(8, 10)
        guest.setDISPI(9, 20)
        _ = guest.look()
        #expect(guest.pixel(0, 0) == 0x00ff00)
    }
}
