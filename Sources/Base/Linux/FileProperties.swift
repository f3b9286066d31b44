import CLinux

/// What the kernel says about an open file or block device.
public struct FileProperties: Equatable, Sendable {
    public var isBlockDevice: Bool
    public var isRegularFile: Bool
    /// Size in bytes; for a block device, that of the device.
    public var size: UInt64
    /// A regular file's space on disk in bytes.
    public var allocated: UInt64
    /// A block device's logical block; the preferred unit of I/O of a regular file's file system.
    public var blockSize: UInt32
    /// What O_DIRECT asks of memory addresses, a power of two; zero if the kernel does not say.
    public var directMemoryAlignment: UInt32
    /// What O_DIRECT asks of file offsets and lengths, a power of two; zero if the kernel does not say.
    public var directOffsetAlignment: UInt32
}

extension Descriptor {
    /// Asks the kernel about the open file.
    public func properties() throws(SystemError) -> FileProperties {
        let raw = self.raw
        var status = statx()
        try retrying("examine file") { unsafe wafer_statx(raw, &status) }
        let kind = status.stx_mode & UInt16(S_IFMT)
        let saysAlignment = status.stx_mask & UInt32(STATX_DIOALIGN) != 0
        var properties = FileProperties(
            isBlockDevice: kind == UInt16(S_IFBLK), isRegularFile: kind == UInt16(S_IFREG), size: status.stx_size,
            allocated: status.stx_blocks &* 512, blockSize: status.stx_blksize,
            directMemoryAlignment: saysAlignment ? status.stx_dio_mem_align : 0,
            directOffsetAlignment: saysAlignment ? status.stx_dio_offset_align : 0)
        if properties.isBlockDevice {
            var size: UInt64 = 0
            try control(WAFER_BLKGETSIZE64, &size, "read device size")
            var sector: CInt = 0
            try control(WAFER_BLKSSZGET, &sector, "read device block size")
            properties.size = size
            properties.blockSize = UInt32(clamping: sector)
        }
        return properties
    }

    /// Drops what the page cache holds of the file and does not have to write: it may be older than the disk when
    /// another host used the disk meanwhile.
    public func dropCachedPages() { _ = posix_fadvise(raw, 0, 0, POSIX_FADV_DONTNEED) }

    /// The flags it was opened with, as far as they can be changed.
    public func openMode() throws(SystemError) -> OpenMode {
        let raw = self.raw
        return OpenMode(rawValue: try retrying("read descriptor flags") { wafer_fcntl(raw, F_GETFL, 0) })
    }
}

extension SystemError {
    // Error numbers that callers outside this module tell apart or report.

    public static let invalidArgument = EINVAL
    public static let notADisk = ENOTBLK
    public static let noSpace = ENOSPC
    public static let quotaExceeded = EDQUOT
    public static let fileTooBig = EFBIG
    public static let inputOutput = EIO
    public static let interrupted = EINTR
    public static let tryAgain = EAGAIN
    public static let notSupported = EOPNOTSUPP
    public static let noSystemCall = ENOSYS
}
