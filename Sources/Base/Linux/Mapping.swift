import CLinux

/// A stretch of mapped memory, unmapped when the object goes.
///
/// The bytes may be shared with the kernel, another process or a guest, and change at any time.
@safe public final class Mapping: @unchecked Sendable {
    // @unchecked: both fields are immutable; who may touch the bytes is each user's rule.

    /// First byte. Valid for `count` bytes as long as this object lives.
    @unsafe public let base: UnsafeMutableRawPointer
    /// Length in bytes.
    public let count: Int

    /// Maps `count` bytes of a descriptor, shared with everyone else who maps it.
    ///
    /// - Parameter populate: touch the pages now rather than on first use.
    public init(
        sharing descriptor: CInt, offset: Int = 0, count: Int, writable: Bool = true, populate: Bool = false,
        _ what: String
    ) throws(SystemError) {
        let protection = writable ? PROT_READ | PROT_WRITE : PROT_READ
        let flags = MAP_SHARED | (populate ? CInt(MAP_POPULATE) : 0)
        guard let base = unsafe mmap(nil, count, protection, flags, descriptor, offset),
            unsafe base != wafer_map_failed()
        else { throw SystemError.last("map", what) }
        unsafe self.base = base
        self.count = count
    }

    /// Maps fresh zeroed private memory.
    public init(anonymous count: Int, _ what: String) throws(SystemError) {
        let flags = MAP_PRIVATE | CInt(MAP_ANONYMOUS) | CInt(MAP_NORESERVE)
        guard let base = unsafe mmap(nil, count, PROT_READ | PROT_WRITE, flags, -1, 0),
            unsafe base != wafer_map_failed()
        else { throw SystemError.last("map", what) }
        // Whoever maps more than he will use at once counts on getting what he touches, not two megabytes around it.
        _ = unsafe madvise(base, count, WAFER_MADV_NOHUGEPAGE)
        unsafe self.base = base
        self.count = count
    }

    deinit { _ = unsafe munmap(base, count) }
}

extension Mapping {
    /// Maps fresh private memory that holds a copy of some bytes, and zeros up to the end of its last page.
    public convenience init(copying bytes: [UInt8], _ what: String) throws(SystemError) {
        try self.init(anonymous: bytes.count, what)
        unsafe bytes.withUnsafeBytes { source in
            if let start = source.baseAddress { unsafe base.copyMemory(from: start, byteCount: source.count) }
        }
    }
}
