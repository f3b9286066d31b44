import HostModel
import Linux

/// Starts a machine's process so that it depends on nobody: its own session, its own cgroup, no pipe to the agent.
struct MachineLauncher {
    private let environment: HostEnvironment
    private var directory: String { "\(environment.stateDirectory)/machines" }

    init(_ environment: HostEnvironment) {
        self.environment = environment
        prepareControlGroups()
    }

    /// What a machine's cgroup and files are called: its `.vmx` file's name for people, and a hash of the path (FNV-1a, 32
    /// bits) that tells machines of one name apart.
    static func unit(ofFile file: String) -> String {
        let plain = Inventory.name(ofFile: file).unicodeScalars.prefix(40).map { scalar -> Character in
            let isPlain = scalar.isASCII && (scalar.properties.isAlphabetic || ("0"..."9").contains(scalar))
            return isPlain || scalar == "-" || scalar == "_" ? Character(scalar) : "_"
        }
        let hash = file.utf8.reduce(UInt32(0x811c_9dc5)) { ($0 ^ UInt32($1)) &* 0x0100_0193 }
        let digits = String(hash, radix: 16)
        return String(plain) + "-" + String(repeating: "0", count: 8 - digits.count) + digits
    }

    /// Starts the process.
    ///
    /// - Returns: its number. What it says on its outputs can be read with `complaint`.
    func start(_ file: String) throws(SystemError) -> Int32 {
        guard let path = environment.monitor.first else { throw .invalid("start", file) }
        let unit = Self.unit(ofFile: file)
        try FileSystem.makeDirectory(directory, permissions: 0o700)
        let output = try Descriptor(
            opening: "\(directory)/\(unit).out", [.writeOnly, .create, .truncate, .append], permissions: 0o600)
        let input = try Descriptor(opening: "/dev/null", .readOnly)
        let process = try Launch(
            path: path, arguments: ["wafer"] + environment.monitor.dropFirst() + [file],
            environment: ["PATH=/bin:/sbin", "HOME=/"], directory: "/",
            descriptors: [input.raw, output.raw, output.raw]
        ).start()
        if let group = environment.controlGroup {
            // Best effort: a host without cgroups runs machines, too.
            try? FileSystem.makeDirectory("\(group)/\(unit)")
            try? FileSystem.write("\(process)", to: "\(group)/\(unit)/cgroup.procs")
        }
        return process
    }

    /// What the process said on its outputs before it ended, without its name in front; empty if nothing.
    func complaint(_ file: String) -> String {
        let path = "\(directory)/\(Self.unit(ofFile: file)).out"
        guard let bytes = try? readFile(path, limit: 1 << 20) else { return "" }
        let lines = String(decoding: bytes.suffix(4096), as: UTF8.self).split(separator: "\n")
            .filter { !$0.hasPrefix("warning: ") }
            .map { $0.hasPrefix("wafer vmx: ") ? $0.dropFirst(11) : $0 }
        return lines.joined(separator: "\n")
    }

    /// Clears away what the process left.
    func clear(_ file: String) {
        guard let group = environment.controlGroup else { return }
        try? FileSystem.remove("\(group)/\(Self.unit(ofFile: file))")
    }

    /// Makes the cgroup of all machines, and lets each of them have the usual controllers.
    private func prepareControlGroups() {
        guard let group = environment.controlGroup else { return }
        try? FileSystem.makeDirectory(group)
        guard let slash = group.lastIndex(of: "/") else { return }
        let parent = String(group[..<slash])
        for directory in [Files.directory(of: parent), parent, group] {
            // One by one: a controller that this kernel lacks must not keep the others away.
            for controller in ["cpu", "memory", "io", "pids"] {
                try? FileSystem.write("+\(controller)", to: "\(directory)/cgroup.subtree_control")
            }
        }
    }
}
