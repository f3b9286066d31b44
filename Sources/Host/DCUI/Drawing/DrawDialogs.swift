import Terminal

extension ConsoleState {
    /// Text columns of a dialog.
    private static let dialogWidth = 64

    /// Draws a dialog's frame with its title and its line of keys, in the middle of the screen.
    ///
    /// - Returns: where its contents go.
    private func drawDialog(
        _ title: String, width: Int, height: Int, _ hints: [KeyHint], _ canvas: inout Canvas
    ) -> Area {
        let keys = hints.isEmpty ? 0 : 2
        let hintWidth = hints.reduce(0) { $0 + $1.width } + 3 * max(0, hints.count - 1)
        let width = min(max(width, hintWidth, title.unicodeScalars.count + 4), size.columns - 8)
        let outer = CellSize(columns: width + 6, rows: min(height + 4 + keys, size.rows - 1))
        let area = Area(
            x: (size.columns - outer.columns) / 2, y: max(0, (size.rows - 1 - outer.rows) / 2), width: outer.columns,
            height: outer.rows)
        // Halves of words beside a dialog would look torn.
        canvas.clear(rows: area.y..<area.y + area.height)
        canvas.box(area, frame: .frame, inside: .dialog)
        canvas.text(" \(title) ", area.x + 2, area.y, .frame, width: area.width - 4)
        if !hints.isEmpty {
            let y = area.y + area.height - 2
            canvas.rule(area.x, y - 1, width: area.width, .frame)
            canvas.put("├", area.x, y - 1, .frame)
            canvas.put("┤", area.x + area.width - 1, y - 1, .frame)
            drawHints(hints, area.x + 3, y, .frame, .dialogFaint, &canvas)
        }
        return Area(x: area.x + 3, y: area.y + 2, width: width, height: area.height - 4 - keys)
    }

    func drawMessage(_ message: Message, _ canvas: inout Canvas) {
        let lines = DisplayText.wrapped(message.text, min(Self.dialogWidth, size.columns - 8))
        let width = lines.map(\.unicodeScalars.count).max() ?? 0
        let inside = drawDialog(
            message.title, width: max(36, width), height: lines.count, [.init("Enter", "Close")], &canvas)
        drawLines(lines, inside, message.isBad ? .dialogWarning : .dialog, &canvas)
    }

    func drawBusy(_ text: String, _ canvas: inout Canvas) {
        let lines = DisplayText.wrapped(text, Self.dialogWidth)
        let width = lines.map(\.unicodeScalars.count).max() ?? 0
        let inside = drawDialog("One moment", width: max(36, width), height: lines.count, [], &canvas)
        drawLines(lines, inside, .dialog, &canvas)
    }

    func drawConfirmation(_ question: Confirmation, _ canvas: inout Canvas) {
        var lines = DisplayText.wrapped(question.text, Self.dialogWidth)
        let box = question.acknowledgement.map { "[\(question.isAcknowledged ? "x" : " ")] \($0)" }
        let text = lines.count
        if box != nil { lines += ["", ""] }
        var hints: [KeyHint] = []
        if box != nil { hints.append(.init("Space", "Tick")) }
        for choice in question.choices { hints.append(.init(Self.name(of: choice.key), choice.label)) }
        hints.append(.init("Esc", "Cancel"))
        let inside = drawDialog(question.title, width: Self.dialogWidth, height: lines.count, hints, &canvas)
        drawLines(Array(lines.prefix(text)), inside, .dialog, &canvas)
        if let box {
            let y = inside.y + text + 1
            canvas.fill(Area(x: inside.x - 1, y: y, width: inside.width + 2, height: 1), .selection)
            canvas.text(box, inside.x, y, .selection, width: inside.width)
        }
    }

    private static func name(of key: Key) -> String {
        switch key {
        case .function(let number): "F\(number)"
        case .character(let scalar): scalar.properties.uppercaseMapping
        case .enter: "Enter"
        default: "?"
        }
    }

    func drawNetworkTest(_ test: NetworkTest, _ canvas: inout Canvas) {
        let hints: [KeyHint] = [.init("Esc", test.isDone ? "Close" : "Stop")]
        let inside = drawDialog(
            "Test Management Network", width: Self.dialogWidth, height: test.lines.count * 2, hints, &canvas)
        for (index, line) in test.lines.enumerated() {
            let y = inside.y + index * 2
            let verdict: (text: String, style: Style, detail: String)
            switch line.verdict {
            case .waiting: verdict = ("", .dialogFaint, "")
            case .running: verdict = ("\u{2026}", .dialog, "")
            case .passed(let text): verdict = ("OK", .dialog, text)
            case .failed(let text): verdict = ("Failed", .dialogWarning, text)
            }
            canvas.text(line.label, inside.x, y, .dialog, width: inside.width - 8)
            canvas.text(verdict.text, endingBefore: inside.x + inside.width, y, verdict.style)
            canvas.text(verdict.detail, inside.x + 2, y + 1, .dialogFaint, width: inside.width - 2)
        }
    }

    private func drawLines(_ lines: [String], _ area: Area, _ style: Style, _ canvas: inout Canvas) {
        for (row, line) in lines.prefix(area.height).enumerated() {
            canvas.text(line, area.x, area.y + row, style, width: area.width)
        }
    }

    // MARK: Forms

    func drawForm(_ form: Form, _ canvas: inout Canvas) {
        let width = Self.dialogWidth
        let introduction = form.introduction.isEmpty ? [] : DisplayText.wrapped(form.introduction, width) + [""]
        let error = form.error.isEmpty ? [] : [""] + DisplayText.wrapped(form.error, width)
        // Frame, title, keys and the bottom line take eight rows.
        let room = max(1, size.rows - 8 - introduction.count - error.count)
        let window = Self.window(form.fields.count, selected: form.focus, height: room)
        let inside = drawDialog(
            form.title, width: width, height: introduction.count + window.count + error.count, hints(of: form), &canvas)
        drawLines(introduction, inside, .dialogFaint, &canvas)
        let label =
            form.fields.filter(\.isTextual).map { $0.label.unicodeScalars.count + ($0.needs == nil ? 0 : 4) }.max() ?? 0
        for (row, index) in window.enumerated() {
            drawField(form, index, label + 2, inside, inside.y + introduction.count + row, &canvas)
        }
        for (row, line) in error.enumerated() {
            canvas.text(line, inside.x, inside.y + introduction.count + window.count + row, .dialogWarning)
        }
    }

    private func hints(of form: Form) -> [KeyHint] {
        var hints: [KeyHint] = []
        if form.fields.filter({ $0.kind != .note }).count > 1 { hints.append(.init("\u{2191}\u{2193}", "Move")) }
        if form.fields.contains(where: { $0.kind == .check || $0.kind == .radio }) {
            hints.append(.init("Space", "Choose"))
        }
        if form.purpose == .adapters { hints.append(.init("D", "Details")) }
        let enter: String =
            switch form.purpose {
            case .login: "Log in"
            case .networkTest: "Test"
            default: "OK"
            }
        return hints + [.init("Enter", enter), .init("Esc", "Cancel")]
    }

    private func drawField(
        _ form: Form, _ index: Int, _ label: Int, _ area: Area, _ y: Int, _ canvas: inout Canvas
    ) {
        let field = form.fields[index]
        let isFocused = index == form.focus
        let isEnabled = form.isEnabled(index)
        let indent = field.needs == nil ? 0 : 4
        let style: Style = isEnabled ? .dialog : .dialogFaint
        switch field.kind {
        case .note: canvas.text(field.label, area.x, y, .dialogFaint, width: area.width)
        case .check, .radio:
            let marks = field.kind == .check ? ("[x]", "[ ]") : ("(*)", "( )")
            if isFocused {
                canvas.fill(Area(x: area.x - 1, y: y, width: area.width + 2, height: 1), .selection)
            }
            canvas.text(
                "\(field.isOn ? marks.0 : marks.1) \(field.label)", area.x + indent, y, isFocused ? .selection : style,
                width: area.width - indent)
        case .text, .secret:
            canvas.text(field.label, area.x + indent, y, style, width: label - indent)
            let x = area.x + label
            let width = min(field.limit + 1, area.width - label)
            guard isEnabled else {
                canvas.text(field.text, x, y, .dialogFaint, width: width)
                return
            }
            canvas.fill(Area(x: x, y: y, width: width, height: 1), isFocused ? .fieldFocused : .field)
            var scalars = Array(DisplayText.safe(field.text).unicodeScalars)
            if field.kind == .secret { scalars = Array(repeating: "*", count: scalars.count) }
            // The part around the cursor.
            let cursor = isFocused ? min(form.cursor, scalars.count) : 0
            let start = max(0, cursor - width + 1)
            for (column, scalar) in scalars.dropFirst(start).prefix(width).enumerated() {
                canvas.put(scalar, x + column, y, isFocused ? .fieldFocused : .field)
            }
            if isFocused { canvas.cursor = (x + cursor - start, y) }
        }
    }
}
