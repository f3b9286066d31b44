import Linux

/// The kernel's own file systems and the image's volumes, which everything else expects.
enum EarlyMounts {
    private static let table: [(type: String, target: String, options: MountOptions, data: String)] = [
        ("proc", "/proc", [.noSetUserID, .noDevices, .noExecution], ""),
        ("sysfs", "/sys", [.noSetUserID, .noDevices, .noExecution], ""),
        ("devtmpfs", "/dev", [.noSetUserID], "mode=0755"),
        ("devpts", "/dev/pts", [.noSetUserID, .noExecution], "mode=0620,ptmxmode=0666"),
        ("tmpfs", "/dev/shm", [.noSetUserID, .noDevices], "mode=1777"),
        ("tmpfs", "/run", [.noSetUserID, .noDevices], "mode=0755"),
        ("tmpfs", "/tmp", [.noSetUserID, .noDevices], "mode=1777"),
        ("cgroup2", "/sys/fs/cgroup", [.noSetUserID, .noDevices, .noExecution], ""),
    ]
    private static let links = [
        ("/dev/fd", "/proc/self/fd"), ("/dev/stdin", "/proc/self/fd/0"), ("/dev/stdout", "/proc/self/fd/1"),
        ("/dev/stderr", "/proc/self/fd/2"),
    ]

    /// Mounts them all. One that is mounted already, by the early constructor or the kernel, is left as it is.
    static func mountAll(_ console: Console) {
        for entry in table {
            do {
                try FileSystem.makeDirectory(entry.target)
                try Mounts.mount(entry.type, on: entry.target, type: entry.type, entry.options, data: entry.data)
            } catch {
                if !error.isBusy { console.warn("\(error)") }
            }
        }
        for (path, target) in links where FileSystem.status(of: path) == nil {
            do { try FileSystem.makeLink(path, to: target) } catch { console.warn("\(error)") }
        }
        ImageVolumes.mountAll(console)
    }
}
