import Terminal

/// A long text to look through.
struct Pager: Equatable, Sendable {
    var title: String
    var lines: [String]
    /// The log it shows, to read it again; nil for other texts.
    var log: String?
    /// The first row that is seen, counted in wrapped rows.
    var top = 0
    /// What is being typed after `/`.
    var entry: String?
    /// What was searched for last.
    var pattern = ""
    /// The line that was found last.
    var found: Int?
    var notice = ""

    init(_ title: String, _ lines: [String], log: String? = nil) {
        self.title = title
        self.lines = lines
        self.log = log
    }

    /// A row on the screen and the line it is a part of.
    struct Row: Equatable, Sendable {
        var text: String
        var line: Int
    }

    /// All lines, broken at the screen's width; later parts of a line are indented.
    func rows(width: Int) -> [Row] {
        guard width > 4 else { return [] }
        var rows: [Row] = []
        for (number, line) in lines.enumerated() {
            var rest = Array(DisplayText.safe(line).unicodeScalars)[...]
            var indent = ""
            repeat {
                let part = rest.prefix(width - indent.count)
                rest = rest.dropFirst(part.count)
                var text = String.UnicodeScalarView()
                text.append(contentsOf: part)
                rows.append(Row(text: indent + String(text), line: number))
                indent = "    "
            } while !rest.isEmpty
        }
        return rows
    }

    /// Scrolls by so many rows, as far as there is text.
    mutating func scroll(_ step: Int, height: Int, width: Int) {
        let last = max(0, rows(width: width).count - height)
        top = max(0, min(top + step, last))
    }

    mutating func scrollToEnd(height: Int, width: Int) { scroll(lines.count * 64 + 1, height: height, width: width) }

    /// Goes to the next line, or the previous one, that contains the pattern in upper or lower case; around the end.
    mutating func search(backwards: Bool, height: Int, width: Int) {
        guard !pattern.isEmpty, !lines.isEmpty else { return }
        let rows = rows(width: width)
        let wanted = pattern.lowercased()
        let start = found ?? (rows.indices.contains(top) ? rows[top].line - (backwards ? 0 : 1) : -1)
        for step in 1...lines.count {
            let line = ((start + (backwards ? -step : step)) % lines.count + lines.count) % lines.count
            guard Self.contains(lines[line].lowercased(), wanted) else { continue }
            notice = (backwards ? line > start : line <= start) && found != nil ? "Search went around the end." : ""
            found = line
            let row = rows.firstIndex { $0.line == line } ?? 0
            // In view already: stay.
            if !(top..<top + height).contains(row) { top = max(0, min(row - height / 3, rows.count - height)) }
            return
        }
        found = nil
        notice = "\u{201c}\(pattern)\u{201d} is not in this text."
    }

    static func contains(_ text: String, _ part: String) -> Bool {
        let text = Array(text.utf8)
        let part = Array(part.utf8)
        guard !part.isEmpty, part.count <= text.count else { return false }
        return (0...text.count - part.count).contains { start in text[start..<start + part.count].elementsEqual(part) }
    }
}
