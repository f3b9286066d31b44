internal import CNcurses
public import Linux
public import Terminal

/// Shows canvases on a terminal, by ncurses: only what has changed is sent. One a process, for one thread.
@safe public final class CursesDisplay {
    private let screen: UnsafeMutableRawPointer
    private let speaksUnicode: Bool
    private var palette: Palette
    private var shown: Canvas?
    private var isHighContrast = false

    /// Takes a terminal, which gets into raw mode. Keys are read from the descriptor by others, with `KeyDecoder`.
    ///
    /// - Parameter type: which terminal it is: a name in the terminfo database.
    /// - Throws: if the database does not know it.
    public init(_ line: borrowing TerminalLine, type: String, unicode: Bool) throws(CursesError) {
        wafer_curses_utf8(unicode ? 1 : 0)
        guard let own = try? line.descriptor.duplicate() else { throw CursesError(terminal: type) }
        // ncurses keeps the descriptor as long as the process lives.
        guard let screen = unsafe wafer_curses_open(type, own.release()) else { throw CursesError(terminal: type) }
        unsafe self.screen = screen
        speaksUnicode = unicode
        raw()
        noecho()
        nonl()
        palette = Palette(colors: start_color() == 0 ? Int(wafer_curses_colors()) : 0, canChange: can_change_color())
    }

    /// Gives the terminal back as it was.
    public func close() {
        if let size = shown?.size { wafer_curses_move(CInt(clamping: size.rows - 1), 0) }
        curs_set(1)
        endwin()
        unsafe wafer_curses_free(screen)
    }

    /// The next picture is painted as a whole.
    public func forget() { shown = nil }

    /// Shows a picture.
    public func show(_ canvas: Canvas, highContrast: Bool) {
        if highContrast != isHighContrast { shown = nil }
        isHighContrast = highContrast
        guard canvas != shown else { return }
        let columns = CInt(clamping: canvas.size.columns)
        let rows = CInt(clamping: canvas.size.rows)
        if columns != wafer_curses_columns() || rows != wafer_curses_rows() { resizeterm(rows, columns) }
        for y in 0..<canvas.size.rows {
            wafer_curses_move(CInt(clamping: y), 0)
            var style: Style?
            for x in 0..<canvas.size.columns {
                guard let cell = canvas[x, y] else { continue }
                if cell.style != style {
                    style = cell.style
                    let look = palette.look(cell.style, highContrast: highContrast)
                    wafer_curses_style(look.attributes, look.pair)
                }
                put(cell.character)
            }
        }
        if let cursor = canvas.cursor {
            wafer_curses_move(CInt(clamping: cursor.y), CInt(clamping: cursor.x))
            curs_set(1)
        } else {
            curs_set(0)
            wafer_curses_move(rows - 1, columns - 1)
        }
        wafer_curses_show(shown == nil ? 1 : 0)
        shown = canvas
    }

    private func put(_ character: Unicode.Scalar) {
        if let letter = Self.lines[character] {
            wafer_curses_line(letter)
        } else if character.isASCII || speaksUnicode {
            wafer_curses_put(wchar_t(bitPattern: character.value))
        } else {
            wafer_curses_put(wchar_t(bitPattern: Self.plain(character).value))
        }
    }

    /// Lines and arrows by their letters in the VT100's line-drawing set, as ncurses names them.
    private static let lines: [Unicode.Scalar: CChar] = [
        "─": 0x71, "│": 0x78, "┌": 0x6c, "┐": 0x6b, "└": 0x6d, "┘": 0x6a, "├": 0x74, "┤": 0x75, "↑": 0x2d, "↓": 0x2e,
    ]

    /// What stands for a character on a terminal that has ASCII only.
    private static func plain(_ character: Unicode.Scalar) -> Unicode.Scalar {
        switch character {
        case "…": return "."
        case "–": return "-"
        case "“", "”": return "\""
        case "×": return "x"
        default:
            // The letter below an accent, in the order of Latin-1 from À on.
            guard (0xc0...0xff).contains(character.value) else { return "?" }
            return letters[Int(character.value) - 0xc0]
        }
    }

    private static let letters = Array(
        "AAAAAAACEEEEIIIIDNOOOOOxOUUUUYPsaaaaaaaceeeeiiiidnooooo/ouuuuypy".unicodeScalars)
}

/// A terminal that cannot be used.
public struct CursesError: Error, Equatable, Sendable, CustomStringConvertible {
    public var terminal: String

    public var description: String { "there is no description of the terminal \(terminal)" }
}
