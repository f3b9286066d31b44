/// Turns the bytes that terminals send into keys.
///
/// Knows the sequences of the Linux console, of VT100 to VT520, xterm, rxvt, tmux and PuTTY together, whatever terminal was
/// announced: none of them gives one sequence two meanings that matter here. Sources: console_codes(4), "XTerm Control
/// Sequences", ECMA-48 section 5.4 for the form of a control sequence.
///
/// A lone Esc cannot be told from the beginning of a sequence by its byte: when `isWaiting`, call `timeOut` after some 50 ms of
/// silence (`escapeMilliseconds`).
public struct KeyDecoder: Sendable {
    /// How long bytes of one sequence are apart at most, in milliseconds. A serial line of 9600 baud needs 1 ms a byte; networked
    /// consoles cut sequences in two.
    public static let escapeMilliseconds: UInt64 = 60
    /// Longer sequences are no keys.
    private static let sequenceMax = 32

    private enum State: Equatable, Sendable {
        case ground
        /// After Esc.
        case escape
        /// After Esc [ : the bytes since.
        case control([UInt8])
        /// After Esc O: parameter digits, which some terminals put before the final byte.
        case single([UInt8])
        /// After Esc [ [ : the Linux console's F1 to F5.
        case linux
        /// Inside a string the terminal sends (DCS, OSC, …), until ST or BEL; nothing in it is a key.
        case string(count: Int, escaped: Bool)
        /// Inside a UTF-8 sequence: bits so far, bytes to come, least value that needs so many bytes.
        case utf8(value: UInt32, left: Int, least: UInt32)
    }

    private var state = State.ground

    public init() {}

    /// Whether more bytes could follow that belong to those given so far.
    public var isWaiting: Bool { state != .ground }

    /// Takes bytes in and gives the keys that are complete.
    public mutating func feed(_ bytes: some Sequence<UInt8>) -> [Key] {
        var keys: [Key] = []
        for byte in bytes { feed(byte, &keys) }
        return keys
    }

    /// Nothing more came: an Esc that waited was the key.
    public mutating func timeOut() -> [Key] {
        defer { state = .ground }
        switch state {
        case .escape: return [.escape]
        case .control(let bytes) where bytes.isEmpty: return [.escape, .character("[")]
        case .single(let bytes) where bytes.isEmpty: return [.escape, .character("O")]
        default: return []
        }
    }

    private mutating func feed(_ byte: UInt8, _ keys: inout [Key]) {
        switch state {
        case .ground: ground(byte, &keys)
        case .escape:
            state = .ground
            switch byte {
            case UInt8(ascii: "["): state = .control([])
            case UInt8(ascii: "O"): state = .single([])
            case UInt8(ascii: "P"), UInt8(ascii: "]"), UInt8(ascii: "X"), UInt8(ascii: "^"), UInt8(ascii: "_"):
                state = .string(count: 0, escaped: false)
            case 0x1b:
                // Esc pressed twice: the first one is a key for sure, the second one may begin a sequence.
                keys.append(.escape)
                state = .escape
            default:
                // Esc and a key at once: Alt, which means nothing here. Digits stand for function keys on consoles without them.
                if let key = Self.escapedDigit(byte) { keys.append(key) } else { ground(byte, &keys) }
            }
        case .control(let bytes): control(byte, bytes, &keys)
        case .single(let bytes):
            if (0x30...0x39).contains(byte) || byte == UInt8(ascii: ";"), bytes.count < Self.sequenceMax {
                state = .single(bytes + [byte])
            } else {
                state = .ground
                if let key = Self.singleShift(byte) { keys.append(key) } else if byte < 0x20 { ground(byte, &keys) }
            }
        case .linux:
            state = .ground
            if (0x41...0x45).contains(byte) { keys.append(.function(byte - 0x40)) }
        case .string(let count, let escaped):
            if byte == 0x07 || (escaped && byte == UInt8(ascii: "\\")) || count > 4096 {
                state = .ground
            } else {
                state = .string(count: count + 1, escaped: byte == 0x1b)
            }
        case .utf8(let value, let left, let least):
            guard byte & 0xc0 == 0x80 else {
                state = .ground
                return ground(byte, &keys)
            }
            let value = value << 6 | UInt32(byte & 0x3f)
            if left > 1 {
                state = .utf8(value: value, left: left - 1, least: least)
            } else {
                state = .ground
                if value >= least, value >= 0xa0, let scalar = Unicode.Scalar(value) { keys.append(.character(scalar)) }
            }
        }
    }

    private mutating func ground(_ byte: UInt8, _ keys: inout [Key]) {
        state = .ground
        switch byte {
        case 0x1b: state = .escape
        case 0x0d, 0x0a: keys.append(.enter)
        case 0x09: keys.append(.tab)
        case 0x08, 0x7f: keys.append(.backspace)
        case 0x01...0x1a: keys.append(.control(Unicode.Scalar(byte + 0x40)))
        case 0x20...0x7e: keys.append(.character(Unicode.Scalar(byte)))
        case 0xc2...0xdf: state = .utf8(value: UInt32(byte & 0x1f), left: 1, least: 0x80)
        case 0xe0...0xef: state = .utf8(value: UInt32(byte & 0x0f), left: 2, least: 0x800)
        case 0xf0...0xf4: state = .utf8(value: UInt32(byte & 0x07), left: 3, least: 0x1_0000)
        default: break
        }
    }

    private mutating func control(_ byte: UInt8, _ bytes: [UInt8], _ keys: inout [Key]) {
        switch byte {
        case UInt8(ascii: "[") where bytes.isEmpty: state = .linux
        case 0x20...0x3f:
            state = bytes.count < Self.sequenceMax ? .control(bytes + [byte]) : .ground
        case 0x40...0x7e:
            state = .ground
            if let key = Self.controlSequence(bytes, final: byte) { keys.append(key) }
        default:
            // Broken off: a control character, or bytes that no sequence has.
            state = .ground
            ground(byte, &keys)
        }
    }

    /// Esc 1 … Esc 9, Esc 0 for F1 to F10, Esc ! and Esc @ for F11 and F12, as serial consoles of servers have them.
    private static func escapedDigit(_ byte: UInt8) -> Key? {
        switch byte {
        case UInt8(ascii: "1")...UInt8(ascii: "9"): .function(byte - UInt8(ascii: "0"))
        case UInt8(ascii: "0"): .function(10)
        case UInt8(ascii: "!"): .function(11)
        case UInt8(ascii: "@"): .function(12)
        default: nil
        }
    }

    private static func controlSequence(_ bytes: [UInt8], final: UInt8) -> Key? {
        // A `?` or `>` begins answers, not keys.
        guard let numbers = parameters(bytes) else { return nil }
        switch final {
        // rxvt ends keys pressed with Control by `^` or `@`.
        case UInt8(ascii: "~"), UInt8(ascii: "^"), UInt8(ascii: "@"):
            return tilde(numbers.first ?? 0)
        case UInt8(ascii: "R") where numbers.count == 2 && numbers[0] > 1:
            return .cursorReport(row: numbers[0], column: numbers[1])
        case UInt8(ascii: "Z"): return .backTab
        // xterm's keypad and F1 to F4 with modifiers come with a CSI instead of an SS3.
        default: return cursor(final) ?? functionLetter(final)
        }
    }

    /// Decimal numbers between semicolons; nil if anything else is there or a number is absurd.
    private static func parameters(_ bytes: [UInt8]) -> [Int]? {
        if bytes.isEmpty { return [] }
        var numbers: [Int] = []
        for field in bytes.split(separator: UInt8(ascii: ";"), omittingEmptySubsequences: false) {
            var number = 0
            for byte in field {
                guard (0x30...0x39).contains(byte), number < 10_000 else { return nil }
                number = number * 10 + Int(byte - 0x30)
            }
            numbers.append(number)
        }
        return numbers
    }

    private static func tilde(_ number: Int) -> Key? {
        switch number {
        case 1, 7: .home
        case 2: .insert
        case 3: .delete
        case 4, 8: .end
        case 5: .pageUp
        case 6: .pageDown
        case 11...15: .function(UInt8(number - 10))
        case 17...21: .function(UInt8(number - 11))
        case 23...26: .function(UInt8(number - 12))
        case 28, 29: .function(UInt8(number - 13))
        case 31...34: .function(UInt8(number - 14))
        default: nil
        }
    }

    private static func cursor(_ final: UInt8) -> Key? {
        switch final {
        case UInt8(ascii: "A"): .up
        case UInt8(ascii: "B"): .down
        case UInt8(ascii: "C"): .right
        case UInt8(ascii: "D"): .left
        case UInt8(ascii: "H"): .home
        case UInt8(ascii: "F"): .end
        default: nil
        }
    }

    private static func functionLetter(_ final: UInt8) -> Key? {
        (UInt8(ascii: "P")...UInt8(ascii: "S")).contains(final) ? .function(final - 0x4f) : nil
    }

    /// After Esc O: cursor keys in application mode, PF1 to PF4, the keypad.
    private static func singleShift(_ byte: UInt8) -> Key? {
        if let key = cursor(byte) ?? functionLetter(byte) { return key }
        switch byte {
        case UInt8(ascii: "M"): return .enter
        case UInt8(ascii: "I"): return .tab
        // The keypad of a VT220 in application mode: j is *, k +, l comma, m -, n ., o /, p to y are 0 to 9.
        case 0x6a...0x6f, 0x70...0x79: return .character(Unicode.Scalar(byte - 0x40))
        // The VT100's F5 to F10 as the terminfo entry has them: Esc O t … Esc O x clash with the keypad's digits, which win.
        default: return nil
        }
    }
}
