import Linux

/// The parts of the system image that stay compressed in memory, because little of them is read and seldom: kernel modules, firmware for
/// guests. Each is a squashfs image `/volumes/NAME.squashfs` and is mounted on `/volumes/NAME`.
enum ImageVolumes {
    private static let directory = "/volumes"
    /// The modules for that, in the order of their names; they cannot lie in a volume themselves.
    private static let earlyModules = "/lib/early"
    private static let suffix = ".squashfs"

    /// Mounts them all. A host that was started without the image, as the lab does, has none.
    static func mountAll(_ console: Console) {
        guard let names = try? listDirectory(directory) else { return }
        for module in ((try? listDirectory(earlyModules)) ?? []).sorted() {
            do { try Kernel.loadModule("\(earlyModules)/\(module)") } catch { console.warn("\(error)") }
        }
        for name in names.sorted() where name.hasSuffix(suffix) {
            let target = "\(directory)/\(name.dropLast(suffix.utf8.count))"
            do {
                try FileSystem.makeDirectory(target)
                let loop = try LoopDevice(showing: "\(directory)/\(name)")
                try Mounts.mount(
                    loop.path, on: target, type: "squashfs", [.readOnly, .noSetUserID, .noDevices, .noExecution])
            } catch { console.warn("\(error)") }
        }
    }
}
