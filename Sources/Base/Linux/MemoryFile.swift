import CLinux

extension Descriptor {
    /// A file that lives in memory only (memfd), `count` bytes long and zeroed.
    ///
    /// - Parameter name: what `/proc` shows it as.
    /// - Parameter hugePages: use huge pages of the host's default size.
    public static func memoryFile(
        _ name: String, count: Int, hugePages: Bool = false
    ) throws(SystemError) -> Descriptor {
        let flags = WAFER_MFD_CLOEXEC | (hugePages ? WAFER_MFD_HUGETLB : WAFER_MFD_ALLOW_SEALING)
        let raw = try retrying("create memory file", name) { unsafe wafer_memfd_create(name, flags) }
        let file = Descriptor(adopting: raw)
        try retrying("size memory file", name) { ftruncate(raw, count) }
        return file
    }

    /// Frees the blocks or pages of a range; it reads as zeros afterwards and the size stays.
    public func punchHole(offset: Int, count: Int) throws(SystemError) {
        let raw = self.raw
        try retrying("punch hole") { wafer_fallocate(raw, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, offset, count) }
    }
}

extension Mapping {
    /// Keeps the bytes out of core dumps.
    public func excludeFromDumps() { _ = unsafe madvise(base, count, WAFER_MADV_DONTDUMP) }

    /// Backs it with huge pages where the host has free ones and allows it (for memory files:
    /// /sys/kernel/mm/transparent_hugepage/shmem_enabled); only a wish.
    public func preferHugePages() { _ = unsafe madvise(base, count, WAFER_MADV_HUGEPAGE) }
}
