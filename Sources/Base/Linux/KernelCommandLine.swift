/// The kernel's command line as `/proc/cmdline` shows it: words, some of them `name=value`, some in double quotes.
public struct KernelCommandLine: Equatable, Sendable {
    /// Every word in order; the value is nil where there is no `=`.
    public private(set) var parameters: [(name: String, value: String?)] = []

    public init(_ text: String) {
        for word in Self.words(text) {
            if let equals = word.firstIndex(of: "=") {
                parameters.append((String(word[..<equals]), String(word[word.index(after: equals)...])))
            } else {
                parameters.append((word, nil))
            }
        }
    }

    /// The last value given for a name; empty for a bare word; nil if the name is not there.
    public func value(_ name: String) -> String? { values(name).last }

    /// Every value given for a name, in order.
    public func values(_ name: String) -> [String] {
        parameters.filter { $0.name == name }.map { $0.value ?? "" }
    }

    /// Whether a switch is on: there as a bare word or with one of `1`, `y`, `yes`, `on`.
    ///
    /// - Parameter default: what holds if the name is not there.
    public func isOn(_ name: String, default: Bool = false) -> Bool {
        guard let value = value(name) else { return `default` }
        return ["", "1", "y", "yes", "on"].contains(value)
    }

    public static func == (left: KernelCommandLine, right: KernelCommandLine) -> Bool {
        left.parameters.elementsEqual(right.parameters) { $0.name == $1.name && $0.value == $1.value }
    }

    /// Splits as the kernel does (`next_arg` in lib/cmdline.c): quotes keep white space together and are dropped.
    private static func words(_ text: String) -> [String] {
        var words: [String] = []
        var word: [UInt8] = []
        var quoted = false
        for byte in text.utf8 {
            switch byte {
            case UInt8(ascii: "\""): quoted.toggle()
            case 9...13 where !quoted, 32 where !quoted, 0:
                if !word.isEmpty { words.append(String(decoding: word, as: UTF8.self)) }
                word.removeAll()
            default: word.append(byte)
            }
        }
        if !word.isEmpty { words.append(String(decoding: word, as: UTF8.self)) }
        return words
    }
}
