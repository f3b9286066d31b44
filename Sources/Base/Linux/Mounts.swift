import CLinux

/// How a file system is mounted.
public struct MountOptions: OptionSet, Sendable {
    public let rawValue: UInt
    public init(rawValue: UInt) { self.rawValue = rawValue }

    public static let readOnly = MountOptions(rawValue: 1)
    public static let noSetUserID = MountOptions(rawValue: 2)
    public static let noDevices = MountOptions(rawValue: 4)
    public static let noExecution = MountOptions(rawValue: 8)
    public static let remount = MountOptions(rawValue: 32)
    public static let noAccessTime = MountOptions(rawValue: 1024)
    public static let bind = MountOptions(rawValue: 4096)
    public static let move = MountOptions(rawValue: 8192)
    public static let recursive = MountOptions(rawValue: 16384)
    /// Mounts and unmounts elsewhere do not reach it, nor the other way.
    public static let isPrivate = MountOptions(rawValue: 1 << 18)
}

/// The kernel's mount table.
public enum Mounts {
    /// Mounts a file system. The target must exist.
    public static func mount(
        _ source: String, on target: String, type: String, _ options: MountOptions = [], data: String = ""
    ) throws(SystemError) {
        try retrying("mount", "\(source) on \(target)") {
            unsafe data.withCString { unsafe CLinux.mount(source, target, type, options.rawValue, $0) }
        }
    }

    /// Unmounts; with `lazily` at once from view and for good when the last user is gone.
    public static func unmount(_ target: String, lazily: Bool = false) throws(SystemError) {
        try retrying("unmount", target) { unsafe umount2(target, lazily ? CInt(MNT_DETACH) : 0) }
    }

    /// Writes all dirty data of all file systems to their disks.
    public static func syncAll() { sync() }
}
