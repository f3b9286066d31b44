/// A number of columns and rows.
public struct CellSize: Equatable, Sendable {
    public var columns: Int
    public var rows: Int

    public init(columns: Int, rows: Int) {
        self.columns = columns
        self.rows = rows
    }
}

/// A part of a canvas.
public struct Area: Equatable, Sendable {
    /// Column and row of its upper left cell, from 0.
    public var x: Int
    public var y: Int
    public var width: Int
    public var height: Int

    public init(x: Int, y: Int, width: Int, height: Int) {
        self.x = x
        self.y = y
        self.width = max(0, width)
        self.height = max(0, height)
    }

    /// Without so many columns left and right and rows above and below.
    public func inset(columns: Int, rows: Int = 0) -> Area {
        Area(x: x + columns, y: y + rows, width: width - 2 * columns, height: height - 2 * rows)
    }
}

/// What a cell means; the display gives each its colours. See `Palette`.
public enum Style: UInt8, Sendable, CaseIterable {
    /// The dark half of the screen: text, important text, text that is less important.
    case night, nightStrong, nightFaint
    /// The light half.
    case day, dayStrong, dayFaint
    /// Something to worry about, and something that is well, on the light half.
    case warning, good
    /// The bottom line, and the names of keys in it.
    case bar, barKey
    /// The line the next key acts on.
    case selection, selectionFaint
    /// A dialog's frame and title, its text, text that explains, and things to worry about.
    case frame, dialog, dialogFaint, dialogWarning
    /// Where text can be entered, and where it is entered now.
    case field, fieldFocused
}

/// One place on the screen.
public struct Cell: Equatable, Sendable {
    public var character: Unicode.Scalar
    public var style: Style

    public init(_ character: Unicode.Scalar, _ style: Style) {
        self.character = character
        self.style = style
    }
}

/// A picture of characters, drawn before any terminal sees it. Drawing outside of it does nothing.
public struct Canvas: Equatable, Sendable {
    public let size: CellSize
    public private(set) var cells: [Cell]
    /// Where the terminal's cursor is shown; nil: it is hidden.
    public var cursor: (x: Int, y: Int)?

    public init(_ size: CellSize, _ style: Style = .day) {
        self.size = CellSize(columns: max(0, size.columns), rows: max(0, size.rows))
        cells = Array(repeating: Cell(" ", style), count: self.size.columns * self.size.rows)
    }

    public static func == (a: Canvas, b: Canvas) -> Bool {
        a.size == b.size && a.cells == b.cells && a.cursor?.x == b.cursor?.x && a.cursor?.y == b.cursor?.y
    }

    /// The whole of it.
    public var area: Area { Area(x: 0, y: 0, width: size.columns, height: size.rows) }

    public subscript(x: Int, y: Int) -> Cell? {
        contains(x, y) ? cells[y * size.columns + x] : nil
    }

    private func contains(_ x: Int, _ y: Int) -> Bool {
        (0..<size.columns).contains(x) && (0..<size.rows).contains(y)
    }

    /// Puts one character. It must be one column wide: texts from outside go through `DisplayText`.
    public mutating func put(_ character: Unicode.Scalar, _ x: Int, _ y: Int, _ style: Style) {
        if contains(x, y) { cells[y * size.columns + x] = Cell(character, style) }
    }

    /// Puts a line of text, cut off with an ellipsis at `width` columns.
    public mutating func text(_ text: String, _ x: Int, _ y: Int, _ style: Style, width: Int = .max) {
        let room = min(width, size.columns - x)
        for (index, scalar) in DisplayText.fitted(text, room).unicodeScalars.enumerated() {
            put(scalar, x + index, y, style)
        }
    }

    /// Puts a line of text that ends before column `right`.
    public mutating func text(_ text: String, endingBefore right: Int, _ y: Int, _ style: Style) {
        let line = DisplayText.fitted(text, right)
        self.text(line, right - line.unicodeScalars.count, y, style)
    }

    /// Fills an area.
    public mutating func fill(_ area: Area, _ style: Style, _ character: Unicode.Scalar = " ") {
        for y in max(0, area.y)..<max(0, min(size.rows, area.y + area.height), area.y) {
            for x in max(0, area.x)..<max(0, min(size.columns, area.x + area.width), area.x) {
                put(character, x, y, style)
            }
        }
    }

    /// Clears whole rows, in the style that each begins with.
    public mutating func clear(rows: Range<Int>) {
        for y in rows {
            guard let first = self[0, y] else { continue }
            fill(Area(x: 0, y: y, width: size.columns, height: 1), first.style)
        }
    }

    /// Draws a horizontal line.
    public mutating func rule(_ x: Int, _ y: Int, width: Int, _ style: Style) {
        fill(Area(x: x, y: y, width: width, height: 1), style, "─")
    }

    /// Draws a frame around an area and clears what is inside.
    public mutating func box(_ area: Area, frame: Style, inside: Style) {
        fill(area, inside)
        guard area.width >= 2, area.height >= 2 else { return }
        let right = area.x + area.width - 1
        let bottom = area.y + area.height - 1
        rule(area.x, area.y, width: area.width, frame)
        rule(area.x, bottom, width: area.width, frame)
        for y in area.y + 1..<max(bottom, area.y + 1) {
            put("│", area.x, y, frame)
            put("│", right, y, frame)
        }
        put("┌", area.x, area.y, frame)
        put("┐", right, area.y, frame)
        put("└", area.x, bottom, frame)
        put("┘", right, bottom, frame)
    }

    /// The characters as lines, without spaces at their ends.
    public var lines: [String] {
        (0..<size.rows).map { y in
            var scalars = String.UnicodeScalarView()
            let row = cells[y * size.columns..<(y + 1) * size.columns].map(\.character)
            let end = row.lastIndex { $0 != " " } ?? -1
            for scalar in row.prefix(end + 1) { scalars.append(scalar) }
            return String(scalars)
        }
    }
}
