import Linux
import Signatures

/// `wafer-image`: the program around `ImageBuilder`.
public enum ImageCommand {
    static let usage = """
        usage: wafer-image COMMAND ...

          build OPTION...   build the boot medium; prints what each part takes
            --kernel DIR      where Debian's kernel package is unpacked, depmod has been run
            --modules FILE    the list of kernel modules
            --wafer FILE      the wafer binary
            --files DIR       files for the image's root; need not exist
            --loader FILE     GRUB's configuration
            --key FILE        the signing key
            --build WORD      what tells builds of one version apart
            --output FILE     the disk image
            --work DIR        for the parts, and what the next build need not make again
            --sizes FILE      the table of sizes
            --quick           pack in a moment, not in little room; the budget does not count
          update OPTION...  write an update bundle
            --vmlinuz FILE, --initrd FILE, --version TEXT, --build WORD, --key FILE, --output FILE
          inspect FILE KEYS what is on a boot medium: settings, banks by the public keys in KEYS, and which bank would start
          keygen FILE       make a signing key: FILE (secret) and FILE.pub

        """

    /// Runs the command.
    ///
    /// - Parameter arguments: without the program's name.
    /// - Returns: exit status: 0 done, 1 failed, 64 wrong usage.
    public static func run(_ arguments: [String]) -> Int32 {
        do throws(ImageError) {
            switch arguments.first {
            case "build": return try build(Array(arguments.dropFirst()))
            case "update": return try update(Array(arguments.dropFirst()))
            case "inspect" where arguments.count == 3: try inspect(arguments[1], keys: arguments[2])
            case "keygen" where arguments.count == 2: try SigningKey.generate(arguments[1])
            case "--help", "help": writeToStandardOutput(usage)
            default: return refuse()
            }
            return 0
        } catch {
            writeToStandardError("wafer-image: \(error)\n")
            return 1
        }
    }

    private static func build(_ arguments: [String]) throws(ImageError) -> Int32 {
        let isQuick = arguments.contains("--quick")
        let names = ["kernel", "modules", "wafer", "files", "loader", "key", "build", "output", "work", "sizes"]
        guard let values = options(arguments.filter { $0 != "--quick" }, names) else { return refuse() }
        let sizes = try ImageBuilder.build(
            ImageInputs(
                kernel: values[0], modules: values[1], wafer: values[2], files: values[3],
                loaderConfiguration: values[4],
                key: values[5], build: values[6], isQuick: isQuick, output: values[7], work: values[8], sizes: values[9]
            ))
        writeToStandardOutput(sizes.listing)
        return 0
    }

    private static func update(_ arguments: [String]) throws(ImageError) -> Int32 {
        guard let values = options(arguments, ["vmlinuz", "initrd", "version", "build", "key", "output"]) else {
            return refuse()
        }
        try ImageBuilder.writeUpdate(
            kernel: values[0], initrd: values[1], version: values[2], build: values[3], key: values[4],
            output: values[5])
        return 0
    }

    private static func inspect(_ path: String, keys: String) throws(ImageError) {
        guard let trusted = Ed25519.PublicKey.list(String(decoding: try content(of: keys), as: UTF8.self)) else {
            throw .key("\(keys) is no list of public keys")
        }
        writeToStandardOutput(try MediumInspection(path, trusted: trusted).text)
    }

    /// Reads `--NAME VALUE` pairs, in any order.
    ///
    /// - Returns: the values in the order of the names; nil unless each name is there exactly once.
    static func options(_ arguments: [String], _ names: [String]) -> [String]? {
        guard arguments.count == names.count * 2 else { return nil }
        var values: [String] = []
        for name in names {
            let places = stride(from: 0, to: arguments.count, by: 2).filter { arguments[$0] == "--\(name)" }
            guard places.count == 1 else { return nil }
            values.append(arguments[places[0] + 1])
        }
        return values
    }

    private static func refuse() -> Int32 {
        writeToStandardError(usage)
        return 64
    }
}
