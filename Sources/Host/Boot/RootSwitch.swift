import Linux

/// Hands the booted host over to another userland's init, as an initramfs does: `wafer.root=DISK[:TYPE[:OPTIONS]]` and
/// perhaps `wafer.init=PATH`. For trying other systems on the very same kernel; the appliance itself stays in memory.
struct RootSwitch: Equatable {
    var disk: DataDisk
    var initPath: String

    /// - Returns: nil if the setting does not have that form.
    init?(root: String, initPath: String?) {
        let fields = root.split(separator: ":", maxSplits: 1, omittingEmptySubsequences: false)
        let rest = fields.count > 1 ? ":" + fields[1] : ""
        guard let disk = DataDisk("\(fields[0]):/newroot\(rest)") else { return nil }
        self.disk = disk
        self.initPath = initPath ?? "/sbin/init"
    }

    /// Becomes that init.
    ///
    /// - Returns: only if that fails, before or after the file systems were moved.
    func perform(device: String) -> SystemError {
        do throws(SystemError) {
            try disk.mount(from: device, [])
            for target in ["/dev", "/proc", "/sys", "/run"] {
                try FileSystem.makeDirectory(disk.directory + target)
                try Mounts.mount(target, on: disk.directory + target, type: "", .move)
            }
            try RootDirectory.replace(with: disk.directory)
            return Launch(path: initPath, arguments: [initPath], environment: ProcessDefaults.environment)
                .replaceThisProcess()
        } catch { return error }
    }
}
