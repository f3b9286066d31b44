/// One finding about a configuration file, placed where the administrator can go and look.
public struct Diagnostic: Equatable, Sendable, CustomStringConvertible {
    /// The file, as the caller named it.
    public var file: String
    /// The line, counted from 1; nil if the finding is about the file or about something that is missing.
    public var line: Int?
    /// The key as the file spells it; nil if the finding is about the whole line or file.
    public var key: String?
    /// What is wrong, in words that continue `key: `.
    public var message: String

    public init(file: String, line: Int? = nil, key: String? = nil, _ message: String) {
        self.file = file
        self.line = line
        self.key = key
        self.message = message
    }

    /// `debian12.vmx:14: memsize: "5x2" is not a whole number of megabytes`
    public var description: String {
        var text = file
        if let line { text += ":\(line)" }
        if let key { text += ": \(key)" }
        return "\(text): \(message)"
    }
}

/// Why a configuration file cannot be used: everything that is wrong with it, in file order, so that one look repairs it.
public struct ConfigurationError: Error, Equatable, Sendable, CustomStringConvertible {
    /// At least one.
    public var diagnostics: [Diagnostic]

    public init(_ diagnostics: [Diagnostic]) { self.diagnostics = diagnostics }
    init(_ diagnostic: Diagnostic) { diagnostics = [diagnostic] }

    /// One line a finding.
    public var description: String { diagnostics.map(\.description).joined(separator: "\n") }
}

/// Foreign text for a message: in quotes, cut to a readable length, with control characters made visible so that it
/// can forge no log line.
func quoted(_ text: String) -> String {
    var result = "\""
    for (count, scalar) in text.unicodeScalars.enumerated() {
        if count == 120 {
            result += "…"
            break
        }
        // Besides control characters, those that reorder the text around them (bidirectional marks) and line separators.
        switch scalar.properties.generalCategory {
        case .control, .format, .lineSeparator, .paragraphSeparator, .surrogate, .privateUse, .unassigned:
            result += "\\u{\(String(scalar.value, radix: 16))}"
        default: result.unicodeScalars.append(scalar)
        }
    }
    return result + "\""
}
