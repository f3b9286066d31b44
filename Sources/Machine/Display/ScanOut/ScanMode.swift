/// What the registers make of the video memory: the present mode, in the terms that drawing needs.
struct ScanMode: Equatable {
    enum Layout: Equatable {
        /// Nothing is shown.
        case blank
        /// Characters with attributes, their shapes in plane 2.
        case text(TextMode)
        /// Four planes of one bit a pixel.
        case planar
        /// Pairs of bits, first from planes 0 and 1, then from 2 and 3 (the CGA's four colours).
        case interleaved
        /// One byte a pixel, in colours of the palette.
        case indexed
        /// A linear picture; 15, 16, 24 or 32 bits a pixel.
        case direct(Int)
    }

    var layout: Layout
    /// Of the picture, in pixels.
    var width: Int
    var height: Int
    /// Where the first pixel is, in bytes.
    var start = 0
    /// Bytes from one line to the next.
    var pitch = 0
    /// Pixels that one pixel of the memory takes across.
    var stretch = 1
    /// Scan lines that one line of the memory takes.
    var repeats = 1
    /// Memory lines that share one row address, told apart by `bankBits` (the CGA's banks).
    var linesPerRow = 1
    /// Which bits of a plane address are those of the line in its row: mask of the first two bits of the line, and the shift
    /// that brings them there.
    var bankBits = (mask: 0, shift: 0)
    /// Pixels by which the picture begins further to the right in its first byte.
    var panning = 0
    /// The scan line after which the picture goes on from the start of the memory.
    var split = Int.max
    /// Plane addresses wrap at 64 Ki, as those of a VGA without extensions do.
    var wraps = true

    static func == (one: ScanMode, other: ScanMode) -> Bool {
        one.layout == other.layout && one.width == other.width && one.height == other.height
            && one.start == other.start && one.pitch == other.pitch && one.stretch == other.stretch
            && one.repeats == other.repeats && one.linesPerRow == other.linesPerRow && one.bankBits == other.bankBits
            && one.panning == other.panning && one.split == other.split && one.wraps == other.wraps
    }

    /// The largest picture that the VGA's own registers are taken to mean, in pixels across; DISPI has its own limits.
    static let widthMax = 2048

    /// What is shown before firmware has set a mode.
    static let unset = ScanMode(layout: .blank, width: 720, height: 400)

    init(layout: Layout, width: Int, height: Int) {
        self.layout = layout
        self.width = width
        self.height = height
    }

    init(_ registers: VGARegisters) {
        if registers.dispi.isOn {
            self.init(dispi: registers.dispi)
        } else if registers.graphics[6] & 1 == 0 {
            self.init(text: registers)
        } else {
            self.init(graphics: registers)
        }
        // The sequencer blanks the screen (clocking mode, bit 5), as does a palette that the processor holds.
        let isOff = registers.sequencer[1] & 0x20 != 0 || !registers.dispi.isOn && registers.attributeIndex & 0x20 == 0
        if isOff { self = ScanMode(layout: .blank, width: width, height: height) }
    }

    private init(dispi: DISPIRegisters) {
        let layout: Layout =
            switch dispi.depth {
            case 4: .planar
            case 8: .indexed
            default: .direct(Int(dispi.depth))
            }
        self.init(layout: layout, width: max(Int(dispi.width), 1), height: max(Int(dispi.height), 1))
        start = dispi.start
        pitch = dispi.pitch
        wraps = false
    }

    // CRT controller registers, IBM's Technical Reference: 1 horizontal display end, 7 overflow, 9 maximum scan line, 0C and 0D start address,
    // 12 vertical display end, 13 offset, 17 mode control, 18 line compare.

    private static func characters(_ registers: VGARegisters) -> Int { Int(registers.crtc[1]) + 1 }

    private static func scanLines(_ registers: VGARegisters) -> Int {
        let overflow = Int(registers.crtc[7])
        return Int(registers.crtc[0x12]) + (overflow & 0x02) << 7 + (overflow & 0x40) << 3 + 1
    }

    /// The start address, in plane bytes.
    private static func startAddress(_ registers: VGARegisters) -> Int {
        Int(registers.crtc[0x0c]) << 8 | Int(registers.crtc[0x0d])
    }

    private init(text registers: VGARegisters) {
        let text = TextMode(registers)
        let columns = Self.characters(registers)
        let lines = Self.scanLines(registers)
        guard columns >= 8, lines >= 64 else {
            self = .unset
            return
        }
        let cell = text.cellWidth * text.stretch
        self.init(layout: .text(text), width: min(columns * cell, Self.widthMax / cell * cell), height: lines)
        start = Self.startAddress(registers) << 2
        pitch = Int(registers.crtc[0x13]) << 3
        stretch = text.stretch
    }

    private init(graphics registers: VGARegisters) {
        let columns = Self.characters(registers)
        let lines = Self.scanLines(registers)
        guard columns >= 8, lines >= 64 else {
            self = .unset
            return
        }
        // The graphics controller's mode register, bits 6 and 5: shift register mode.
        let layout: Layout =
            switch registers.graphics[5] >> 5 & 3 {
            case 0: .planar
            case 1: .interleaved
            default: .indexed
            }
        let isHalved = registers.sequencer[1] & 0x08 != 0
        let stretch = layout == .indexed || isHalved ? 2 : 1
        // With half the dot clock a character is sixteen dots wide.
        let dots = columns * (isHalved ? 16 : 8)
        self.init(layout: layout, width: min(dots, Self.widthMax), height: lines)
        self.stretch = stretch
        start = Self.startAddress(registers) << 2
        pitch = Int(registers.crtc[0x13]) << 3
        let scanLine = registers.crtc[9]
        let control = registers.crtc[0x17]
        let doubling = scanLine & 0x80 != 0 ? 2 : 1
        let rows = Int(scanLine & 0x1f) + 1
        if control & 3 == 3 {
            repeats = rows * doubling
        } else {
            repeats = doubling
            linesPerRow = rows
            // Bits 13 and 14 of the address are replaced by those of the line; in word mode, where chained planes count
            // once, they are one further down.
            bankBits = (mask: Int(~control & 3), shift: control & 0x40 != 0 ? 13 : 12)
        }
        let panning = Int(registers.attribute[0x13] & 0x0f)
        self.panning = layout == .indexed ? panning >> 1 & 3 : panning & 7
        let overflow = Int(registers.crtc[7])
        split = Int(registers.crtc[0x18]) | (overflow & 0x10) << 4 | Int(scanLine & 0x40) << 3
    }

    /// Where a scan line begins in the memory, in bytes.
    func lineStart(_ y: Int) -> Int {
        let isBelow = y > split
        let line = (isBelow ? y - split - 1 : y) / max(repeats, 1)
        let row = line / max(linesPerRow, 1)
        var address = (isBelow ? 0 : start) + row * pitch
        if bankBits.mask != 0 {
            let banks = (line % max(linesPerRow, 1)) & bankBits.mask
            address = address & ~(bankBits.mask << (bankBits.shift + 2)) | banks << (bankBits.shift + 2)
        }
        return wraps ? address & 0x3_ffff : address
    }

    /// Bytes of memory that a line takes from its start, `panning` included.
    var lineBytes: Int {
        let pixels = width / max(stretch, 1) + panning
        switch layout {
        case .blank, .text: return 0
        case .planar: return (pixels + 7) / 8 * 4
        case .interleaved: return (pixels + 7) / 8 * 4
        case .indexed: return pixels
        case .direct(let depth): return pixels * (depth == 15 ? 2 : depth / 8)
        }
    }
}

/// How characters are drawn.
struct TextMode: Equatable {
    /// Of a character, in dots.
    var cellWidth: Int
    var cellHeight: Int
    /// Pixels that a dot takes across: two where the dot clock is halved.
    var stretch: Int
    /// Where the two character sets begin in plane 2, in bytes; attributes with bit 3 take the second, all others the first.
    var fonts: (Int, Int)
    /// Bit 7 of an attribute blinks rather than lightens the background.
    var blinks: Bool
    /// The ninth column of C0 to DF repeats the eighth, so that lines join.
    var joinsLines: Bool
    /// Scan line in the cell that attributes with the foreground 1 underline; only monochrome adapters do.
    var underline: Int?
    /// The cell with the cursor, as a plane address, and its first and last scan line in the cell; nil if it is off.
    var cursor: (cell: Int, first: Int, last: Int)?

    static func == (one: TextMode, other: TextMode) -> Bool {
        // The cursor moves without a mode's being set.
        one.cellWidth == other.cellWidth && one.cellHeight == other.cellHeight && one.stretch == other.stretch
            && one.fonts == other.fonts && one.blinks == other.blinks && one.joinsLines == other.joinsLines
            && one.underline == other.underline
    }

    init(_ registers: VGARegisters) {
        let clocking = registers.sequencer[1]
        cellWidth = clocking & 1 != 0 ? 8 : 9
        stretch = clocking & 0x08 != 0 ? 2 : 1
        let scanLine = registers.crtc[9]
        cellHeight = (Int(scanLine & 0x1f) + 1) * (scanLine & 0x80 != 0 ? 2 : 1)
        // Character map select: which 8 KiB of plane 2, the bits in an order that grew over time.
        let select = Int(registers.sequencer[3])
        func font(_ low: Int, _ high: Int) -> Int { low << 14 | high << 13 }
        // An attribute's bit 3 chooses map A (bits 5, 3, 2) if it is one, else map B (bits 4, 1, 0).
        fonts = (font(select & 3, select >> 4 & 1), font(select >> 2 & 3, select >> 5 & 1))
        let control = registers.attribute[0x10]
        blinks = control & 0x08 != 0
        joinsLines = control & 0x04 != 0
        underline = control & 0x02 != 0 ? Int(registers.crtc[0x14] & 0x1f) : nil
        let first = Int(registers.crtc[0x0a] & 0x1f)
        let last = Int(registers.crtc[0x0b] & 0x1f)
        guard registers.crtc[0x0a] & 0x20 == 0, first <= last else { return }
        cursor = (Int(registers.crtc[0x0e]) << 8 | Int(registers.crtc[0x0f]), first, last)
    }
}
