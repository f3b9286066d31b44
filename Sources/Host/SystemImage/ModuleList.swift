/// Which kernel modules the image holds: groups, each with the reason why it is in.
///
/// A text: `NAME: REASON` begins a group, indented lines name its modules, `#` begins a comment. A `+` before a module has
/// it loaded at boot although no device asks for it.
public struct ModuleList: Equatable, Sendable {
    public struct Group: Equatable, Sendable {
        public var name: String
        public var reason: String
        public var modules: [String] = []
    }

    public private(set) var groups: [Group] = []
    /// Modules to load at boot, in order.
    public private(set) var loadedAtBoot: [String] = []

    public init(parsing text: String, name: String) throws(ImageError) {
        for (index, line) in text.split(separator: "\n", omittingEmptySubsequences: false).enumerated() {
            func refuse(_ why: String) -> ImageError { .list(file: name, line: index + 1, why) }
            let words = line.prefix { $0 != "#" }.split(separator: " ")
            guard let first = words.first else { continue }
            if line.first == " " {
                guard !groups.isEmpty else { throw refuse("modules before the first group") }
                for word in words {
                    let module = String(word.hasPrefix("+") ? word.dropFirst() : word)
                    if groups.contains(where: { $0.modules.contains(module) }) {
                        throw refuse("\(module) is there twice")
                    }
                    if word.hasPrefix("+") { loadedAtBoot.append(module) }
                    groups[groups.count - 1].modules.append(module)
                }
            } else {
                guard first.last == ":", words.count > 1 else { throw refuse("a group is NAME: REASON") }
                groups.append(Group(name: String(first.dropLast()), reason: words.dropFirst().joined(separator: " ")))
            }
        }
    }

    /// Every module of every group.
    public var modules: [String] { groups.flatMap(\.modules) }
}
