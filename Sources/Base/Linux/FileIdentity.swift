import CLinux

/// What the kernel says about a file: its kind, size and identity.
public struct FileIdentity: Equatable, Sendable {
    public enum Kind: Equatable, Sendable {
        case regular, directory, blockDevice, characterDevice, symbolicLink, pipe, socket, other
    }

    public var kind: Kind
    /// Length in bytes of a regular file; 0 for a device.
    public var size: Int64
    /// Permission bits, `0o7777` at most.
    public var permissions: UInt32
    public var owner: UInt32
    public var group: UInt32
    /// The file system and the file in it: two equal pairs are one file.
    public var device: UInt64
    public var inode: UInt64
    /// For a device node: which device it stands for.
    public var targetDevice: UInt64

    init(_ raw: stat) {
        kind =
            switch raw.st_mode & 0o170000 {
            case 0o100000: .regular
            case 0o040000: .directory
            case 0o060000: .blockDevice
            case 0o020000: .characterDevice
            case 0o120000: .symbolicLink
            case 0o010000: .pipe
            case 0o140000: .socket
            default: .other
            }
        size = Int64(raw.st_size)
        permissions = UInt32(raw.st_mode) & 0o7777
        owner = raw.st_uid
        group = raw.st_gid
        device = UInt64(raw.st_dev)
        inode = UInt64(raw.st_ino)
        targetDevice = UInt64(raw.st_rdev)
    }

    /// Looks at a path; the last symbolic link is followed.
    public init(of path: String) throws(SystemError) {
        var raw = stat()
        try retrying("look at", path) { unsafe stat(path, &raw) }
        self.init(raw)
    }

    /// Whether both are the same file, by whatever path each was reached.
    public func isSameFile(as other: FileIdentity) -> Bool { device == other.device && inode == other.inode }
}

extension Descriptor {
    /// What this descriptor refers to.
    ///
    /// - Parameter subject: the name for error texts.
    public borrowing func identity(_ subject: String = "") throws(SystemError) -> FileIdentity {
        let raw = self.raw
        var status = stat()
        try retrying("look at", subject) { unsafe fstat(raw, &status) }
        return FileIdentity(status)
    }

    /// The capacity of the block device behind this descriptor, in bytes.
    public borrowing func blockDeviceSize() throws(SystemError) -> UInt64 {
        var size: UInt64 = 0
        try control(WAFER_BLKGETSIZE64, &size, "read the size of a block device")
        return size
    }

    /// The logical block size of the block device behind this descriptor, in bytes.
    public borrowing func blockDeviceSectorSize() throws(SystemError) -> Int {
        var size: CInt = 0
        try control(WAFER_BLKSSZGET, &size, "read the sector size of a block device")
        return Int(size)
    }
}
