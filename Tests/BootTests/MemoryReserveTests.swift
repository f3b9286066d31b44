import Linux
import Testing

@testable import Boot

@Suite("What the kernel keeps free")
struct MemoryReserveTests {
    @Test(
        "a small share of the memory, within bounds",
        arguments: [(1_000_000, 8192), (16 << 20, 65536), (4 << 20, 16384)])
    func share(_ total: UInt64, _ expected: UInt64) {
        #expect(MemoryReserve.kibibytes(total: total) == expected)
        #expect(MemoryTable.total("MemTotal:       \(total) kB\nMemFree:  3 kB\n") == total)
    }

    @Test("a table that says nothing changes nothing", arguments: ["", "MemTotal:\n", "MemTotal: many kB\n"])
    func nonsense(_ table: String) { #expect(MemoryTable.total(table) == nil) }
}
