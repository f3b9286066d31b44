import GuestMemory
import VirtioTestSupport

/// The guest's side of a split ring that is filled once and then offers the same chains again and again, without
/// allocating: what is counted is the device alone.
struct FeedRing {
    let ram: GuestRAM
    let places: RingPlaces
    let chains: Int
    private var available: UInt16 = 0
    private var seen: UInt16 = 0

    /// - Parameter chain: the buffers of each chain; as many chains are written as the ring has room for.
    init(_ heap: GuestHeap, size: Int, eventIndex: Bool = false, chain: (Int) -> [Buffer]) {
        ram = heap.ram
        places = RingPlaces(
            size: size, descriptors: heap.allocate(16 * size), driver: heap.allocate(6 + 2 * size, alignment: 2),
            device: heap.allocate(6 + 8 * size, alignment: 4))
        var slot = 0
        var heads: [Int] = []
        while true {
            let buffers = chain(heads.count)
            if slot + buffers.count > size { break }
            heads.append(slot)
            for (index, buffer) in buffers.enumerated() {
                let entry = places.descriptors + 16 * UInt64(slot)
                let isLast = index == buffers.count - 1
                ram.store(buffer.address, at: entry)
                ram.store(buffer.count, at: entry + 8)
                ram.store(UInt16(isLast ? 0 : 1) | (buffer.isWritable ? 2 : 0), at: entry + 12)
                ram.store(UInt16(slot + 1), at: entry + 14)
                slot += 1
            }
        }
        // The ring entries repeat when the number of chains divides the ring's size.
        var number = 1
        while number * 2 <= heads.count { number *= 2 }
        chains = number
        for index in 0..<size { ram.store(UInt16(heads[index % number]), at: places.driver + 4 + 2 * UInt64(index)) }
    }

    /// Offers the next chains.
    mutating func offer(_ count: Int) {
        available &+= UInt16(truncatingIfNeeded: count)
        ram.store(available, at: places.driver + 2)
    }

    /// How many chains the device has given back since the last call.
    mutating func collect() -> Int {
        let index = ram.load(UInt16.self, at: places.device + 2) ?? 0
        let count = Int(index &- seen)
        seen = index
        return count
    }

    /// How many chains are with the device.
    var outstanding: Int { Int(available &- seen) }
}
