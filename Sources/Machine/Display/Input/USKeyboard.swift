/// Where a keyboard with the US layout has what somebody wants to type.
public enum USKeyboard {
    /// A key, and whether shift has to be held with it.
    public struct Stroke: Sendable, Equatable {
        public var scancode: Scancode
        public var isShifted: Bool

        public init(scancode: Scancode, isShifted: Bool) {
            self.scancode = scancode
            self.isShifted = isShifted
        }
    }

    /// The key for a character; nil if the layout has none.
    public static func stroke(for character: Unicode.Scalar) -> Stroke? {
        switch character {
        case "\n", "\r": return Stroke(scancode: .enter, isShifted: false)
        case "\t": return Stroke(scancode: .tab, isShifted: false)
        case "\u{8}": return Stroke(scancode: Scancode(0x0e), isShifted: false)
        case "\u{1b}": return Stroke(scancode: Scancode(0x01), isShifted: false)
        case " "..."~":
            let entry = printable[Int(character.value) - 0x20]
            return Stroke(scancode: Scancode(entry & 0x7f), isShifted: entry & shifted != 0)
        default: return nil
        }
    }

    /// The key for an X11 keysym; nil if the layout has none.
    public static func scancode(for keysym: UInt32) -> Scancode? {
        switch keysym {
        case 0x20...0x7e: return Scancode(printable[Int(keysym) - 0x20] & 0x7f)
        // Function keys F1 to F10, F11 and F12.
        case 0xffbe...0xffc7: return Scancode(UInt8(0x3b + keysym - 0xffbe))
        case 0xffc8...0xffc9: return Scancode(UInt8(0x57 + keysym - 0xffc8))
        default: return special[keysym].map { Scancode($0) }
        }
    }

    /// Key events that type a text, shift included. Characters that the layout has no key for are left out.
    ///
    /// - Returns: at most six events a character, keys up again at the end.
    public static func typing(_ text: String) -> [KeyEvent] {
        var events: [KeyEvent] = []
        for character in text.unicodeScalars {
            guard let stroke = stroke(for: character) else { continue }
            if stroke.isShifted { events.append(KeyEvent(scancode: .leftShift, isDown: true)) }
            events.append(KeyEvent(scancode: stroke.scancode, isDown: true))
            events.append(KeyEvent(scancode: stroke.scancode, isDown: false))
            if stroke.isShifted { events.append(KeyEvent(scancode: .leftShift, isDown: false)) }
        }
        return events
    }

    private static let shifted: UInt8 = 0x80

    /// The set 1 codes for 20 to 7E, with bit 7 for those that need shift.
    private static let printable: [UInt8] = {
        var table = [UInt8](repeating: 0, count: 0x5f)
        // Rows of the keyboard: the first key's code, what the keys say, what they say with shift.
        let rows: [(UInt8, String, String)] = [
            (0x02, "1234567890-=", "!@#$%^&*()_+"),
            (0x10, "qwertyuiop[]", "QWERTYUIOP{}"),
            (0x1e, "asdfghjkl;'`", "ASDFGHJKL:\"~"),
            (0x2b, "\\zxcvbnm,./", "|ZXCVBNM<>?"),
            (0x39, " ", " "),
        ]
        for (first, plain, withShift) in rows {
            for (index, byte) in withShift.utf8.enumerated() {
                table[Int(byte) - 0x20] = first + UInt8(index) | shifted
            }
            for (index, byte) in plain.utf8.enumerated() { table[Int(byte) - 0x20] = first + UInt8(index) }
        }
        return table
    }()

    /// Keysyms beyond ASCII (X11's keysymdef.h) and the keys' numbers.
    private static let special: [UInt32: UInt8] = [
        // BackSpace, Tab, ISO_Left_Tab, Linefeed, Return, Pause, Scroll_Lock, Sys_Req, Escape, Delete
        0xff08: 0x0e, 0xff09: 0x0f, 0xfe20: 0x0f, 0xff0a: 0x1c, 0xff0d: 0x1c, 0xff13: 0xc6, 0xff14: 0x46, 0xff15: 0x54,
        0xff1b: 0x01, 0xffff: 0xd3,
        // Home, Left, Up, Right, Down, Page_Up, Page_Down, End, Print, Insert, Menu, Break, Num_Lock
        0xff50: 0xc7, 0xff51: 0xcb, 0xff52: 0xc8, 0xff53: 0xcd, 0xff54: 0xd0, 0xff55: 0xc9, 0xff56: 0xd1, 0xff57: 0xcf,
        0xff61: 0xb7, 0xff63: 0xd2, 0xff67: 0xdd, 0xff6b: 0xc6, 0xff7f: 0x45,
        // Shift_L, Shift_R, Control_L, Control_R, Caps_Lock, Meta_L, Meta_R, Alt_L, Alt_R, Super_L, Super_R, AltGr
        0xffe1: 0x2a, 0xffe2: 0x36, 0xffe3: 0x1d, 0xffe4: 0x9d, 0xffe5: 0x3a, 0xffe7: 0x38, 0xffe8: 0xb8, 0xffe9: 0x38,
        0xffea: 0xb8, 0xffeb: 0xdb, 0xffec: 0xdc, 0xfe03: 0xb8,
        // Keypad: Enter, Home, Left, Up, Right, Down, Page_Up, Page_Down, End, Begin, Insert, Delete
        0xff8d: 0x9c, 0xff95: 0x47, 0xff96: 0x4b, 0xff97: 0x48, 0xff98: 0x4d, 0xff99: 0x50, 0xff9a: 0x49, 0xff9b: 0x51,
        0xff9c: 0x4f, 0xff9d: 0x4c, 0xff9e: 0x52, 0xff9f: 0x53,
        // Keypad: * + , - . / 0 to 9 =
        0xffaa: 0x37, 0xffab: 0x4e, 0xffac: 0x53, 0xffad: 0x4a, 0xffae: 0x53, 0xffaf: 0xb5, 0xffb0: 0x52, 0xffb1: 0x4f,
        0xffb2: 0x50, 0xffb3: 0x51, 0xffb4: 0x4b, 0xffb5: 0x4c, 0xffb6: 0x4d, 0xffb7: 0x47, 0xffb8: 0x48, 0xffb9: 0x49,
        0xffbd: 0x59,
            // < and > beside a left shift that is short, as keyboards of other countries have it (a key that sends "less" is
            // told by its scan code); guillemets and section sign are not on this layout.
    ]
}
