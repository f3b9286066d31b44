import Linux

/// `wafer enter ROOT COMMAND [ARGUMENT…]`: runs a command of another userland, such as a disk with tools to compare with,
/// on this host: its devices, processes, networks and data disks are the host's.
public enum Enter {
    private static let usage = "usage: wafer enter ROOT COMMAND [ARGUMENT...]\n"

    /// Runs the command in the place of this process.
    ///
    /// - Returns: only if that fails: 64 for a call that makes no sense, else 127.
    public static func run(_ arguments: [String]) -> Int32 {
        guard arguments.count >= 2, arguments[0].hasPrefix("/"), arguments[0] != "/" else {
            writeToStandardError(usage)
            return 64
        }
        let root = arguments[0]
        let words = Array(arguments.dropFirst())
        do throws(SystemError) {
            // Its own mounts: what is bound here goes with the command.
            try RootDirectory.isolateMounts()
            for target in boundPaths(root) where fileExists(root + target) {
                try Mounts.mount(target, on: root + target, type: "", [.bind, .recursive])
            }
            try RootDirectory.change(to: root)
            throw Launch(
                path: ProcessDefaults.path(of: words[0]), arguments: words, environment: ProcessDefaults.environment
            ).replaceThisProcess()
        } catch {
            writeToStandardError("wafer enter: \(error)\n")
            return 127
        }
    }

    /// The kernel's own file systems, and data disks at the top of the tree.
    private static func boundPaths(_ root: String) -> [String] {
        let own = ["/proc", "/sys", "/dev", "/run", "/tmp"]
        let table = (try? FileSystem.text(of: "/proc/self/mounts")) ?? ""
        let targets = table.split(separator: "\n").compactMap { line -> String? in
            let fields = line.split(separator: " ")
            return fields.count > 2 && fields[0].hasPrefix("/dev/") ? String(fields[1]) : nil
        }
        return own
            + targets.filter { $0 != "/" && $0 != root && !root.hasPrefix($0 + "/") && !$0.hasPrefix(root + "/") }
    }
}
