import Terminal

extension ConsoleState {
    /// A long text.
    func drawPager(_ pager: Pager, _ canvas: inout Canvas) {
        canvas.fill(canvas.area, .day)
        drawTitle(pager.title, &canvas)
        let height = size.rows - 2
        let rows = pager.rows(width: size.columns - 2)
        let top = max(0, min(pager.top, rows.count - 1))
        let end = min(rows.count, top + height)
        for (y, row) in rows[top..<max(top, end)].enumerated() {
            let style: Style = row.line == pager.found ? .selection : .day
            canvas.fill(Area(x: 0, y: y + 1, width: size.columns, height: 1), style)
            canvas.text(row.text, 1, y + 1, style)
        }
        if let entry = pager.entry {
            drawBar([], right: [.init("Enter", "Search"), .init("Esc", "Cancel")], &canvas)
            // The end of a long entry is what is being typed.
            let shown = String(String.UnicodeScalarView(entry.unicodeScalars.suffix(size.columns - 36)))
            canvas.text("/" + shown, 2, size.rows - 1, .barKey)
            canvas.cursor = (3 + shown.unicodeScalars.count, size.rows - 1)
            return
        }
        if !pager.notice.isEmpty {
            drawBar([], right: [], &canvas)
            canvas.text(pager.notice, 2, size.rows - 1, .barKey, width: size.columns - 24)
        } else {
            var hints: [KeyHint] = [
                .init("\u{2191}\u{2193} Space", "Scroll"), .init("/", "Search"), .init("n", "Next"),
            ]
            if pager.log != nil { hints.append(.init("F5", "Refresh")) }
            drawBar(hints + [.init("q", "Back")], right: [], &canvas)
        }
        let place = rows.count <= height ? "all" : "\(top + 1)\u{2013}\(end) of \(rows.count)"
        canvas.text(place, endingBefore: size.columns - 2, size.rows - 1, .bar)
    }
}
