import Display
import Testing

@Suite("Keys of a PC's keyboard")
struct KeyboardTests {
    @Test("every printable character has a key, and keysyms find the same")
    func printable() {
        for value in UInt8(0x20)...0x7e {
            let stroke = USKeyboard.stroke(for: Unicode.Scalar(value))
            #expect(stroke != nil)
            #expect(USKeyboard.scancode(for: UInt32(value)) == stroke?.scancode)
        }
        #expect(USKeyboard.stroke(for: "a") == .init(scancode: Scancode(0x1e), isShifted: false))
        #expect(USKeyboard.stroke(for: "A") == .init(scancode: Scancode(0x1e), isShifted: true))
        #expect(USKeyboard.stroke(for: "|") == .init(scancode: Scancode(0x2b), isShifted: true))
        #expect(USKeyboard.stroke(for: "/") == .init(scancode: Scancode(0x35), isShifted: false))
        #expect(USKeyboard.stroke(for: "`") == .init(scancode: Scancode(0x29), isShifted: false))
        #expect(USKeyboard.stroke(for: "~") == .init(scancode: Scancode(0x29), isShifted: true))
        #expect(USKeyboard.stroke(for: "€") == nil)
    }

    @Test("no two printable characters need the same stroke")
    func unique() {
        var seen = Set<[UInt8]>()
        for value in UInt8(0x20)...0x7e {
            guard let stroke = USKeyboard.stroke(for: Unicode.Scalar(value)) else { continue }
            #expect(seen.insert([stroke.scancode.code, stroke.isShifted ? 1 : 0]).inserted)
        }
    }

    @Test("keys beyond letters: functions, cursor, modifiers, keypad")
    func special() {
        let known: [UInt32: UInt8] = [
            0xffbe: 0x3b, 0xffc7: 0x44, 0xffc8: 0x57, 0xffc9: 0x58, 0xff51: 0xcb, 0xffff: 0xd3, 0xffe4: 0x9d,
            0xff8d: 0x9c,
            0xffb5: 0x4c, 0xffeb: 0xdb,
        ]
        for (keysym, number) in known { #expect(USKeyboard.scancode(for: keysym) == Scancode(number)) }
        #expect(USKeyboard.scancode(for: 0x20ac) == nil)
    }

    @Test("typing a text presses and releases, with shift where it is needed")
    func typing() {
        let events = USKeyboard.typing("aB\n€")
        let keys = events.map { ($0.scancode, $0.isDown) }
        let expected: [(Scancode?, Bool)] = [
            (Scancode(0x1e), true), (Scancode(0x1e), false), (.leftShift, true), (Scancode(0x30), true),
            (Scancode(0x30), false), (.leftShift, false), (.enter, true), (.enter, false),
        ]
        #expect(keys.count == expected.count)
        for (key, wanted) in zip(keys, expected) { #expect(key == wanted) }
    }
}
