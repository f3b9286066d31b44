/// Draws what an adapter shows, when somebody asks.
///
/// Belongs to one thread, and is the only one that looks at its adapter: it takes the marks of what was written. Drawing reads video memory
/// while the guest may write it, as a monitor's beam does; what changes meanwhile is drawn at the next look.
public final class ScanOut: Screen {
    public private(set) var surface = Surface(width: ScanMode.unset.width, height: ScanMode.unset.height)
    private let adapter: DisplayAdapter
    private var mode = ScanMode.unset
    private var palette: Palette
    private var pages: [UInt64]
    private var text = TextPainter()
    private var line: [UInt32] = []
    private var isFirst = true

    public init(_ vga: StandardVGA) {
        adapter = vga.adapter
        palette = Palette(adapter.registers)
        pages = Array(repeating: 0, count: adapter.pageWords)
    }

    public func update(now: UInt64) -> ScreenChange {
        // The marks first, then the bytes: what is written in between is marked for the next time.
        for index in pages.indices { pages[index] = 0 }
        adapter.takeWritten(into: &pages)
        let registers = adapter.registers
        let newMode = ScanMode(registers)
        let newPalette = Palette(registers)
        let isResized = newMode.width != surface.width || newMode.height != surface.height || isFirst
        let isNew = isResized || newMode != mode || newPalette != palette
        isFirst = false
        mode = newMode
        palette = newPalette
        if isResized { surface = Surface(width: mode.width, height: mode.height) }
        var damage = DamageCollector()
        switch mode.layout {
        case .blank: if isNew { clear(&damage) }
        case .text(let description):
            let frame = TextPainter.Frame(mode: mode, text: description, palette: palette, now: now)
            text.paint(frame, adapter.memory, all: isNew, into: &surface, &damage)
        default: drawLines(all: isNew, &damage)
        }
        if isResized {
            let all = PixelRect(x: 0, y: 0, width: surface.width, height: surface.height)
            return ScreenChange(isResized: true, rectangles: [all])
        }
        return ScreenChange(rectangles: damage.finish())
    }

    private func clear(_ damage: inout DamageCollector) {
        for index in surface.pixels.indices { surface.pixels[index] = 0 }
        damage.add(PixelRect(x: 0, y: 0, width: surface.width, height: surface.height))
    }

    private func drawLines(all: Bool, _ damage: inout DamageCollector) {
        var previousStart = -1
        var isPainted = false
        for y in 0..<surface.height {
            let start = mode.lineStart(y)
            // A doubled line shows the memory of the one above once more.
            if start != previousStart {
                previousStart = start
                isPainted = all || isWritten(start, mode.lineBytes)
                if isPainted { LinePainter.paint(mode, palette, adapter.memory, start: start, into: &line) }
            }
            guard isPainted, let changed = surface.replaceLine(y, with: line) else { continue }
            damage.add(PixelRect(x: changed.lowerBound, y: y, width: changed.count, height: 1))
        }
    }

    /// Whether any page of a stretch of memory was written.
    private func isWritten(_ start: Int, _ count: Int) -> Bool {
        let first = max(start, 0) >> 12
        let last = (max(start, 0) + max(count, 1) - 1) >> 12
        // Beyond 64 Ki plane addresses a line goes on at the beginning.
        let wraps = mode.wraps && start + count > 0x4_0000
        for page in first...last where page >> 6 < pages.count && pages[page >> 6] & 1 << UInt64(page & 63) != 0 {
            return true
        }
        return wraps && pages.first.map { $0 & 1 != 0 } == true
    }
}
