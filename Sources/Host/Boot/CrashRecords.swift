import Linux

/// What a kernel that crashed has left in the firmware's memory (Linux: Documentation/ABI/testing/pstore).
enum CrashRecords {
    static let directory = "/run/wafer/crash"
    private static let source = "/sys/fs/pstore"
    /// A record is some tens of KiB; more is not kept.
    private static let bytesMax = 1 << 20

    /// Takes all records out: they are copied to memory, and their room is free for the next crash.
    ///
    /// - Returns: how many there were.
    static func take() throws(SystemError) -> Int {
        guard fileExists(source) else { return 0 }
        do throws(SystemError) {
            try Mounts.mount("pstore", on: source, type: "pstore", [.noSetUserID, .noDevices, .noExecution])
        } catch {
            if !error.isBusy { throw error }
        }
        return try move(from: source, to: directory)
    }

    static func move(from source: String, to target: String) throws(SystemError) -> Int {
        let names = try listDirectory(source).sorted()
        if names.isEmpty { return 0 }
        try FileSystem.makeDirectory(target, permissions: 0o700)
        for name in names {
            let bytes = try Descriptor(opening: "\(source)/\(name)", .readOnly).contents(upTo: bytesMax)
            let file = try Descriptor(
                opening: "\(target)/\(name)", [.writeOnly, .create, .truncate], permissions: 0o600)
            try file.write(all: bytes.span, name)
            try Files.remove("\(source)/\(name)")
        }
        return names.count
    }
}
