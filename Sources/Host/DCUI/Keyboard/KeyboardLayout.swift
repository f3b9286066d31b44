/// Which characters the keys of a PC keyboard stand for.
///
/// A layout says what each key of the main block gives alone, with Shift and with AltGr. Everything else (function keys, cursor keys,
/// the keypad, Alt and Control) is the same in all layouts and stays as the kernel has it.
public struct KeyboardLayout: Equatable, Sendable {
    /// As settings have it.
    public var name: String
    /// For the list.
    public var title: String
    /// The four rows of the main block, `KeyboardLayout.codes` says of which keys. Combining accents are dead keys.
    var plain: [String]
    var shift: [String]
    /// Pairs: a key by what the US layout has on it (`<` is the key beside the left Shift), and what it gives with AltGr.
    var third: String
    /// Further keys: code, alone, with Shift.
    var further: [Further] = []

    struct Further: Equatable, Sendable {
        var code: UInt8
        var plain: Unicode.Scalar
        var shift: Unicode.Scalar
    }

    /// The kernel's codes of the keys, row by row (linux/input-event-codes.h): `KEY_GRAVE`, `KEY_1` … `KEY_EQUAL`; `KEY_Q` …
    /// `KEY_RIGHTBRACE`; `KEY_A` … `KEY_APOSTROPHE`, `KEY_BACKSLASH`; `KEY_102ND`, `KEY_Z` … `KEY_SLASH`.
    static let codes: [[UInt8]] = [[41] + Array(2...13), Array(16...27), Array(30...40) + [43], [86] + Array(44...53)]

    /// The layout of a name; US if there is none of that name.
    public static func named(_ name: String) -> KeyboardLayout { all.first { $0.name == name } ?? .us }

    /// One line of the kernel's key table.
    struct Entry: Equatable, Sendable {
        /// Which modifiers: 0 none, 1 Shift, 2 AltGr, 4 Control.
        var table: UInt8
        var code: UInt8
        /// As `KDSKBENT` takes it.
        var value: UInt16
    }

    /// All that has to be told to the kernel, so that nothing of an earlier layout is left.
    var entries: [Entry] {
        var entries: [Entry] = []
        var thirds: [Unicode.Scalar: Unicode.Scalar] = [:]
        let pairs = Array(third.unicodeScalars)
        for index in stride(from: 0, to: pairs.count - 1, by: 2) { thirds[pairs[index]] = pairs[index + 1] }
        for (row, codes) in Self.codes.enumerated() where plain.indices.contains(row) && shift.indices.contains(row) {
            let places = Array(Self.us.plain[row].unicodeScalars)
            let keys = zip(codes, zip(places, zip(plain[row].unicodeScalars, shift[row].unicodeScalars)))
            for (code, (place, (plain, shift))) in keys {
                entries.append(Entry(table: 0, code: code, value: Self.symbol(plain)))
                entries.append(Entry(table: 1, code: code, value: Self.symbol(shift)))
                entries.append(Entry(table: 2, code: code, value: thirds[place].map(Self.symbol) ?? Self.nothing))
                if ("a"..."z").contains(plain) {
                    entries.append(Entry(table: 4, code: code, value: UInt16(plain.value & 0x1f)))
                }
            }
        }
        for key in further {
            entries.append(Entry(table: 0, code: key.code, value: Self.symbol(key.plain)))
            entries.append(Entry(table: 1, code: key.code, value: Self.symbol(key.shift)))
        }
        return entries
    }

    /// `K_HOLE` (linux/keyboard.h).
    private static let nothing: UInt16 = 0x200

    /// A character as the kernel's key tables have it (linux/keyboard.h): type and value, or for what is beyond ASCII the code point
    /// with its upper bits flipped.
    private static func symbol(_ scalar: Unicode.Scalar) -> UInt16 {
        switch scalar.value {
        // KT_DEAD: the kernel puts the accent on the next letter.
        case 0x300: return 0x400
        case 0x301: return 0x401
        case 0x302: return 0x402
        case 0x303: return 0x403
        case 0x308: return 0x404
        // KT_LETTER: Caps Lock counts.
        case 0x41...0x5a, 0x61...0x7a: return 0xb00 | UInt16(scalar.value)
        // KT_LATIN.
        case 0x20...0x7e: return UInt16(scalar.value)
        default: return UInt16(truncatingIfNeeded: scalar.value) ^ 0xf000
        }
    }
}
