import BootMedium
import Linux

/// The host's root, as several archives that the kernel unpacks one after another: what changes seldom need not be packed again.
struct RootArchives {
    struct Archive {
        var name: String
        /// Bytes of the files in it.
        var raw: Int
        /// Whether there is anything to gain by compressing it.
        var isCompressible: Bool
        var cpio: [UInt8]
    }

    private(set) var archives: [Archive] = []

    init(_ inputs: ImageInputs, trusted: [UInt8]) throws(ImageError) {
        let list = try ModuleList(
            parsing: String(decoding: try content(of: inputs.modules), as: UTF8.self), name: inputs.modules)
        try addFiles(inputs, list, trusted: trusted)
        try addFirmware(inputs)
        try addModules(inputs, list)
        try addWafer(inputs)
    }

    private mutating func add(_ name: String, raw: Int, isCompressible: Bool = true, _ archive: consuming CPIOArchive) {
        archives.append(Archive(name: name, raw: raw, isCompressible: isCompressible, cpio: archive.finish()))
    }

    /// Adds a volume, and a link to it from where its content is looked for.
    private mutating func add(_ volume: RootVolume, at path: String, _ inputs: ImageInputs) throws(ImageError) {
        let image = try volume.image(isQuick: inputs.isQuick, directory: inputs.work)
        var archive = CPIOArchive()
        archive.file("volumes/\(volume.name).squashfs", image)
        archive.link(path, to: "/volumes/\(volume.name)")
        add(volume.name, raw: volume.raw, isCompressible: false, archive)
    }

    /// Empty directories, and small files.
    private mutating func addFiles(_ inputs: ImageInputs, _ list: ModuleList, trusted: [UInt8]) throws(ImageError) {
        var archive = CPIOArchive()
        for directory in ["dev", "etc", "proc", "run", "sys"] { archive.directory(directory) }
        archive.directory("root", permissions: 0o700)
        archive.directory("tmp", permissions: 0o1777)
        var files: [(path: String, bytes: [UInt8])] = [
            ("etc/modules", Array(list.loadedAtBoot.map { $0 + "\n" }.joined().utf8)),
            ("etc/wafer/trusted.pub", trusted),
        ]
        for terminal in ImageInputs.terminals {
            files.append(("lib/terminfo/\(terminal)", try content(of: "\(ImageInputs.terminfo)/\(terminal)")))
        }
        for path in try Self.regularFiles(below: inputs.files) {
            files.append((path, try content(of: "\(inputs.files)/\(path)")))
        }
        for file in files { archive.file(file.path, file.bytes) }
        add("files", raw: files.reduce(0) { $0 + $1.bytes.count }, archive)
    }

    private mutating func addFirmware(_ inputs: ImageInputs) throws(ImageError) {
        var files: [(path: String, bytes: [UInt8])] = []
        for (name, path) in ImageInputs.guestFirmware { files.append((name, try content(of: path))) }
        try add(RootVolume(name: "firmware", files: files), at: "usr/share/wafer/firmware", inputs)
    }

    private mutating func addModules(_ inputs: ImageInputs, _ list: ModuleList) throws(ImageError) {
        let tree = try ModuleTree(kernel: inputs.kernel)
        let selection = try tree.select(list.modules)
        var files = [
            ("modules.dep", Array(selection.dependencies.utf8)), ("modules.alias", Array(selection.aliases.utf8)),
            ("modules.builtin", try tree.file("modules.builtin")),
        ]
        for path in selection.files { files.append((path, try tree.file(path))) }
        let volume = RootVolume(name: "modules", files: files.map { ("\(tree.release)/\($0.0)", $0.1) })
        try add(volume, at: "lib/modules", inputs)

        // What mounting the volumes takes.
        var archive = CPIOArchive()
        var raw = 0
        for (index, path) in try tree.select(Self.earlyModules).files.enumerated() {
            let bytes = try tree.file(path)
            raw += bytes.count
            archive.file("lib/early/\(index)-\(Files.name(of: path))", bytes)
        }
        add("early-modules", raw: raw, archive)
    }

    /// Neither needs another module.
    private static let earlyModules = ["loop", "squashfs"]

    /// The one executable, and the names that the kernel calls it by.
    private mutating func addWafer(_ inputs: ImageInputs) throws(ImageError) {
        let binary = try content(of: inputs.wafer)
        var archive = CPIOArchive()
        archive.file("bin/wafer", binary, permissions: 0o755)
        archive.link("init", to: "bin/wafer")
        archive.link("sbin/modprobe", to: "/bin/wafer")
        add("wafer", raw: binary.count, archive)
    }

    /// Paths relative to a directory, sorted; none if it does not exist.
    private static func regularFiles(below directory: String) throws(ImageError) -> [String] {
        guard fileExists(directory) else { return [] }
        var found: [String] = []
        var pending = [""]
        while let inner = pending.popLast() {
            let path = inner.isEmpty ? directory : "\(directory)/\(inner)"
            let names = try describingFailure { () throws(SystemError) in try listDirectory(path) }
            for name in names {
                let child = inner.isEmpty ? name : "\(inner)/\(name)"
                switch FileSystem.status(of: "\(directory)/\(child)")?.kind {
                case .directory?: pending.append(child)
                case .file?: found.append(child)
                default: throw .layout("\(directory)/\(child) is neither a file nor a directory")
                }
            }
        }
        return found.sorted()
    }
}
