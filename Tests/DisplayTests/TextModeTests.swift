import Display
import Testing

@Suite("Text modes")
struct TextModeTests {
    let guest = GuestVGA()
    private static let grey: UInt32 = 0xaaaaaa
    /// A letter and a line-drawing character, in sixteen rows.
    private static let letterA: [UInt8] = [0, 0, 0x10, 0x38, 0x6c, 0xc6, 0xc6, 0xfe, 0xc6, 0xc6, 0xc6, 0, 0, 0, 0, 0]
    private static let line: [UInt8] = [0, 0, 0, 0, 0, 0, 0, 0xff, 0, 0, 0, 0, 0, 0, 0, 0]

    init() {
        guest.set(.text3)
        guest.loadGlyph(0x41, Self.letterA)
        guest.loadGlyph(0xc4, Self.line)
        guest.loadGlyph(0x20, [])
        // As the BIOS leaves it: blanks everywhere. The cursor is out of sight.
        for row in 0..<25 { guest.writeText(String(repeating: " ", count: 80), row: row) }
        guest.set(0x3d4, 0x0a, 0x20)
    }

    @Test("mode 3 is 720 by 400, and a letter looks as its font says, nine dots wide")
    func letter() {
        guest.writeText("A", column: 2, row: 1)
        _ = guest.look()
        #expect(guest.screen.surface.width == 720 && guest.screen.surface.height == 400)
        let art = guest.art(18, 16, 9, 16, [0: ".", Self.grey: "#"])
        #expect(
            art == [
                ".........",
                ".........",
                "...#.....",
                "..###....",
                ".##.##...",
                "##...##..",
                "##...##..",
                "#######..",
                "##...##..",
                "##...##..",
                "##...##..",
                ".........",
                ".........",
                ".........",
                ".........",
                ".........",
            ])
    }

    @Test("line-drawing characters fill their ninth dot, others do not")
    func ninthDot() {
        guest.writeText("\u{41}")
        guest.poke(0xb8002, 0xc4)
        guest.poke(0xb8004, 0x41)
        _ = guest.look()
        #expect(guest.art(0, 7, 27, 1, [0: ".", Self.grey: "#"]) == ["#######..#########" + "#######.."])
        // Without the attribute controller's line graphics bit, the ninth dot is background.
        guest.setAttribute(0x10, 0x08)
        guest.showScreen()
        _ = guest.look()
        #expect(guest.art(9, 7, 9, 1, [0: ".", Self.grey: "#"]) == ["########."])
    }

    @Test("with eight-dot characters the screen is 640 wide")
    func eightDots() {
        guest.writeText("AA")
        guest.set(0x3c4, 1, 0x01)
        #expect(guest.look().isResized)
        #expect(guest.screen.surface.width == 640)
        #expect(guest.art(0, 7, 16, 1, [0: ".", Self.grey: "#"]) == ["#######.#######."])
    }

    @Test("attributes choose the colours; bit 7 blinks or, where the mode says so, lightens the background")
    func attributes() {
        guest.writeText("A", attribute: 0x9c)
        _ = guest.look(now: 0)
        // Light red on blue.
        #expect(guest.pixel(0, 7) == 0xff5555)
        #expect(guest.pixel(8, 7) == 0x0000aa)
        // Half a second later it is hidden.
        _ = guest.look(now: 600_000_000)
        #expect(guest.pixel(0, 7) == 0x0000aa)
        guest.setAttribute(0x10, 0x04)
        guest.showScreen()
        _ = guest.look(now: 600_000_000)
        #expect(guest.pixel(0, 7) == 0xff5555)
        #expect(guest.pixel(8, 7) == 0x5555ff)
    }

    @Test("only cells that look otherwise are drawn again")
    func damage() {
        _ = guest.look()
        #expect(guest.look().isEmpty)
        guest.writeText("A", column: 10, row: 3)
        #expect(guest.look().rectangles == [PixelRect(x: 90, y: 48, width: 9, height: 16)])
        // Writing the same again, or a shape in an unused place of plane 2, changes nothing.
        guest.writeText("A", column: 10, row: 3)
        guest.loadGlyph(0x41, Self.letterA)
        #expect(guest.look().isEmpty)
    }

    @Test("another font draws all characters again")
    func font() {
        guest.writeText("A")
        _ = guest.look()
        guest.loadGlyph(0x41, Self.line)
        #expect(!guest.look().isEmpty)
        #expect(guest.art(0, 7, 9, 1, [0: ".", Self.grey: "#"]) == ["########."])
    }

    @Test("the cursor stands where its registers say, in its lines, and blinks")
    func cursor() {
        _ = guest.look()
        guest.set(0x3d4, 0x0a, 13)
        guest.set(0x3d4, 0x0b, 14)
        guest.set(0x3d4, 0x0e, 0)
        guest.set(0x3d4, 0x0f, 81)
        _ = guest.look(now: 0)
        #expect(
            guest.art(9, 28, 9, 4, [0: ".", Self.grey: "#"]) == [".........", "#########", "#########", "........."])
        #expect(guest.look(now: 300_000_000).rectangles == [PixelRect(x: 9, y: 16, width: 9, height: 16)])
        #expect(guest.pixel(9, 29) == 0)
        #expect(guest.look(now: 600_000_000).rectangles == [PixelRect(x: 9, y: 16, width: 9, height: 16)])
    }

    @Test("bit 3 of an attribute takes the second font if there are two")
    func twoFonts() {
        guest.loadGlyph(0x41, Self.line, set: 0x4000)
        // Map A (bit 3 set) is the second of eight, map B the first.
        guest.set(0x3c4, 3, 0x04)
        guest.writeText("A", attribute: 0x07)
        guest.writeText("A", column: 1, attribute: 0x0f)
        _ = guest.look()
        #expect(guest.art(0, 7, 18, 1, [0: ".", Self.grey: "#", 0xffffff: "@"]) == ["#######..@@@@@@@@."])
    }

    @Test("the start address scrolls the screen")
    func scrolling() {
        guest.writeText("A", row: 1)
        guest.set(0x3d4, 0x0d, 80)
        _ = guest.look()
        #expect(guest.pixel(3, 2) == Self.grey)
    }

    @Test("a screen that is switched off is black, and comes back")
    func blanking() {
        guest.writeText("A")
        _ = guest.look()
        guest.set(0x3c4, 1, 0x20)
        #expect(guest.look().rectangles == [PixelRect(x: 0, y: 0, width: 720, height: 400)])
        #expect(guest.screen.surface.pixels.allSatisfy { $0 == 0 })
        guest.set(0x3c4, 1, 0x00)
        #expect(!guest.look().isEmpty)
        #expect(guest.pixel(3, 2) == Self.grey)
    }

    @Test("before a mode is set the screen is black")
    func unset() {
        let fresh = GuestVGA()
        let change = fresh.look()
        #expect(change.isResized)
        #expect(fresh.screen.surface.width == 720 && fresh.screen.surface.height == 400)
        #expect(fresh.look().isEmpty)
    }
}
