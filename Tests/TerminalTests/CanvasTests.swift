import Testing

@testable import Terminal

@Suite("Canvas")
struct CanvasTests {
    @Test("nothing from outside moves the cursor or takes two columns")
    func hostile() {
        var canvas = Canvas(CellSize(columns: 8, rows: 1))
        canvas.text("a\u{1b}[2J漢\u{301}", 0, 0, .day)
        #expect(canvas.lines == ["a?[2J??"])
    }

    @Test("text that does not fit ends with an ellipsis")
    func fitted() {
        #expect(DisplayText.fitted("management", 6) == "manag…")
        #expect(DisplayText.fitted("short", 5) == "short")
        #expect(DisplayText.fitted("x", 0) == "")
    }

    @Test("drawing beyond the edges does nothing", arguments: [-50, -1, 9, 10, 5000])
    func edges(place: Int) {
        var canvas = Canvas(CellSize(columns: 10, rows: 4))
        canvas.box(Area(x: place, y: place, width: 7, height: 9), frame: .frame, inside: .dialog)
        canvas.text("text", place, place, .day)
        #expect(canvas.lines.count == 4)
    }

    @Test("words are kept whole where a line has room for them", arguments: [1, 5, 12, 40])
    func wrapping(width: Int) {
        let text = "The quick brown fox jumps over incomprehensibilities"
        let lines = DisplayText.wrapped(text, width)
        #expect(lines.allSatisfy { $0.unicodeScalars.count <= width })
        #expect(lines.joined().filter { $0 != " " } == text.filter { $0 != " " })
        if width == 12 { #expect(lines[0] == "The quick") }
    }
}
