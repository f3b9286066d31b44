/// The standard modes as a video BIOS sets them: register values of IBM's modes, as any VGA's BIOS has them.
struct BIOSMode {
    var miscellaneous: UInt8
    /// Registers 1 to 4.
    var sequencer: [UInt8]
    var crtc: [UInt8]
    /// 16 palette registers, then 10 to 13.
    var attribute: [UInt8]
    var graphics: [UInt8]

    private static let colours: [UInt8] = [
        0x00, 0x01, 0x02, 0x03, 0x04, 0x05, 0x14, 0x07, 0x38, 0x39, 0x3a, 0x3b, 0x3c, 0x3d, 0x3e, 0x3f,
    ]

    /// 80 by 25 characters of 9 by 16.
    static let text3 = BIOSMode(
        miscellaneous: 0x67, sequencer: [0x00, 0x03, 0x00, 0x02],
        crtc: [
            0x5f, 0x4f, 0x50, 0x82, 0x55, 0x81, 0xbf, 0x1f, 0x00, 0x4f, 0x0d, 0x0e, 0x00, 0x00, 0x00, 0x00, 0x9c, 0x8e,
            0x8f, 0x28, 0x1f, 0x96, 0xb9, 0xa3, 0xff,
        ], attribute: colours + [0x0c, 0x00, 0x0f, 0x08], graphics: [0, 0, 0, 0, 0, 0x10, 0x0e, 0x0f, 0xff])

    /// 320 by 200 in four colours.
    static let cga4 = BIOSMode(
        miscellaneous: 0x63, sequencer: [0x09, 0x03, 0x00, 0x02],
        crtc: [
            0x2d, 0x27, 0x28, 0x90, 0x2b, 0x80, 0xbf, 0x1f, 0x00, 0xc1, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x9c, 0x8e,
            0x8f, 0x14, 0x00, 0x96, 0xb9, 0xa2, 0xff,
        ],
        attribute: [
            0x00, 0x13, 0x15, 0x17, 0x02, 0x04, 0x06, 0x07, 0x10, 0x11, 0x12, 0x13, 0x14, 0x15, 0x16, 0x17, 0x01, 0x00,
            0x03, 0x00,
        ], graphics: [0, 0, 0, 0, 0, 0x30, 0x0f, 0x0f, 0xff])

    /// 320 by 200 in sixteen colours.
    static let ega0D = BIOSMode(
        miscellaneous: 0x63, sequencer: [0x09, 0x0f, 0x00, 0x06],
        crtc: [
            0x2d, 0x27, 0x28, 0x90, 0x2b, 0x80, 0xbf, 0x1f, 0x00, 0xc0, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x9c, 0x8e,
            0x8f, 0x14, 0x00, 0x96, 0xb9, 0xe3, 0xff,
        ], attribute: colours + [0x01, 0x00, 0x0f, 0x00], graphics: [0, 0, 0, 0, 0, 0x00, 0x05, 0x0f, 0xff])

    /// 640 by 480 in sixteen colours.
    static let vga12 = BIOSMode(
        miscellaneous: 0xe3, sequencer: [0x01, 0x0f, 0x00, 0x06],
        crtc: [
            0x5f, 0x4f, 0x50, 0x82, 0x54, 0x80, 0x0b, 0x3e, 0x00, 0x40, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0xea, 0x8c,
            0xdf, 0x28, 0x00, 0xe7, 0x04, 0xe3, 0xff,
        ], attribute: colours + [0x01, 0x00, 0x0f, 0x00], graphics: [0, 0, 0, 0, 0, 0x00, 0x05, 0x0f, 0xff])

    /// 320 by 200 in 256 colours.
    static let vga13 = BIOSMode(
        miscellaneous: 0x63, sequencer: [0x01, 0x0f, 0x00, 0x0e],
        crtc: [
            0x5f, 0x4f, 0x50, 0x82, 0x54, 0x80, 0xbf, 0x1f, 0x00, 0x41, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x9c, 0x8e,
            0x8f, 0x28, 0x40, 0x96, 0xb9, 0xa3, 0xff,
        ], attribute: Array(0...15) + [0x41, 0x00, 0x0f, 0x00], graphics: [0, 0, 0, 0, 0, 0x40, 0x05, 0x0f, 0xff])
}

extension GuestVGA {
    /// Programs all registers in the order in which a video BIOS does.
    func set(_ mode: BIOSMode) {
        // Once, when it starts: the colour ports, and the window open.
        out(0x3c2, 0xc3)
        _ = self.in(0x3da)
        out(0x3c0, 0)
        out(0x3c6, 0xff)
        for (index, value) in mode.attribute.enumerated() { setAttribute(UInt8(index), value) }
        setAttribute(0x14, 0)
        set(0x3c4, 0, 1)
        for (index, value) in mode.sequencer.enumerated() { set(0x3c4, UInt8(index + 1), value) }
        set(0x3c4, 0, 3)
        for (index, value) in mode.graphics.enumerated() { set(0x3ce, UInt8(index), value) }
        out(0x3c2, mode.miscellaneous)
        set(0x3d4, 0x11, 0)
        for (index, value) in mode.crtc.enumerated() { set(0x3d4, UInt8(index), value) }
        setEGAPalette()
        showScreen()
    }

    /// The 64 colours of the EGA: bits 5 to 3 are a third, bits 2 to 0 two thirds of red, green and blue.
    func setEGAPalette() {
        for index in UInt8(0)..<64 {
            func level(_ low: UInt8, _ high: UInt8) -> UInt8 {
                (index >> low & 1) * 0x2a + (index >> high & 1) * 0x15
            }
            setColour(index, level(2, 5), level(1, 4), level(0, 3))
        }
    }

    /// Loads the shape of a character into plane 2, as a video BIOS does it: planes apart, only the third open.
    func loadGlyph(_ character: UInt8, _ rows: [UInt8], set fontOffset: UInt64 = 0) {
        let saved = [(0x3c4, 2), (0x3c4, 4), (0x3ce, 4), (0x3ce, 5), (0x3ce, 6)].map {
            (UInt16($0.0), UInt8($0.1), get(UInt16($0.0), UInt8($0.1)))
        }
        for (port, index, value) in [(0x3c4, 2, 4), (0x3c4, 4, 7), (0x3ce, 4, 2), (0x3ce, 5, 0), (0x3ce, 6, 4)] {
            set(UInt16(port), UInt8(index), UInt8(value))
        }
        for (row, bits) in rows.enumerated() {
            poke(0xa0000 + fontOffset + UInt64(character) * 32 + UInt64(row), bits)
        }
        for (port, index, value) in saved { set(port, index, value) }
    }

    func writeText(_ text: String, column: Int = 0, row: Int = 0, attribute: UInt8 = 0x07) {
        for (index, byte) in text.utf8.enumerated() {
            let address = 0xb8000 + UInt64((row * 80 + column + index) * 2)
            poke(address, byte)
            poke(address + 1, attribute)
        }
    }

    /// Part of the picture as characters: what of it has which colour.
    func art(_ x: Int, _ y: Int, _ width: Int, _ height: Int, _ letters: [UInt32: Character]) -> [String] {
        (y..<y + height).map { y in String((x..<x + width).map { letters[pixel($0, y)] ?? "?" }) }
    }
}
