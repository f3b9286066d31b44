import HostModel

/// Changes single lines of settings as text. What it makes is checked by whoever reads it.
struct SettingsEditor {
    private var lines: [(path: String, line: String)]

    init(_ text: String) {
        lines = text.split(separator: "\n").map { line in
            (String(line.prefix { $0 != " " }), String(line))
        }
    }

    var text: String { lines.map { $0.line + "\n" }.joined() }

    mutating func set(_ path: String, _ value: String) {
        let escaped = SettingsText.escape(value)
        let line = "\(path) = \"\(escaped)\""
        if let index = lines.firstIndex(where: { $0.path == path }) {
            lines[index].line = line
        } else {
            lines.append((path, line))
        }
        // A list with a member is not the empty list any more.
        for list in Self.lists(of: path) { lines.removeAll { $0.path == "\(list).count" } }
    }

    /// Takes away a value, or a group or list member with all that is in it.
    mutating func unset(_ path: String) {
        lines.removeAll { $0.path == path || $0.path.hasPrefix("\(path).") || $0.path.hasPrefix("\(path)[") }
        // A list without members is the empty one, not the default.
        if path.hasSuffix("]"), let open = path.lastIndex(of: "[") {
            let list = String(path[..<open])
            if !lines.contains(where: { $0.path.hasPrefix("\(list)[") }) {
                lines.append(("\(list).count", "\(list).count = \"0\""))
            }
        }
    }

    /// The lists that a path goes through.
    private static func lists(of path: String) -> [String] {
        path.indices.filter { path[$0] == "[" }.map { String(path[..<$0]) }
    }
}
