/// Texts as they may appear on a terminal: nothing that moves the cursor, every character one column wide.
public enum DisplayText {
    /// Replaces what a terminal would obey, hide or draw wider than one column by `?`.
    public static func safe(_ text: String) -> String {
        var safe = String.UnicodeScalarView()
        for scalar in text.unicodeScalars { safe.append(isNarrow(scalar) ? scalar : "?") }
        return String(safe)
    }

    /// Letters and signs of European scripts, arrows, lines and blocks: all one column wide in every font for terminals.
    static func isNarrow(_ scalar: Unicode.Scalar) -> Bool {
        switch scalar.value {
        case 0x20...0x7e, 0xa0...0xac, 0xae...0x2ff, 0x370...0x377, 0x37a...0x482, 0x48a...0x52f: true
        case 0x2010...0x2027, 0x2030...0x205e, 0x20ac, 0x2190...0x2193, 0x2500...0x25ff: true
        default: false
        }
    }

    /// Cuts a text to `width` columns; what is cut off is announced by `…`.
    public static func fitted(_ text: String, _ width: Int) -> String {
        let text = safe(text)
        if text.unicodeScalars.count <= width { return text }
        guard width > 0 else { return "" }
        return String(String.UnicodeScalarView(text.unicodeScalars.prefix(width - 1))) + "…"
    }

    /// Cuts or fills a text to exactly `width` columns.
    public static func padded(_ text: String, _ width: Int) -> String {
        let text = fitted(text, width)
        return text + String(repeating: " ", count: max(0, width - text.unicodeScalars.count))
    }

    /// Breaks a text into lines of at most `width` columns, between words where possible. Line breaks in the text stay.
    public static func wrapped(_ text: String, _ width: Int) -> [String] {
        guard width > 0 else { return [] }
        return text.split(separator: "\n", omittingEmptySubsequences: false).flatMap { wrappedParagraph($0, width) }
    }

    private static func wrappedParagraph(_ paragraph: Substring, _ width: Int) -> [String] {
        // What fits stays as it is, columns made with spaces included.
        if paragraph.unicodeScalars.count <= width { return [safe(String(paragraph))] }
        var lines: [String] = []
        var line = String.UnicodeScalarView()
        for word in safe(String(paragraph)).unicodeScalars.split(separator: " ", omittingEmptySubsequences: true) {
            var rest = word
            if !line.isEmpty {
                if line.count + 1 + rest.count <= width {
                    line.append(" ")
                    line.append(contentsOf: rest)
                    continue
                }
                lines.append(String(line))
                line = String.UnicodeScalarView()
            }
            while rest.count > width {
                lines.append(String(String.UnicodeScalarView(rest.prefix(width))))
                rest = rest.dropFirst(width)
            }
            line.append(contentsOf: rest)
        }
        lines.append(String(line))
        return lines
    }
}
