/// A key by its place on the keyboard, as its make code of scan code set 1 names it ("Keyboard Scan Code Specification",
/// Microsoft 2000, appendix A). It says nothing about letters: what a key types is the guest's business.
public struct KeyCode: Hashable, Sendable, BitwiseCopyable {
    /// The make code (1...0x7f), plus 0x80 for keys with the prefix E0: 0x1e is A, 0x9d the right Ctrl key.
    public let rawValue: UInt8

    /// How many values `rawValue` can have.
    static let count = 256

    /// Pause, whose own sequence (E1 1D 45) is neither a plain nor an E0 code. It takes the number of E0 46, which the
    /// same key sends together with Ctrl (Break).
    public static let pause = KeyCode(number: 0xc6)

    static let leftControl = KeyCode(number: 0x1d)
    static let rightControl = KeyCode(number: 0x9d)

    init(number: UInt8) { rawValue = number }

    /// - Parameter code: 0x01...0x7f, 0xe001...0xe07f, or 0xe11d for Pause; nil for anything else, and for codes with
    ///   the break bit.
    public init?(set1 code: UInt16) {
        let low = UInt8(truncatingIfNeeded: code & 0x7f)
        switch code {
        case 0x01...0x7f: rawValue = low
        case 0xe001...0xe07f: rawValue = low | 0x80
        case 0xe11d: self = .pause
        default: return nil
        }
    }

    /// - Parameter code: as the "QEMU extended key event" of the remote framebuffer protocol counts keys: the make code,
    ///   with bit 7 set instead of the prefix E0.
    public init?(extendedKeyEvent code: UInt32) {
        guard code <= 0xff, code & 0x7f != 0 else { return nil }
        rawValue = UInt8(truncatingIfNeeded: code)
    }

    /// Whether the code has the prefix E0.
    var isExtended: Bool { rawValue & 0x80 != 0 }
    /// The make code without the prefix.
    var base: UInt8 { rawValue & 0x7f }
}

/// A set of keys.
struct KeySet: Sendable, BitwiseCopyable {
    private var words = InlineArray<4, UInt64>(repeating: 0)

    subscript(key: KeyCode) -> Bool {
        get { words[Int(key.rawValue >> 6)] & (UInt64(1) << UInt64(key.rawValue & 63)) != 0 }
        set {
            let bit = UInt64(1) << UInt64(key.rawValue & 63)
            if newValue { words[Int(key.rawValue >> 6)] |= bit } else { words[Int(key.rawValue >> 6)] &= ~bit }
        }
    }

    var isEmpty: Bool { words[0] | words[1] | words[2] | words[3] == 0 }

    /// Some key of the set.
    var first: KeyCode? {
        for index in 0..<4 where words[index] != 0 {
            return KeyCode(number: UInt8(truncatingIfNeeded: index << 6 + words[index].trailingZeroBitCount))
        }
        return nil
    }
}
