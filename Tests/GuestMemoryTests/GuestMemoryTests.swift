import GuestMemory
import Testing

@Suite("Guest memory")
struct GuestMemoryTests {
    @Test("RAM above 2 GiB continues at 4 GiB, and no access crosses the hole")
    func splitAtHole() throws {
        let memory = try GuestMemory(count: 3 << 30)
        #expect(memory.regions.map(\.start) == [0, 0x1_0000_0000])
        #expect(memory.regions.map(\.count) == [2 << 30, 1 << 30])
        let ram = memory.ram
        #expect(ram.contains(0x7fff_ffff, count: 1))
        #expect(!ram.contains(0x7fff_ffff, count: 2))
        #expect(!ram.contains(0x8000_0000, count: 1))
        #expect(!ram.contains(0xffff_ffff, count: 2))
        #expect(ram.contains(0x1_3fff_fff8, count: 8))
        #expect(!ram.contains(0x1_3fff_fff9, count: 8))
        #expect(!ram.contains(UInt64.max, count: 2))
        #expect(!ram.contains(0, count: -1))
    }

    @Test("integers are stored little-endian and read back; refused outside RAM")
    func integers() throws {
        let memory = try GuestMemory(count: 1 << 20)
        #expect(memory.ram.store(UInt32(0x1122_3344), at: 0x1001))
        #expect(try memory.ram.read(5, at: 0x1000) == [0, 0x44, 0x33, 0x22, 0x11])
        #expect(memory.ram.load(UInt16.self, at: 0x1002) == 0x2233)
        #expect(!memory.ram.store(UInt64(1), at: (1 << 20) - 7))
        #expect(memory.ram.load(UInt8.self, at: 1 << 20) == nil)
        #expect(throws: GuestMemoryError(address: 1 << 20, count: 1)) { try memory.ram.write([1], at: 1 << 20) }
    }

    @Test("discarded pages read as zeros; only whole pages inside RAM are given back")
    func discard() throws {
        let memory = try GuestMemory(count: 1 << 20)
        try memory.ram.write([UInt8](repeating: 7, count: 3 * 4096), at: 0x2000)
        #expect(memory.discard(0x2001, count: 3 * 4096 - 1) == 2 * 4096)
        #expect(memory.ram.load(UInt8.self, at: 0x2fff) == 7)
        #expect(memory.ram.load(UInt8.self, at: 0x3000) == 0)
        #expect(memory.discard(1 << 20, count: 4096) == 0)
    }

    @Test("host writes are noted page by page while tracking is on")
    func dirtyLog() throws {
        let memory = try GuestMemory(count: 1 << 20)
        memory.ram.store(UInt8(1), at: 0x1000)
        #expect(memory.takeHostWrites(word: 0) == 0)
        memory.trackHostWrites(true)
        memory.ram.store(UInt32(1), at: 0x1ffe)
        memory.ram.markDirty(64 << 12, count: 1)
        #expect(memory.takeHostWrites(word: 0) == 0b110)
        #expect(memory.takeHostWrites(word: 0) == 0)
        #expect(memory.takeHostWrites(word: 1) == 1)
        #expect(memory.takeHostWrites(word: 99) == 0)
    }
}
