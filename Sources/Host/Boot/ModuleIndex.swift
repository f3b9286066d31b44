/// Which kernel modules there are, what each needs and which drives a device: depmod's text files, as in kmod's
/// modules.dep(5) and modules.alias.
public struct ModuleIndex: Sendable {
    /// What modules.dep says of a module.
    private struct Entry: Sendable {
        var path: String
        var needs: [String]
    }
    private struct Alias: Sendable {
        var pattern: [UInt8]
        var module: String
    }

    private var modules: [String: Entry] = [:]
    /// Grouped by what stands before the first `:` or wildcard, so that a lookup tries a few patterns, not thousands.
    private var aliases: [ArraySlice<UInt8>: [Alias]] = [:]
    private var builtIn: Set<String> = []

    /// - Parameters:
    ///   - dependencies: modules.dep: `path.ko: path.ko path.ko` a line, paths relative to the module directory.
    ///   - aliases: modules.alias: `alias PATTERN MODULE` a line.
    ///   - builtIn: modules.builtin: a path a line.
    public init(dependencies: [UInt8], aliases: [UInt8] = [], builtIn: [UInt8] = []) {
        for line in dependencies.split(separator: 10) {
            guard let colon = line.firstIndex(of: UInt8(ascii: ":")) else { continue }
            let path = String(decoding: line[..<colon], as: UTF8.self)
            let needs = line[(colon + 1)...].split(separator: 32).map { Self.name(ofPath: $0) }
            modules[Self.name(ofPath: line[..<colon])] = Entry(path: path, needs: needs)
        }
        for line in aliases.split(separator: 10) {
            let words = line.split(separator: 32)
            guard words.count == 3, words[0].elementsEqual("alias".utf8) else { continue }
            let pattern = Array(words[1])
            let module = String(decoding: words[2], as: UTF8.self)
            self.aliases[Self.group(pattern), default: []].append(Alias(pattern: pattern, module: module))
        }
        for line in builtIn.split(separator: 10) { self.builtIn.insert(Self.name(ofPath: line)) }
    }

    /// How many modules there are to load.
    public var count: Int { modules.count }

    /// Modules whose alias matches, in the order of the file, each once. A module's own name is an alias of it.
    public func modules(matching alias: String) -> [String] {
        let bytes = Array(alias.utf8)
        var found: [String] = []
        let name = Self.normalized(alias)
        if modules[name] != nil { found.append(name) }
        let prefix = Self.group(bytes)
        // A pattern may start with a wildcard; those have the empty group.
        for group in prefix.isEmpty ? [prefix] : [prefix, []] {
            for alias in aliases[group] ?? [] where Self.matches(alias.pattern[...], bytes[...]) {
                let module = Self.normalized(alias.module)
                if !found.contains(module) { found.append(module) }
            }
        }
        return found
    }

    /// Files to load for a module, in order, itself last; empty if it is built in; nil if there is no such module.
    public func loadOrder(_ module: String) -> [(name: String, path: String)]? {
        let name = Self.normalized(module)
        guard let entry = modules[name] else { return builtIn.contains(name) ? [] : nil }
        // modules.dep lists every dependency, nearest first: what is needed by others stands last.
        var order = entry.needs.reversed().compactMap { need in modules[need].map { (need, $0.path) } }
        order.append((name, entry.path))
        return order.map { (name: $0.0, path: $0.1) }
    }

    /// A module's name: `-` and `_` are the same.
    static func normalized(_ name: String) -> String {
        String(decoding: name.utf8.map { $0 == UInt8(ascii: "-") ? UInt8(ascii: "_") : $0 }, as: UTF8.self)
    }

    /// `kernel/arch/x86/kvm/kvm-amd.ko` is `kvm_amd`.
    private static func name(ofPath path: ArraySlice<UInt8>) -> String {
        let file = path.split(separator: UInt8(ascii: "/")).last ?? path
        let stem = file.prefix { $0 != UInt8(ascii: ".") }
        return normalized(String(decoding: stem, as: UTF8.self))
    }

    private static func group(_ pattern: [UInt8]) -> ArraySlice<UInt8> {
        let end = pattern.firstIndex { byte in
            byte == UInt8(ascii: ":") || byte == UInt8(ascii: "*") || byte == UInt8(ascii: "?")
                || byte == UInt8(ascii: "[")
        }
        // Without a colon the wildcard may stand for part of what would be the group.
        guard let end else { return pattern[...] }
        return pattern[end] == UInt8(ascii: ":") ? pattern[..<end] : []
    }
}
