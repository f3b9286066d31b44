import Linux

/// A kernel's module directory (kmod: modules.dep(5)), and the part of it that some of its modules need.
struct ModuleTree {
    /// What the image takes from it.
    struct Selection {
        /// Paths relative to the module directory, sorted.
        var files: [String] = []
        /// The indexes' lines that speak of these files.
        var dependencies = ""
        var aliases = ""
    }

    /// Such as `6.1.0-56-amd64`.
    let release: String
    private let directory: String
    private var needs: [String: [String]] = [:]
    private var paths: [String: String] = [:]
    private var builtIn: Set<String> = []

    /// - Parameter kernel: where a kernel package was unpacked and `depmod` was run.
    init(kernel: String) throws(ImageError) {
        let releases = try describingFailure { () throws(SystemError) in try listDirectory("\(kernel)/lib/modules") }
        guard releases.count == 1 else { throw .kernel("\(kernel) must hold one kernel") }
        release = releases[0]
        directory = "\(kernel)/lib/modules/\(release)"
        for line in try Self.lines("\(directory)/modules.dep") {
            guard let colon = line.firstIndex(of: ":") else { continue }
            let path = String(line[..<colon])
            needs[path] = line[line.index(after: colon)...].split(separator: " ").map(String.init)
            paths[Self.name(path)] = path
        }
        builtIn = Set(try Self.lines("\(directory)/modules.builtin").map { Self.name(String($0)) })
    }

    /// The files of these modules and of all they need.
    func select(_ modules: [String]) throws(ImageError) -> Selection {
        var wanted: Set<String> = []
        var missing: [String] = []
        for module in modules {
            let name = Self.name(module)
            if let path = paths[name] {
                wanted.formUnion([path] + (needs[path] ?? []))
            } else if !builtIn.contains(name) {
                missing.append(module)
            }
        }
        if !missing.isEmpty { throw .missingModules(missing, release: release) }
        var selection = Selection(files: wanted.sorted())
        // In the order of our own sorting: depmod's comes from a hash table.
        for path in selection.files {
            selection.dependencies += "\(path): \((needs[path] ?? []).joined(separator: " "))\n"
        }
        let names = Set(wanted.map(Self.name))
        for line in try Self.lines("\(directory)/modules.alias") {
            guard let module = line.split(separator: " ").last, names.contains(Self.name(String(module))) else {
                continue
            }
            selection.aliases += "\(line)\n"
        }
        return selection
    }

    /// A file's content.
    func file(_ path: String) throws(ImageError) -> [UInt8] { try content(of: "\(directory)/\(path)") }

    private static func lines(_ path: String) throws(ImageError) -> [Substring] {
        String(decoding: try content(of: path), as: UTF8.self).split(separator: "\n")
    }

    /// `kernel/arch/x86/kvm/kvm-amd.ko` is `kvm_amd`: hyphens and underscores are the same.
    private static func name(_ path: String) -> String {
        let file = Files.name(of: path)
        let stem = file.hasSuffix(".ko") ? String(file.dropLast(3)) : file
        return String(stem.map { $0 == "-" ? "_" : $0 })
    }
}
