/// Draws text modes, and of them only the cells that look otherwise than at the last time.
struct TextPainter {
    /// A look at a text screen.
    struct Frame {
        var mode: ScanMode
        var text: TextMode
        var palette: Palette
        /// Nanoseconds.
        var now: UInt64
    }

    /// Rows that a character set has for each character.
    private static let glyphRows = 32
    /// Half a period of the cursor's blinking and of characters', in nanoseconds: 16 and 32 pictures of a 60 Hz screen.
    private static let cursorPhase: UInt64 = 266_666_667
    private static let characterPhase: UInt64 = 533_333_333

    /// Of the last frame: character and attribute of each cell in the low half, then `isHidden` and `hasCursor`.
    private var cells: [UInt32] = []
    /// Both character sets, as they were drawn.
    private var glyphs: [UInt8] = []
    private var cursorLines = 0..<0

    private static let isHidden: UInt32 = 1 << 16
    private static let hasCursor: UInt32 = 1 << 17
    /// No cell looks like this.
    private static let unknown: UInt32 = .max

    init() {}

    mutating func paint(
        _ frame: Frame, _ memory: VideoMemory, all: Bool, into surface: inout Surface, _ damage: inout DamageCollector
    ) {
        let text = frame.text
        let cellWidth = text.cellWidth * text.stretch
        let columns = frame.mode.width / cellWidth
        let rows = (frame.mode.height + text.cellHeight - 1) / text.cellHeight
        let newGlyphs = Self.glyphs(text, memory)
        let newLines = text.cursor.map { $0.first..<$0.last + 1 } ?? 0..<0
        if all || cells.count != columns * rows || newGlyphs != glyphs || newLines != cursorLines {
            cells = Array(repeating: Self.unknown, count: columns * rows)
            glyphs = newGlyphs
            cursorLines = newLines
        }
        let showsCursor = frame.now / Self.cursorPhase & 1 == 0
        let hidesBlinking = text.blinks && frame.now / Self.characterPhase & 1 == 1
        for row in 0..<rows {
            var changed: Range<Int>?
            for column in 0..<columns {
                let address = (frame.mode.start >> 2 + row * (frame.mode.pitch >> 2) + column) & 0xffff
                var cell = (memory.planes(address) ?? 0) & 0xffff
                if hidesBlinking, cell & 0x8000 != 0 { cell |= Self.isHidden }
                if showsCursor, text.cursor?.cell == address { cell |= Self.hasCursor }
                guard cell != cells[row * columns + column] else { continue }
                cells[row * columns + column] = cell
                draw(cell, frame, x: column * cellWidth, y: row * text.cellHeight, into: &surface)
                changed = min(changed?.lowerBound ?? column, column)..<column + 1
            }
            guard let changed else { continue }
            let y = row * text.cellHeight
            damage.add(
                PixelRect(
                    x: changed.lowerBound * cellWidth, y: y, width: changed.count * cellWidth,
                    height: min(text.cellHeight, surface.height - y)))
        }
    }

    /// The shapes of both character sets' 256 characters, 32 bytes each, one after the other.
    private static func glyphs(_ text: TextMode, _ memory: VideoMemory) -> [UInt8] {
        func plane2(_ start: Int) -> [UInt8] {
            (0..<256 * glyphRows).map { UInt8(truncatingIfNeeded: (memory.planes(start + $0) ?? 0) >> 16) }
        }
        let first = plane2(text.fonts.0)
        return first + (text.fonts.0 == text.fonts.1 ? first : plane2(text.fonts.1))
    }

    private func draw(_ cell: UInt32, _ frame: Frame, x left: Int, y top: Int, into surface: inout Surface) {
        let text = frame.text
        let character = Int(cell & 0xff)
        let attribute = Int(cell >> 8 & 0xff)
        let foreground = frame.palette.attributes[attribute & 0x0f]
        let background = frame.palette.attributes[attribute >> 4 & (text.blinks ? 7 : 15)]
        let set = attribute & 0x08 != 0 ? 256 : 0
        let joins = text.joinsLines && (0xc0...0xdf).contains(character)
        for line in 0..<text.cellHeight where top + line < surface.height {
            var bits = line < Self.glyphRows ? UInt32(glyphs[(set + character) * Self.glyphRows + line]) << 1 : 0
            if joins { bits |= bits >> 1 & 1 }
            if text.underline == line, attribute & 7 == 1 { bits = 0x1ff }
            if cell & Self.isHidden != 0 { bits = 0 }
            if cell & Self.hasCursor != 0, cursorLines.contains(line) { bits = 0x1ff }
            let row = (top + line) * surface.width + left
            for dot in 0..<text.cellWidth {
                let pixel = bits >> UInt32(8 - dot) & 1 != 0 ? foreground : background
                for copy in 0..<text.stretch { surface.pixels[row + dot * text.stretch + copy] = pixel }
            }
        }
    }
}
