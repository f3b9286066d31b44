public import Linux

/// An opened disk image: which bytes of which files make up the disk, ready for a block engine.
///
/// The files stay open and locked as long as the layout or one of its files lives. Every request whose offset, length and
/// memory are multiples of 512 bytes works on them.
public struct DiskLayout: Sendable {
    /// The path it was opened by.
    public var path: String
    public var format: DiskFormat
    /// The disk's size, a multiple of 512.
    public var byteCount: UInt64
    /// Whether no byte of it may be written, because it was opened so or an extent says so.
    public var isReadOnly: Bool
    /// Runs of the disk in order, without gap or overlap, from byte 0 to `byteCount`.
    public var extents: [Extent]
    /// The descriptor, for an image that has one.
    public var descriptor: VMDKDescriptor?
    /// What is odd but harmless, for the log.
    public var warnings: [String]

    public struct Extent: Sendable {
        /// Where it begins on the disk, in bytes.
        public var start: UInt64
        /// Its length in bytes, a multiple of 512.
        public var byteCount: UInt64
        public var source: Source
        /// Whether the guest may write here. A write to anything else must end in an I/O error.
        public var isWritable: Bool
    }

    public enum Source: Sendable {
        /// A run of a file that begins `offset` bytes into it; disk byte `start + n` is file byte `offset + n`.
        case file(DiskFile, offset: UInt64)
        /// Reads as zeros; there is nowhere to write.
        case zeros
    }
}

/// How an image stores a disk.
public enum DiskFormat: Equatable, Sendable {
    /// The bytes as they are.
    case raw
    /// A VMware descriptor and its extents.
    case vmdk(VMDKDescriptor.CreateType)
}

/// One open file of a disk image, with its lock.
public final class DiskFile: Sendable {
    public let path: String
    /// The open file. Its lock lives and dies with it.
    public let descriptor: Descriptor
    /// Length in bytes when it was opened.
    public let byteCount: UInt64
    public let isBlockDevice: Bool
    /// Whether requests go around the host's page cache (O_DIRECT).
    public let isDirect: Bool
    let identity: FileIdentity
    /// Says to others who holds the lock. Only the name of the holder depends on it.
    private let record: LockFile?

    init(
        path: String, descriptor: consuming Descriptor, byteCount: UInt64, isBlockDevice: Bool, isDirect: Bool,
        identity: FileIdentity, record: LockFile?
    ) {
        self.path = path
        self.descriptor = descriptor
        self.byteCount = byteCount
        self.isBlockDevice = isBlockDevice
        self.isDirect = isDirect
        self.identity = identity
        self.record = record
    }

    deinit { DiskLock.release(descriptor) }
}
