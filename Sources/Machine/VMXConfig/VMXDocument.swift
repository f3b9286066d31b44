public import Bytes

/// A `.vmx` file as text: every line kept, so that an edit changes what it says and nothing else.
///
/// Keys are found whatever their capitals, as VMware does, and written back as the file spells them. A key that stands
/// twice is an error: VMware's products refuse such a file too, and guessing which line counts would hide a mistake.
public struct VMXDocument: Equatable, Sendable {
    /// Limits that no real file meets; they bound what a hostile one can cost.
    public enum Limit {
        /// Longest file, in bytes.
        public static let fileSize = 1 << 20
        /// Longest line, in bytes.
        public static let lineLength = 16 << 10
        /// Most keys.
        public static let keys = 4096
        /// Longest key, in bytes.
        public static let keyLength = 256
    }

    /// The file's name for messages, as the caller gave it.
    public var name: String
    /// How the file stores characters: what `.encoding` says, UTF-8 without it.
    public private(set) var encoding = TextEncoding.utf8
    /// Whether the file begins with the UTF-8 byte order mark.
    var hasByteOrderMark = false
    var lines: [VMXLine] = []
    /// Line index of every key, in lower case.
    private var index: [String: Int] = [:]

    /// A new file that holds nothing but its encoding.
    public init(name: String) {
        self.name = name
        lines = [
            VMXLine(
                bytes: Array(#".encoding = "UTF-8""#.utf8), ending: .lineFeed,
                entry: VMXLine.Entry(key: ".encoding", value: "UTF-8"))
        ]
        index = [".encoding": 0]
    }

    /// Reads the text of a file.
    ///
    /// - Throws: every line that is malformed, doubled or not in the file's encoding.
    public init(parsing bytes: [UInt8], name: String) throws(ConfigurationError) {
        self.name = name
        guard bytes.count <= Limit.fileSize else {
            throw ConfigurationError(
                Diagnostic(file: name, "is \(bytes.count) bytes long; the limit is \(Limit.fileSize)"))
        }
        var content = bytes[...]
        if content.starts(with: [0xef, 0xbb, 0xbf]) {
            hasByteOrderMark = true
            content = content.dropFirst(3)
        } else if content.starts(with: [0xff, 0xfe]) || content.starts(with: [0xfe, 0xff]) {
            throw ConfigurationError(Diagnostic(file: name, "is UTF-16 text; save it as UTF-8"))
        }
        lines = Self.split(content)
        try readEntries()
    }

    private static func split(_ content: ArraySlice<UInt8>) -> [VMXLine] {
        var lines: [VMXLine] = []
        var rest = content
        while let feed = rest.firstIndex(of: 10) {
            var line = rest[..<feed]
            var ending = VMXLine.Ending.lineFeed
            if line.last == 13 {
                line = line.dropLast()
                ending = .carriageReturnLineFeed
            }
            lines.append(VMXLine(bytes: Array(line), ending: ending, entry: nil))
            rest = rest[(feed + 1)...]
        }
        if rest.last == 13 {
            lines.append(VMXLine(bytes: Array(rest.dropLast()), ending: .carriageReturn, entry: nil))
        } else if !rest.isEmpty {
            lines.append(VMXLine(bytes: Array(rest), ending: .none, entry: nil))
        }
        return lines
    }

    /// Finds key and value of every line. The encoding may be named on any line, so it is looked for first.
    private mutating func readEntries() throws(ConfigurationError) {
        var problems: [Diagnostic] = []
        var found: [(line: Int, key: String, value: [UInt8])] = []
        for number in lines.indices {
            func complain(_ message: String, key: String? = nil) {
                problems.append(Diagnostic(file: name, line: number + 1, key: key, message))
            }
            let bytes = lines[number].bytes
            guard bytes.count <= Limit.lineLength else {
                complain("is \(bytes.count) bytes long; the limit is \(Limit.lineLength)")
                continue
            }
            guard !bytes.contains(0) else {
                complain("holds a zero byte")
                continue
            }
            let parts: VMXLine.Parts
            do {
                guard let some = try VMXLine.parts(of: bytes) else { continue }
                parts = some
            } catch {
                complain(error.reason)
                continue
            }
            guard parts.key.count <= Limit.keyLength, bytes[parts.key].allSatisfy({ (33...126).contains($0) }) else {
                complain("has a key that is not up to \(Limit.keyLength) printable ASCII characters")
                continue
            }
            let key = String(decoding: bytes[parts.key], as: UTF8.self)
            let value = VMXLine.unescape(bytes[parts.value])
            guard !value.contains(0) else {
                complain("holds a zero byte (|00)", key: key)
                continue
            }
            if let first = index[key.lowercased()] {
                complain("is already defined on line \(first + 1)", key: key)
                continue
            }
            guard found.count < Limit.keys else {
                complain("is one key too many; the limit is \(Limit.keys)")
                break
            }
            index[key.lowercased()] = number
            found.append((number, key, value))
        }
        if let named = found.first(where: { $0.key.lowercased() == ".encoding" }) {
            let text = String(decoding: named.value, as: UTF8.self)
            if let encoding = TextEncoding(name: text) {
                self.encoding = encoding
            } else {
                problems.append(
                    Diagnostic(
                        file: name, line: named.line + 1, key: named.key,
                        "the encoding \(quoted(text)) is not supported; save the file as UTF-8"))
            }
        }
        for (number, key, value) in found {
            if let text = encoding.decode(value) {
                lines[number].entry = VMXLine.Entry(key: key, value: text)
            } else {
                let message = "is not text in the file's encoding (\(encoding.name))"
                problems.append(Diagnostic(file: name, line: number + 1, key: key, message))
            }
        }
        guard problems.isEmpty else {
            // A file of garbage should not drown the reader.
            problems.sort { ($0.line ?? 0) < ($1.line ?? 0) }
            throw ConfigurationError(Array(problems.prefix(20)))
        }
    }

    /// The value of a key, whatever its capitals; nil if the file has no such key.
    public subscript(key: String) -> String? {
        index[key.lowercased()].flatMap { lines[$0].entry?.value }
    }

    /// The line a key stands on, counted from 1.
    public func line(of key: String) -> Int? { index[key.lowercased()].map { $0 + 1 } }

    /// Every key as the file spells it, in file order.
    public var keys: [String] { lines.compactMap { $0.entry?.key } }
}

// Edits.
extension VMXDocument {
    /// Gives a key a value: in its place if it is there, at the end otherwise.
    ///
    /// - Throws: if the key is no key, the value holds a zero byte or a character that the file's encoding lacks, or
    ///   the file would pass a limit.
    public mutating func set(_ key: String, to value: String) throws(ConfigurationError) {
        func refuse(_ message: String) -> ConfigurationError {
            ConfigurationError(Diagnostic(file: name, line: line(of: key), key: key, message))
        }
        let special: [UInt8] = [UInt8(ascii: "="), UInt8(ascii: "#")]
        guard !key.isEmpty, key.utf8.count <= Limit.keyLength,
            key.utf8.allSatisfy({ (33...126).contains($0) && !special.contains($0) })
        else {
            throw ConfigurationError(Diagnostic(file: name, "\(quoted(key)) cannot be a key"))
        }
        guard key.lowercased() != ".encoding" || TextEncoding(name: value) == encoding else {
            throw refuse("an edit cannot change the encoding of the text that is there")
        }
        guard let encoded = encoding.encode(value) else {
            throw refuse("\(quoted(value)) cannot be written in the file's encoding (\(encoding.name))")
        }
        guard !encoded.contains(0) else { throw refuse("a value cannot hold a zero byte") }
        let written = [UInt8(ascii: "\"")] + VMXLine.escape(encoded) + [UInt8(ascii: "\"")]

        if let number = index[key.lowercased()] {
            var line = lines[number]
            guard line.entry?.value != value else { return }
            // A line with an entry has parts: it was parsed or built here.
            guard let parts = try? VMXLine.parts(of: line.bytes) else { return }
            line.bytes.replaceSubrange(parts.written, with: written)
            guard line.bytes.count <= Limit.lineLength else { throw refuse("the value is too long") }
            line.entry?.value = value
            lines[number] = line
            return
        }
        guard index.count < Limit.keys else { throw refuse("is one key too many; the limit is \(Limit.keys)") }
        let bytes = Array("\(key) = ".utf8) + written
        guard bytes.count <= Limit.lineLength else { throw refuse("the value is too long") }
        let isDOS = lines.first.map { $0.ending == .carriageReturnLineFeed || $0.ending == .carriageReturn } ?? false
        let ending = isDOS ? VMXLine.Ending.carriageReturnLineFeed : .lineFeed
        if let last = lines.indices.last {
            switch lines[last].ending {
            case .none: lines[last].ending = ending
            case .carriageReturn: lines[last].ending = .carriageReturnLineFeed
            case .lineFeed, .carriageReturnLineFeed: break
            }
        }
        index[key.lowercased()] = lines.count
        lines.append(VMXLine(bytes: bytes, ending: ending, entry: VMXLine.Entry(key: key, value: value)))
    }

    /// Removes a key with its line. The encoding stays while the text depends on it.
    ///
    /// - Returns: whether it was there.
    @discardableResult
    public mutating func remove(_ key: String) -> Bool {
        if key.lowercased() == ".encoding", encoding != .utf8 { return false }
        guard let number = index.removeValue(forKey: key.lowercased()) else { return false }
        lines.remove(at: number)
        for (other, position) in index where position > number { index[other] = position - 1 }
        return true
    }

    /// The text of the file.
    public var bytes: [UInt8] {
        var result: [UInt8] = hasByteOrderMark ? [0xef, 0xbb, 0xbf] : []
        for line in lines {
            result += line.bytes
            result += line.ending.bytes
        }
        return result
    }
}
