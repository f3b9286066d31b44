import Bytes

/// One line of a `.vmx` file as VMware's dictionary format defines it:
///
///     <ws> name <ws> = <ws> value <ws> # comment
///     <ws> name <ws> = <ws> "quoted value" <ws> # comment
///     <ws> # comment
///
/// A name has no white space, `=` or `#`; a value outside quotes has no white space and no `#`; a value in quotes has no quote.
/// White space is space and tab. In both kinds of value `|` and two hexadecimal digits stand for one byte; a `|` without them
/// stands for itself.
struct VMXLine: Equatable, Sendable {
    enum Ending: Equatable, Sendable {
        case none, lineFeed, carriageReturnLineFeed
        /// Only at the end of a file that was cut there.
        case carriageReturn

        var bytes: [UInt8] {
            switch self {
            case .none: []
            case .lineFeed: [10]
            case .carriageReturnLineFeed: [13, 10]
            case .carriageReturn: [13]
            }
        }
    }

    /// The bytes without the line ending; written back untouched unless the value changes.
    var bytes: [UInt8]
    var ending: Ending
    /// What the line defines; nil for comments and blank lines.
    var entry: Entry?

    struct Entry: Equatable, Sendable {
        var key: String
        var value: String
    }

    /// Where name and value stand in a line's bytes.
    struct Parts: Equatable {
        var key: Range<Int>
        /// Without the quotes.
        var value: Range<Int>
        /// With the quotes; what a new value replaces.
        var written: Range<Int>
    }

    /// The parts of a line; nil if it is blank or only a comment.
    ///
    /// - Throws: what breaks the format, in words that follow "line N: ".
    static func parts(of bytes: [UInt8]) throws(Malformed) -> Parts? {
        var cursor = 0
        func skipBlanks() { while cursor < bytes.count, isBlank(bytes[cursor]) { cursor += 1 } }

        skipBlanks()
        let keyStart = cursor
        while cursor < bytes.count, !isBlank(bytes[cursor]), bytes[cursor] != UInt8(ascii: "="),
            bytes[cursor] != UInt8(ascii: "#")
        { cursor += 1 }
        let key = keyStart..<cursor
        skipBlanks()
        if key.isEmpty, cursor == bytes.count || bytes[cursor] == UInt8(ascii: "#") { return nil }
        guard !key.isEmpty, cursor < bytes.count, bytes[cursor] == UInt8(ascii: "=") else {
            throw Malformed("is not of the form key = \"value\"")
        }
        cursor += 1
        skipBlanks()
        let value: Range<Int>
        let written: Range<Int>
        if cursor < bytes.count, bytes[cursor] == UInt8(ascii: "\"") {
            let open = cursor
            guard let close = bytes[(open + 1)...].firstIndex(of: UInt8(ascii: "\"")) else {
                throw Malformed("has a value without its closing quote")
            }
            value = open + 1..<close
            written = open..<close + 1
            cursor = close + 1
        } else {
            let start = cursor
            while cursor < bytes.count, !isBlank(bytes[cursor]), bytes[cursor] != UInt8(ascii: "#") { cursor += 1 }
            value = start..<cursor
            written = value
        }
        skipBlanks()
        guard cursor == bytes.count || bytes[cursor] == UInt8(ascii: "#") else {
            throw Malformed("goes on after its value; a value with blanks needs quotes, a quote inside is written |22")
        }
        return Parts(key: key, value: value, written: written)
    }

    struct Malformed: Error, Equatable {
        var reason: String
        init(_ reason: String) { self.reason = reason }
    }

    /// Undoes `|22` and its like.
    static func unescape(_ bytes: ArraySlice<UInt8>) -> [UInt8] {
        var result: [UInt8] = []
        result.reserveCapacity(bytes.count)
        var index = bytes.startIndex
        while index < bytes.endIndex {
            if bytes[index] == UInt8(ascii: "|"), bytes.endIndex - index > 2, let high = hexDigit(bytes[index + 1]),
                let low = hexDigit(bytes[index + 2])
            {
                result.append(high << 4 | low)
                index += 3
            } else {
                result.append(bytes[index])
                index += 1
            }
        }
        return result
    }

    /// Writes what cannot stand in quotes as `|` and two digits: quote, bar, delete and control characters but tab.
    static func escape(_ bytes: [UInt8]) -> [UInt8] {
        var result: [UInt8] = []
        result.reserveCapacity(bytes.count)
        for byte in bytes {
            switch byte {
            case 9: result.append(byte)
            case 0..<32, UInt8(ascii: "\""), UInt8(ascii: "|"), 127:
                result.append(UInt8(ascii: "|"))
                result.append(upperDigit(byte >> 4))
                result.append(upperDigit(byte & 15))
            default: result.append(byte)
            }
        }
        return result
    }

    private static func isBlank(_ byte: UInt8) -> Bool { byte == 32 || byte == 9 }

    private static func upperDigit(_ value: UInt8) -> UInt8 {
        value < 10 ? UInt8(ascii: "0") + value : UInt8(ascii: "A") + value - 10
    }
}

/// The value of a hexadecimal digit; nil if it is none.
func hexDigit(_ byte: UInt8) -> UInt8? {
    switch byte {
    case UInt8(ascii: "0")...UInt8(ascii: "9"): byte - UInt8(ascii: "0")
    case UInt8(ascii: "a")...UInt8(ascii: "f"): byte - UInt8(ascii: "a") + 10
    case UInt8(ascii: "A")...UInt8(ascii: "F"): byte - UInt8(ascii: "A") + 10
    default: nil
    }
}
