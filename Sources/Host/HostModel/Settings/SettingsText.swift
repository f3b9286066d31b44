/// The settings as text: a line `path = "value"` for each value, in the order of the tree.
///
/// Paths are names joined by dots; members of lists carry their number, `network.switches[0].name`. In a value, `\n`, `\"` and `\\`
/// stand for a new line, a quote and a backslash. Lines that start with `#` are for people. See docs/formats/settings.md.
public enum SettingsText {
    /// More than any host's settings need; longer text is not read.
    public static let bytesMax = 4 << 20
    /// A list longer than this is cut off with a problem: numbers in paths are foreign.
    public static let listMax = 4096

    /// Something in the text that could not be used; the default stands in its place.
    public struct Problem: Equatable, Sendable, CustomStringConvertible {
        /// Which line, counted from 1; 0 for the text as a whole.
        public var line: Int
        public var text: String

        public var description: String { line > 0 ? "line \(line): \(text)" : text }
    }

    public static func encode(_ settings: some SettingsNode) -> String {
        var writer = SettingsWriter()
        var copy = settings
        copy.visit(&writer)
        return writer.lines.map { "\($0.path) = \"\(escape($0.value))\"\n" }.joined()
    }

    /// Reads settings. Whatever is missing or unusable has its default; each unusable or unknown line is named.
    public static func decode<Node: SettingsNode>(_ text: String, as type: Node.Type = Node.self) -> (Node, [Problem]) {
        guard text.utf8.count <= bytesMax else {
            return (Node(), [Problem(line: 0, text: "the settings are longer than \(bytesMax) bytes")])
        }
        var problems: [Problem] = []
        var entries: [String: (line: Int, value: String)] = [:]
        for (index, line) in text.split(separator: "\n", omittingEmptySubsequences: false).enumerated() {
            if line.isEmpty || line.hasPrefix("#") { continue }
            guard let (path, value) = parse(line) else {
                problems.append(Problem(line: index + 1, text: "is not PATH = \"VALUE\""))
                continue
            }
            if entries.updateValue((index + 1, value), forKey: path) != nil {
                problems.append(Problem(line: index + 1, text: "\(path) is given twice; the later one counts"))
            }
        }
        var reader = SettingsReader(entries)
        var node = Node()
        node.visit(&reader)
        problems += reader.problems
        for (path, entry) in entries where !reader.used.contains(path) {
            problems.append(Problem(line: entry.line, text: "\(path) is unknown"))
        }
        return (node, problems.sorted { $0.line < $1.line })
    }

    private static func parse(_ line: Substring) -> (path: String, value: String)? {
        guard let equals = line.firstIndex(of: "=") else { return nil }
        let path = line[..<equals].drop { $0 == " " }.prefix { $0 != " " }
        let rest = line[line.index(after: equals)...].drop { $0 == " " }
        guard !path.isEmpty, rest.first == "\"" else { return nil }
        var value = ""
        var scalars = rest.dropFirst().unicodeScalars.makeIterator()
        while let scalar = scalars.next() {
            switch scalar {
            case "\"": return scalars.next() == nil ? (String(path), value) : nil
            case "\\":
                switch scalars.next() {
                case "n": value.unicodeScalars.append("\n")
                case "\"": value.unicodeScalars.append("\"")
                case "\\": value.unicodeScalars.append("\\")
                default: return nil
                }
            default: value.unicodeScalars.append(scalar)
            }
        }
        return nil
    }

    /// A value as it stands between the quotes.
    public static func escape(_ value: String) -> String {
        var escaped = ""
        for scalar in value.unicodeScalars {
            switch scalar {
            case "\n": escaped += "\\n"
            case "\"": escaped += "\\\""
            case "\\": escaped += "\\\\"
            default: escaped.unicodeScalars.append(scalar)
            }
        }
        return escaped
    }
}

private struct SettingsWriter: SettingsVisitor {
    var lines: [(path: String, value: String)] = []
    private var prefix = ""

    mutating func value<Value: SettingsValue>(_ name: String, _ value: inout Value) {
        lines.append((prefix + name, value.settingsText))
    }

    mutating func optional<Value: SettingsValue>(_ name: String, _ value: inout Value?) {
        if let value { lines.append((prefix + name, value.settingsText)) }
    }

    mutating func values<Value: SettingsValue>(_ name: String, _ values: inout [Value]) {
        for (index, value) in values.enumerated() { lines.append(("\(prefix)\(name)[\(index)]", value.settingsText)) }
        // An empty list is not the default list.
        if values.isEmpty { lines.append(("\(prefix)\(name).count", "0")) }
    }

    mutating func group(_ name: String, _ group: inout some SettingsNode) { inside("\(name).", &group) }

    mutating func groups<Node: SettingsNode>(_ name: String, _ groups: inout [Node]) {
        for index in groups.indices { inside("\(name)[\(index)].", &groups[index]) }
        if groups.isEmpty { lines.append(("\(prefix)\(name).count", "0")) }
    }

    private mutating func inside(_ step: String, _ node: inout some SettingsNode) {
        let outer = prefix
        prefix += step
        node.visit(&self)
        prefix = outer
    }
}

private struct SettingsReader: SettingsVisitor {
    private let entries: [String: (line: Int, value: String)]
    /// Of each list, by its path: how many members the text names.
    private let counts: [String: Int]
    var problems: [SettingsText.Problem] = []
    var used: Set<String> = []
    private var prefix = ""

    init(_ entries: [String: (line: Int, value: String)]) {
        self.entries = entries
        var counts: [String: Int] = [:]
        for path in entries.keys {
            if path.hasSuffix(".count"), entries[path]?.value == "0" {
                counts[String(path.dropLast(6)), default: 0] += 0
            }
            var rest = path[...]
            while let open = rest.firstIndex(of: "["), let close = rest[open...].firstIndex(of: "]") {
                if let index = Int(rest[rest.index(after: open)..<close]), (0..<SettingsText.listMax).contains(index) {
                    let list = String(path[..<open])
                    counts[list] = max(counts[list] ?? 0, index + 1)
                }
                rest = rest[rest.index(after: close)...]
            }
        }
        self.counts = counts
    }

    mutating func value<Value: SettingsValue>(_ name: String, _ value: inout Value) {
        if let read: Value = take(prefix + name) { value = read }
    }

    mutating func optional<Value: SettingsValue>(_ name: String, _ value: inout Value?) {
        value = take(prefix + name) ?? value
    }

    mutating func values<Value: SettingsValue>(_ name: String, _ values: inout [Value]) {
        guard let count = count(name) else { return }
        values = (0..<count).compactMap { take("\(prefix)\(name)[\($0)]") }
    }

    mutating func group(_ name: String, _ group: inout some SettingsNode) { inside("\(name).", &group) }

    mutating func groups<Node: SettingsNode>(_ name: String, _ groups: inout [Node]) {
        guard let count = count(name) else { return }
        groups = []
        for index in 0..<count {
            var node = Node()
            inside("\(name)[\(index)].", &node)
            groups.append(node)
        }
    }

    /// nil if the text says nothing of the list, which then keeps its default.
    private mutating func count(_ name: String) -> Int? {
        used.insert("\(prefix)\(name).count")
        return counts[prefix + name]
    }

    private mutating func take<Value: SettingsValue>(_ path: String) -> Value? {
        guard let entry = entries[path] else { return nil }
        used.insert(path)
        guard let value = Value(settingsText: entry.value) else {
            problems.append(.init(line: entry.line, text: "\(path): \"\(entry.value)\" is not \(Value.settingsForm)"))
            return nil
        }
        return value
    }

    private mutating func inside(_ step: String, _ node: inout some SettingsNode) {
        let outer = prefix
        prefix += step
        node.visit(&self)
        prefix = outer
    }
}
