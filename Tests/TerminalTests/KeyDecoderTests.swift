import Testing

@testable import Terminal

@Suite("Keys from bytes")
struct KeyDecoderTests {
    static let sequences: [(String, Key)] = [
        ("a", .character("a")), ("\r", .enter), ("\n", .enter), ("\t", .tab), ("\u{7f}", .backspace),
        ("\u{8}", .backspace),
        ("\u{c}", .control("L")), ("ü", .character("ü")), ("€", .character("€")),
        ("\u{1f600}", .character("\u{1f600}")),
        ("\u{1b}[A", .up), ("\u{1b}OB", .down), ("\u{1b}[1;5C", .right), ("\u{1b}[Z", .backTab),
        ("\u{1b}[H", .home), ("\u{1b}[1~", .home), ("\u{1b}[7~", .home), ("\u{1b}OF", .end), ("\u{1b}[4~", .end),
        ("\u{1b}[5~", .pageUp), ("\u{1b}[6~", .pageDown), ("\u{1b}[2~", .insert), ("\u{1b}[3~", .delete),
        // F1 to F5 of the Linux console, of xterm and VT220, of rxvt and PuTTY.
        ("\u{1b}[[A", .function(1)), ("\u{1b}[[E", .function(5)), ("\u{1b}OP", .function(1)),
        ("\u{1b}OQ", .function(2)),
        ("\u{1b}[12~", .function(2)), ("\u{1b}[14~", .function(4)), ("\u{1b}[15~", .function(5)),
        ("\u{1b}[1;2Q", .function(2)),
        ("\u{1b}[17~", .function(6)), ("\u{1b}[21~", .function(10)), ("\u{1b}[23~", .function(11)),
        ("\u{1b}[24~", .function(12)), ("\u{1b}[24;2~", .function(12)), ("\u{1b}[34~", .function(20)),
        // Consoles of servers that have no function keys.
        ("\u{1b}2", .function(2)), ("\u{1b}0", .function(10)), ("\u{1b}!", .function(11)), ("\u{1b}@", .function(12)),
        ("\u{1b}[25;80R", .cursorReport(row: 25, column: 80)), ("\u{1b}OM", .enter),
    ]

    @Test("every terminal's sequence is the key it stands for", arguments: sequences)
    func sequence(bytes: String, key: Key) {
        var decoder = KeyDecoder()
        #expect(decoder.feed(Array(bytes.utf8)) == [key])
        #expect(!decoder.isWaiting)
    }

    @Test("a sequence may come byte by byte", arguments: sequences)
    func byteByByte(bytes: String, key: Key) {
        var decoder = KeyDecoder()
        #expect(bytes.utf8.flatMap { decoder.feed([$0]) } == [key])
    }

    @Test("a lone Esc is the key when nothing follows in time")
    func loneEscape() {
        var decoder = KeyDecoder()
        #expect(decoder.feed([0x1b]).isEmpty)
        #expect(decoder.isWaiting)
        #expect(decoder.timeOut() == [.escape])
        #expect(decoder.feed([0x61]) == [.character("a")])
    }

    @Test("Esc twice is Esc twice")
    func twoEscapes() {
        var decoder = KeyDecoder()
        #expect(decoder.feed([0x1b, 0x1b]) == [.escape])
        #expect(decoder.timeOut() == [.escape])
    }

    @Test("what the terminal says of itself presses no keys")
    func answers() {
        var decoder = KeyDecoder()
        let bytes = "\u{1b}[?62;22c" + "\u{1b}]11;rgb:0/0/0\u{7}" + "\u{1b}P1$r0m\u{1b}\\" + "x"
        #expect(decoder.feed(Array(bytes.utf8)) == [.character("x")])
    }

    @Test("bytes that are no text are dropped, and text after them counts")
    func garbage() {
        var decoder = KeyDecoder()
        #expect(decoder.feed([0xff, 0xc0, 0xe2, 0x82, 0x61, 0x80, 0x62]) == [.character("a"), .character("b")])
    }
}
