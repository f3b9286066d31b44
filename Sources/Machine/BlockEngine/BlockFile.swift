public import Linux
import Synchronization

/// Whether a disk's data goes through the host's page cache: the key `scsiB:T.wafer.direct`.
public enum DiskCache: String, Sendable {
    /// Past it (O_DIRECT), the default: no second copy of what the guest caches itself, no host memory taken from other
    /// guests, and after a migration no old pages. Requests that are not aligned as the storage asks still go through
    /// the cache. Where the file system cannot do without its cache (tmpfs), everything does.
    case direct
    /// Through it: reads of common data are quick, at the price of host memory. A guest's flush reaches the disk all the
    /// same.
    case host
}

/// A file or block device that holds a disk or part of one, opened in the ways the engine needs.
public final class BlockFile: Sendable {
    /// Its path, for messages.
    public let name: String
    /// Size in bytes when it was opened.
    public let size: UInt64
    public let isWritable: Bool
    public let isBlockDevice: Bool
    /// Whether aligned requests pass the page cache by.
    public let isDirect: Bool
    /// What the storage's block is, as far as known.
    public let blockSize: UInt32

    /// For requests that meet the alignments below.
    let main: Descriptor
    /// For the others; through the page cache. None if `main` has no alignments.
    private let unaligned: Descriptor?
    /// The number of that descriptor.
    let unalignedRaw: CInt?
    /// Bits that must be zero in memory addresses for `main`.
    let memoryMask: UInt
    /// Bits that must be zero in offsets and lengths for `main`.
    let offsetMask: UInt64

    /// Switched off for good when the file system says it cannot.
    let canPunch = Atomic<Bool>(true)
    let canZeroRange = Atomic<Bool>(true)
    /// The error of a flush that failed, zero if none did. The kernel forgets which cached pages it could not write and
    /// reports success the next time, so a disk that failed once to flush cached data never claims to be flushed again.
    let lostWrites = Atomic<CInt>(0)
    /// Whether anything was written through the page cache.
    let hasCachedWrites: Atomic<Bool>

    /// Keeps whatever else belongs to the file, such as its lock.
    private let keeping: (any AnyObject & Sendable)?

    /// Opens a file or block device by its path.
    public convenience init(opening path: String, writable: Bool, cache: DiskCache = .direct) throws(SystemError) {
        try self.init(path, name: path, writable: writable, cache: cache, keeping: nil)
    }

    /// Opens an open file anew, so that it can be used with the page cache and past it. Needs `/proc`.
    ///
    /// - Parameters:
    ///   - name: its path, for messages.
    ///   - keeping: an object that lives as long as this one, such as the owner of the file's lock.
    public convenience init(
        of descriptor: borrowing Descriptor, name: String, writable: Bool, cache: DiskCache = .direct,
        keeping: (any AnyObject & Sendable)?
    ) throws(SystemError) {
        try self.init(
            "/proc/self/fd/\(descriptor.raw)", name: name, writable: writable, cache: cache, keeping: keeping)
    }

    private init(
        _ path: String, name: String, writable: Bool, cache: DiskCache, keeping: (any AnyObject & Sendable)?
    ) throws(SystemError) {
        let mode: OpenMode = writable ? .readWrite : .readOnly
        let cached = try Self.open(path, mode, name)
        let properties = try cached.properties()
        try Self.checkKind(properties, name)
        if cache == .direct, let direct = try Self.openDirect(path, mode, name) {
            // What an earlier user left in the cache may be older than the disk.
            cached.dropCachedPages()
            (memoryMask, offsetMask) = Self.masks(properties)
            main = direct
            unalignedRaw = cached.raw
            unaligned = consume cached
            isDirect = true
        } else {
            (memoryMask, offsetMask) = (0, 0)
            main = consume cached
            unalignedRaw = nil
            unaligned = nil
            isDirect = false
        }
        self.name = name
        self.keeping = keeping
        size = properties.size
        isWritable = writable
        hasCachedWrites = Atomic(!isDirect)
        isBlockDevice = properties.isBlockDevice
        blockSize = properties.blockSize
    }

    /// Takes over descriptors that another process opened: `main`, with O_DIRECT or without, and if it is with, `cached`
    /// for the same file without.
    public init(
        adopting main: consuming Descriptor, cached: consuming Descriptor?, name: String
    ) throws(SystemError) {
        let properties = try main.properties()
        let mode = try main.openMode()
        try Self.checkKind(properties, name)
        isDirect = mode.contains(.direct)
        (memoryMask, offsetMask) = isDirect ? Self.masks(properties) : (0, 0)
        if isDirect, let cached {
            unalignedRaw = cached.raw
            unaligned = consume cached
        } else {
            unalignedRaw = nil
            unaligned = nil
        }
        self.main = main
        self.name = name
        keeping = nil
        size = properties.size
        isWritable = mode.contains(.readWrite)
        hasCachedWrites = Atomic(!isDirect)
        isBlockDevice = properties.isBlockDevice
        blockSize = properties.blockSize
    }

    private static func checkKind(_ properties: FileProperties, _ name: String) throws(SystemError) {
        guard properties.isBlockDevice || properties.isRegularFile else {
            throw SystemError(number: SystemError.notADisk, operation: "open disk", subject: name)
        }
    }

    /// Opens `path`, and calls it `name` in errors.
    private static func open(_ path: String, _ mode: OpenMode, _ name: String) throws(SystemError) -> Descriptor {
        do throws(SystemError) {
            return try Descriptor(opening: path, mode)
        } catch {
            throw SystemError(number: error.number, operation: "open disk", subject: name)
        }
    }

    /// The file without page cache, or nil where the file system does not offer that.
    private static func openDirect(
        _ path: String, _ mode: OpenMode, _ name: String
    ) throws(SystemError) -> Descriptor? {
        do throws(SystemError) {
            return try open(path, mode.union(.direct), name)
        } catch {
            if error.number == SystemError.invalidArgument { return nil }
            throw error
        }
    }

    private static func masks(_ properties: FileProperties) -> (memory: UInt, offset: UInt64) {
        // A kernel that does not say wants the logical block of a device, and at most a page of a file.
        let fallback: UInt32 = properties.isBlockDevice ? properties.blockSize : 4096
        let memory = properties.directMemoryAlignment > 0 ? properties.directMemoryAlignment : fallback
        let offset = properties.directOffsetAlignment > 0 ? properties.directOffsetAlignment : fallback
        return (UInt(max(memory, 1)) - 1, UInt64(max(offset, 1)) - 1)
    }
}
