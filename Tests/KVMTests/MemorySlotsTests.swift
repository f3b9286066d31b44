import Testing

@testable import KVM

@Suite("Memory slots")
struct MemorySlotsTests {
    @discardableResult
    private func add(_ slots: inout MemorySlots, _ address: UInt64, _ size: UInt64) throws -> MemorySlot {
        let slot = try slots.plan(address: address, size: size, host: 0x7000_0000, flags: [])
        slots.insert(slot)
        return slot
    }

    @Test("neighbours touch but do not overlap, and stand in order of address")
    func neighbours() throws {
        var slots = MemorySlots(limit: 8)
        try add(&slots, 0x10_0000, 0x10_0000)
        try add(&slots, 0, 0x10_0000)
        try add(&slots, 0x20_0000, 0x1000)
        #expect(slots.slots.map(\.address) == [0, 0x10_0000, 0x20_0000])
        #expect(slots.slots.map(\.id) == [1, 0, 2])
        for (address, size) in [(0xF_F000, 0x2000), (0x1F_F000, 0x1000), (0x20_0000, 0x1000), (0, 0x100_0000)] {
            #expect(throws: KVMError.self) { try add(&slots, UInt64(address), UInt64(size)) }
        }
    }

    @Test(
        "ranges that are empty, not page-aligned or wrap around are refused",
        arguments: [
            (0, 0), (1, 0x1000), (0x1000, 0x1001), (UInt64.max - 0xFFF, 0x1000), (0x1000, 0xFFFF_FFFF_FFFF_F000),
            (0, 1 << 43),
        ] as [(UInt64, UInt64)])
    func badRanges(address: UInt64, size: UInt64) {
        var slots = MemorySlots(limit: 8)
        #expect(throws: KVMError.badMemoryRange(address: address, size: size)) { try add(&slots, address, size) }
    }

    @Test("numbers are used again, and the kernel's limit holds")
    func numbers() throws {
        var slots = MemorySlots(limit: 2)
        let first = try add(&slots, 0, 0x1000)
        try add(&slots, 0x1000, 0x1000)
        #expect(throws: KVMError.noFreeSlot(limit: 2)) { try add(&slots, 0x2000, 0x1000) }
        slots.remove(first.id)
        #expect(try add(&slots, 0x2000, 0x1000).id == first.id)
    }

    @Test("a dirty bitmap has a bit a page, in whole words")
    func bitmap() throws {
        var slots = MemorySlots(limit: 2)
        #expect(try add(&slots, 0, 64 << 12).dirtyWords == 1)
        #expect(try add(&slots, 1 << 30, 65 << 12).dirtyWords == 2)
    }
}
