/// Takes typed values out of a document and collects everything that is wrong, so that one run reports it all.
///
/// A key counts as known once it was asked for.
struct ConfigurationReader {
    let document: VMXDocument
    private(set) var problems: [Diagnostic] = []
    private(set) var warnings: [Diagnostic] = []
    /// Keys that were asked for, in lower case.
    private var known: Set<String> = [".encoding"]
    /// Device names that have keys, in lower case: what stands before the first dot.
    let devices: Set<String>
    /// The directory of the file; relative paths start there.
    private let directory: String

    init(_ document: VMXDocument) {
        self.document = document
        devices = Set(document.keys.map { String($0.lowercased().prefix { $0 != "." }) })
        if let slash = document.name.utf8.lastIndex(of: UInt8(ascii: "/")) {
            directory = String(document.name[...slash])
        } else {
            directory = ""
        }
    }

    // MARK: Findings

    mutating func fail(_ key: String, _ message: String) { problems.append(diagnostic(key, message)) }

    mutating func warn(_ key: String, _ message: String) { warnings.append(diagnostic(key, message)) }

    private func diagnostic(_ key: String, _ message: String) -> Diagnostic {
        let line = document.line(of: key)
        let spelled = line.flatMap { document.lines[$0 - 1].entry?.key }
        return Diagnostic(file: document.name, line: line, key: spelled ?? key, message)
    }

    // MARK: Keys

    mutating func know(_ key: String) { known.insert(key.lowercased()) }

    /// Makes every key of a device known, for devices that are not there or not looked into.
    mutating func knowAll(of device: String) {
        let prefix = device.lowercased() + "."
        for key in document.keys where key.lowercased().hasPrefix(prefix) { know(key) }
    }

    /// Keys nobody asked for, in file order.
    var unknownKeys: [String] { document.keys.filter { !known.contains($0.lowercased()) } }

    // MARK: Values

    /// The text of a key; nil if it is missing or empty, which VMware's files use alike.
    mutating func text(_ key: String) -> String? {
        know(key)
        guard let value = document[key], !value.isEmpty else { return nil }
        return value
    }

    /// Text of one line that is shown to people or put on a command line.
    mutating func line(_ key: String, limit: Int) -> String? {
        guard let value = text(key) else { return nil }
        guard value.utf8.count <= limit else {
            fail(key, "is \(value.utf8.count) bytes long; the limit is \(limit)")
            return nil
        }
        guard value.unicodeScalars.allSatisfy({ $0.properties.generalCategory != .control }) else {
            fail(key, "\(quoted(value)) holds control characters")
            return nil
        }
        return value
    }

    /// A path, made relative to the file's directory unless absolute.
    mutating func path(_ key: String) -> String? {
        guard let value = text(key) else { return nil }
        // The kernel's PATH_MAX, which counts the final zero byte. Zero bytes themselves never leave the document.
        guard value.utf8.count < 4096 else {
            fail(key, "is \(value.utf8.count) bytes long; a path has at most 4095")
            return nil
        }
        return value.utf8.first == UInt8(ascii: "/") ? value : directory + value
    }

    mutating func boolean(_ key: String) -> Bool? {
        guard let value = text(key) else { return nil }
        switch value.lowercased() {
        case "true", "yes", "on", "1": return true
        case "false", "no", "off", "0": return false
        default:
            fail(key, "\(quoted(value)) is neither TRUE nor FALSE")
            return nil
        }
    }

    /// A whole number in `range`.
    ///
    /// - Parameter unit: what it counts: "megabytes", "processors".
    mutating func whole(_ key: String, of unit: String, in range: ClosedRange<Int>) -> Int? {
        guard let value = text(key) else { return nil }
        let digits = value.utf8.allSatisfy { (UInt8(ascii: "0")...UInt8(ascii: "9")).contains($0) }
        guard digits else {
            fail(key, "\(quoted(value)) is not a whole number of \(unit)")
            return nil
        }
        guard let number = Int(value), range.contains(number) else {
            fail(key, "\(quoted(value)) is not between \(range.lowerBound) and \(range.upperBound) \(unit)")
            return nil
        }
        return number
    }

    /// One of the names of an enumeration, whatever its capitals.
    mutating func choice<Choice: RawRepresentable<String> & CaseIterable>(_ key: String, _ type: Choice.Type) -> Choice?
    {
        guard let value = text(key) else { return nil }
        let found = Choice.allCases.first { $0.rawValue.lowercased() == value.lowercased() }
        if found == nil {
            let names = Choice.allCases.map { "\"\($0.rawValue)\"" }.joined(separator: ", ")
            fail(key, "\(quoted(value)) is none of \(names)")
        }
        return found
    }
}
