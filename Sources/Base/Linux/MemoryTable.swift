/// The kernel's account of the machine's memory, /proc/meminfo (proc(5)).
public enum MemoryTable {
    /// What the kernel has to give out, in KiB.
    ///
    /// - Parameter table: the file's text.
    /// - Returns: nil if the text does not say it.
    public static func total(_ table: String) -> UInt64? {
        let line = table.split(separator: "\n").first { $0.hasPrefix("MemTotal:") }
        return line?.split(separator: " ").dropFirst().first.flatMap { UInt64($0) }
    }
}
