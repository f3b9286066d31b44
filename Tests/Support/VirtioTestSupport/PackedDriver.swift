import GuestMemory

/// A driver for the packed ring, written from the specification alone (virtio 1.2, section 2.8).
public final class PackedDriver: RingDriver {
    public let layout: RingPlaces
    private let heap: GuestHeap
    private let eventIndex: Bool
    private var freeTokens: [UInt16]
    private var freeSlots: Int
    /// How many slots each token's chain takes.
    private var slots: [UInt16: Int] = [:]
    private var next = 0
    private var wrap = true
    private var used = 0
    private var usedWrap = true
    private var unkicked = 0

    public init(_ heap: GuestHeap, size: Int, eventIndex: Bool) {
        self.heap = heap
        self.eventIndex = eventIndex
        layout = RingPlaces(
            size: size, descriptors: heap.allocate(16 * size), driver: heap.allocate(4), device: heap.allocate(4))
        freeTokens = (0..<UInt16(size)).reversed()
        freeSlots = size
    }

    private var ram: GuestRAM { heap.ram }

    private func place(_ slot: Int) -> GuestAddress { layout.descriptors + 16 * UInt64(slot) }

    private func write(_ entry: GuestAddress, _ buffer: Buffer, token: UInt16) {
        ram.store(buffer.address, at: entry)
        ram.store(buffer.count, at: entry + 8)
        ram.store(token, at: entry + 12)
    }

    public func offer(_ buffers: [Buffer], indirect: Bool) -> UInt16? {
        let needed = indirect ? 1 : buffers.count
        guard freeSlots >= needed, let token = freeTokens.popLast() else { return nil }
        freeSlots -= needed
        slots[token] = needed
        unkicked += needed
        var parts = buffers
        if indirect {
            let table = heap.allocate(16 * buffers.count)
            for (index, buffer) in buffers.enumerated() {
                write(table + 16 * UInt64(index), buffer, token: 0)
                ram.store(buffer.isWritable ? UInt16(2) : 0, at: table + 16 * UInt64(index) + 14)
            }
            parts = [Buffer(table, 16 * buffers.count, writable: false)]
        }
        let head = next
        var headFlags: UInt16 = 0
        for (index, part) in parts.enumerated() {
            var flags: UInt16 = wrap ? 1 << 7 : 1 << 15
            if part.isWritable { flags |= 2 }
            if index + 1 < parts.count { flags |= 1 }
            if indirect { flags |= 4 }
            write(place(next), part, token: token)
            // The head's flags come last: they hand over the whole chain.
            if index == 0 { headFlags = flags } else { ram.store(flags, at: place(next) + 14) }
            next += 1
            if next == layout.size {
                next = 0
                wrap.toggle()
            }
        }
        ram.store(headFlags, at: place(head) + 14)
        return token
    }

    public func shouldKick() -> Bool {
        let steps = unkicked
        unkicked = 0
        if steps == 0 { return false }
        switch (ram.load(UInt16.self, at: layout.device + 2) ?? 0) & 3 {
        case 1: return false
        case 2 where eventIndex:
            let word = ram.load(UInt16.self, at: layout.device) ?? 0
            var event = Int(word & 0x7fff)
            if (word >> 15 == 1) != wrap { event -= layout.size }
            // The event lies among the slots offered since the last kick.
            return next - steps <= event && event < next
        default: return true
        }
    }

    public func collect() -> [Completion] {
        var completions: [Completion] = []
        while true {
            let flags = ram.load(UInt16.self, at: place(used) + 14) ?? 0
            guard (flags & 1 << 7 != 0) == usedWrap, (flags & 1 << 15 != 0) == usedWrap else { return completions }
            let token = ram.load(UInt16.self, at: place(used) + 12) ?? 0
            completions.append(Completion(token: token, written: ram.load(UInt32.self, at: place(used) + 8) ?? 0))
            guard let count = slots.removeValue(forKey: token) else { return completions }
            freeSlots += count
            freeTokens.append(token)
            used += count
            if used >= layout.size {
                used -= layout.size
                usedWrap.toggle()
            }
        }
    }

    public func setInterrupts(_ on: Bool) { ram.store(on ? UInt16(0) : 1, at: layout.driver + 2) }

    /// Counts slots, so `count` completions of one slot each.
    public func setInterrupt(after count: Int) {
        var slot = used + count - 1
        var slotWrap = usedWrap
        if slot >= layout.size {
            slot -= layout.size
            slotWrap.toggle()
        }
        ram.store(UInt16(slot) | (slotWrap ? 1 << 15 : 0), at: layout.driver)
        ram.store(UInt16(2), at: layout.driver + 2)
    }
}
