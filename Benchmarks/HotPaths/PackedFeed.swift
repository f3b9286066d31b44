import GuestMemory
import VirtioTestSupport

/// The guest's side of a packed ring that offers single buffers without allocating, with an indirect table every other
/// time: what is counted is the device alone.
struct PackedFeed {
    let ram: GuestRAM
    let places: RingPlaces
    private let buffer: GuestAddress
    private let table: GuestAddress
    private var next = 0
    private var wrap = true
    private var used = 0
    private var usedWrap = true
    private(set) var outstanding = 0

    init(_ heap: GuestHeap, size: Int) {
        ram = heap.ram
        places = RingPlaces(
            size: size, descriptors: heap.allocate(16 * size), driver: heap.allocate(4), device: heap.allocate(4))
        buffer = heap.allocate(512)
        table = heap.allocate(32)
        for (index, flags) in [UInt16(0), 2].enumerated() {
            ram.store(buffer, at: table + 16 * UInt64(index))
            ram.store(UInt32(16), at: table + 16 * UInt64(index) + 8)
            ram.store(flags, at: table + 16 * UInt64(index) + 14)
        }
    }

    private func place(_ slot: Int) -> GuestAddress { places.descriptors + 16 * UInt64(slot) }

    mutating func offer(_ count: Int) {
        for _ in 0..<count {
            let indirect = next & 1 == 1
            ram.store(indirect ? table : buffer, at: place(next))
            ram.store(UInt32(indirect ? 32 : 512), at: place(next) + 8)
            ram.store(UInt16(next), at: place(next) + 12)
            ram.store((wrap ? UInt16(1 << 7) : 1 << 15) | (indirect ? 4 : 2), at: place(next) + 14)
            next += 1
            if next == places.size {
                next = 0
                wrap.toggle()
            }
        }
        outstanding += count
    }

    /// How many chains the device has given back since the last call.
    mutating func collect() -> Int {
        var count = 0
        while outstanding > 0 {
            let flags = ram.load(UInt16.self, at: place(used) + 14) ?? 0
            guard (flags & 1 << 7 != 0) == usedWrap, (flags & 1 << 15 != 0) == usedWrap else { break }
            count += 1
            outstanding -= 1
            used += 1
            if used == places.size {
                used = 0
                usedWrap.toggle()
            }
        }
        return count
    }
}
