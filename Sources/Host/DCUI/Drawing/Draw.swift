import HostModel
public import Terminal

extension ConsoleState {
    /// The smallest screen that everything fits on. Common serial terminals have 80 columns and 24 rows.
    static let smallest = CellSize(columns: 78, rows: 24)

    /// The picture of this state.
    public func draw() -> Canvas {
        var canvas = Canvas(size)
        guard size.columns >= Self.smallest.columns, size.rows >= Self.smallest.rows else {
            drawTooSmall(&canvas)
            return canvas
        }
        let base = screens.lastIndex(where: \.isFullScreen)
        switch base.map({ screens[$0] }) {
        case .menu(let menu): drawMenu(menu, &canvas)
        case .pager(let pager): drawPager(pager, &canvas)
        case .machines(let selected): drawMachines(selected, &canvas)
        default: drawStatus(&canvas)
        }
        let overlays = screens[(base.map { $0 + 1 } ?? 0)...]
        if !overlays.isEmpty { drawBar([], right: [], &canvas) }
        for screen in overlays {
            canvas.cursor = nil
            switch screen {
            case .form(let form): drawForm(form, &canvas)
            case .message(let message): drawMessage(message, &canvas)
            case .confirmation(let question): drawConfirmation(question, &canvas)
            case .busy(let text): drawBusy(text, &canvas)
            case .networkTest(let test): drawNetworkTest(test, &canvas)
            case .menu, .pager, .machines: break
            }
        }
        return canvas
    }

    private func drawTooSmall(_ canvas: inout Canvas) {
        canvas.fill(canvas.area, .night)
        let text =
            "Wafer's console needs \(Self.smallest.columns) columns and \(Self.smallest.rows) rows; this terminal has "
            + "\(size.columns) and \(size.rows). Make it larger and press Ctrl-L."
        for (row, line) in DisplayText.wrapped(text, size.columns - 2).enumerated() {
            canvas.text(line, 1, row, .night)
        }
    }

    // MARK: What screens share

    /// A key and what it does, for the bottom line.
    struct KeyHint: Equatable, Sendable {
        var key: String
        var label: String

        init(_ key: String, _ label: String) {
            self.key = key
            self.label = label
        }

        /// Columns it takes.
        var width: Int { key.unicodeScalars.count + label.unicodeScalars.count + 1 }
    }

    /// The bottom line.
    func drawBar(_ left: [KeyHint], right: [KeyHint], _ canvas: inout Canvas) {
        let y = size.rows - 1
        canvas.fill(Area(x: 0, y: y, width: size.columns, height: 1), .bar)
        drawHints(left, 2, y, .barKey, .bar, &canvas)
        let width = right.reduce(0) { $0 + $1.width } + 3 * max(0, right.count - 1)
        drawHints(right, size.columns - 2 - width, y, .barKey, .bar, &canvas)
    }

    func drawHints(
        _ hints: [KeyHint], _ x: Int, _ y: Int, _ key: Style, _ label: Style, _ canvas: inout Canvas
    ) {
        var x = x
        for hint in hints {
            canvas.text(hint.key, x, y, key)
            canvas.text(hint.label, x + hint.key.unicodeScalars.count + 1, y, label)
            x += hint.width + 3
        }
    }

    /// The top line of a full-screen list: what it is, and which host.
    func drawTitle(_ title: String, _ canvas: inout Canvas) {
        canvas.fill(Area(x: 0, y: 0, width: size.columns, height: 1), .nightStrong)
        canvas.text(title, 2, 0, .nightStrong, width: size.columns / 2)
        let name = host.network?.hostName ?? host.settings?.hostName ?? "Wafer"
        canvas.text(DisplayText.fitted(name, size.columns / 2 - 6), endingBefore: size.columns - 2, 0, .night)
    }

    /// Which part of a list of `count` lines to show in `height` rows so that `selected` is seen.
    static func window(_ count: Int, selected: Int, height: Int) -> Range<Int> {
        guard height > 0 else { return 0..<0 }
        let start = max(0, min(selected - height / 2, count - height))
        return start..<min(count, start + height)
    }
}
