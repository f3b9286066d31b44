import Linux

/// How much memory the kernel keeps free for moments in which it cannot wait.
///
/// It would keep 45 MB on any machine of some size: huge pages for processes' own memory ask for that, so that memory does not fragment
/// (Linux: mm/khugepaged.c, set_recommended_min_free_kbytes). Here next to nothing has such memory, for guests' memory is files; on a
/// small host those megabytes are a tenth of what its guests could have.
enum MemoryReserve {
    /// Enough for the bursts of a fast network card; the kernel's own choice for 4 GiB without huge pages.
    static let minimum: UInt64 = 8192
    static let maximum: UInt64 = 65_536

    /// - Parameters: and result in KiB.
    static func kibibytes(total: UInt64) -> UInt64 { max(minimum, min(maximum, total / 256)) }

    static func apply() throws(SystemError) {
        guard let total = MemoryTable.total(try FileSystem.text(of: "/proc/meminfo")) else { return }
        try FileSystem.write("\(kibibytes(total: total))", to: "/proc/sys/vm/min_free_kbytes")
    }
}
