// Keys of clients that send X11 keysyms (RFC 6143, section 7.5.4) and not places on the keyboard.
extension KeyCode {
    /// The key that types a keysym on a US keyboard; Shift and its like come as keys of their own.
    ///
    /// - Parameter keysym: as X11's keysymdef.h numbers them; nil if no key types it.
    public init?(keysym: UInt32) {
        let code: UInt16?
        switch keysym {
        case 0x20...0x7e: code = Self.printable(UInt8(truncatingIfNeeded: keysym))
        case 0xffbe...0xffc7: code = UInt16(truncatingIfNeeded: keysym - 0xffbe) + 0x3b  // F1 to F10
        case 0xffc8: code = 0x57
        case 0xffc9: code = 0x58
        // Keypad 0 to 9.
        case 0xffb0...0xffb9: code = Self.keypad[Int(keysym - 0xffb0)]
        default: code = Self.named(keysym)
        }
        guard let code, let key = KeyCode(set1: code) else { return nil }
        self = key
    }

    private static let keypad: InlineArray<10, UInt16> = [
        0x52, 0x4f, 0x50, 0x51, 0x4b, 0x4c, 0x4d, 0x47, 0x48, 0x49,
    ]

    /// What the keys of a US keyboard type, without and with Shift, in order of their codes from `first`.
    private static let rows: [(first: UInt16, plain: StaticString, shifted: StaticString)] = [
        (0x02, "1234567890-=", "!@#$%^&*()_+"), (0x10, "qwertyuiop[]", "QWERTYUIOP{}"),
        (0x1e, "asdfghjkl;'`", "ASDFGHJKL:\"~"), (0x2b, "\\zxcvbnm,./", "|ZXCVBNM<>?"), (0x39, " ", " "),
    ]

    private static func printable(_ character: UInt8) -> UInt16? {
        for row in rows {
            for text in [row.plain, row.shifted] {
                let place = text.withUTF8Buffer { unsafe $0.firstIndex(of: character) }
                if let place { return row.first + UInt16(truncatingIfNeeded: place) }
            }
        }
        return nil
    }

    private static func named(_ keysym: UInt32) -> UInt16? {
        switch keysym {
        case 0xff08: 0x0e  // BackSpace
        case 0xff09, 0xfe20: 0x0f  // Tab, also with Shift
        case 0xff0d: 0x1c  // Return
        case 0xff13, 0xff6b: 0xe11d  // Pause, Break
        case 0xff14: 0x46  // Scroll Lock
        case 0xff15, 0xff61: 0xe037  // System Request, Print Screen
        case 0xff1b: 0x01  // Escape
        case 0xff50: 0xe047  // Home
        case 0xff51: 0xe04b
        case 0xff52: 0xe048
        case 0xff53: 0xe04d
        case 0xff54: 0xe050
        case 0xff55: 0xe049  // Page Up
        case 0xff56: 0xe051
        case 0xff57: 0xe04f  // End
        case 0xff63: 0xe052  // Insert
        case 0xff67: 0xe05d  // Menu
        case 0xff7f: 0x45  // Num Lock
        case 0xff8d: 0xe01c  // keypad Enter
        case 0xff95: 0x47  // keypad without Num Lock: Home, arrows, …
        case 0xff96: 0x4b
        case 0xff97: 0x48
        case 0xff98: 0x4d
        case 0xff99: 0x50
        case 0xff9a: 0x49
        case 0xff9b: 0x51
        case 0xff9c: 0x4f
        case 0xff9d: 0x4c
        case 0xff9e: 0x52
        case 0xff9f: 0x53
        case 0xffaa: 0x37  // keypad *
        case 0xffab: 0x4e
        case 0xffac: 0x7e
        case 0xffad: 0x4a
        case 0xffae: 0x53
        case 0xffaf: 0xe035
        case 0xffe1: 0x2a  // Shift
        case 0xffe2: 0x36
        case 0xffe3: 0x1d  // Control
        case 0xffe4: 0xe01d
        case 0xffe5: 0x3a  // Caps Lock
        case 0xffe7, 0xffeb: 0xe05b  // Meta, Super
        case 0xffe8, 0xffec: 0xe05c
        case 0xffe9: 0x38  // Alt
        case 0xffea, 0xfe03: 0xe038  // right Alt, AltGr
        case 0xffff: 0xe053  // Delete
        default: nil
        }
    }
}
