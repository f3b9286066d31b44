import GuestMemory

/// A driver for the split ring, written from the specification alone (virtio 1.2, section 2.7).
public final class SplitDriver: RingDriver {
    public let layout: RingPlaces
    private let heap: GuestHeap
    private let eventIndex: Bool
    private var free: [UInt16]
    private var chains: [UInt16: [UInt16]] = [:]
    private var available: UInt16 = 0
    private var kicked: UInt16 = 0
    private var used: UInt16 = 0

    public init(_ heap: GuestHeap, size: Int, eventIndex: Bool) {
        self.heap = heap
        self.eventIndex = eventIndex
        layout = RingPlaces(
            size: size, descriptors: heap.allocate(16 * size), driver: heap.allocate(6 + 2 * size, alignment: 2),
            device: heap.allocate(6 + 8 * size, alignment: 4))
        free = (0..<UInt16(size)).reversed()
    }

    private var ram: GuestRAM { heap.ram }

    private func write(_ table: GuestAddress, _ index: UInt16, _ buffer: Buffer, next: UInt16?, flags: UInt16 = 0) {
        let entry = table + 16 * UInt64(index)
        ram.store(buffer.address, at: entry)
        ram.store(buffer.count, at: entry + 8)
        ram.store((next == nil ? 0 : 1) | (buffer.isWritable ? 2 : 0) | flags, at: entry + 12)
        ram.store(next ?? 0, at: entry + 14)
    }

    public func offer(_ buffers: [Buffer], indirect: Bool) -> UInt16? {
        let needed = indirect ? 1 : buffers.count
        guard free.count >= needed else { return nil }
        let taken = (0..<needed).map { _ in free.removeLast() }
        if indirect {
            let table = heap.allocate(16 * buffers.count)
            for (index, buffer) in buffers.enumerated() {
                write(table, UInt16(index), buffer, next: index + 1 < buffers.count ? UInt16(index + 1) : nil)
            }
            let whole = Buffer(table, 16 * buffers.count, writable: false)
            write(layout.descriptors, taken[0], whole, next: nil, flags: 4)
        } else {
            for (index, buffer) in buffers.enumerated() {
                write(
                    layout.descriptors, taken[index], buffer, next: index + 1 < taken.count ? taken[index + 1] : nil)
            }
        }
        chains[taken[0]] = taken
        offer(head: taken[0])
        return taken[0]
    }

    /// Puts a head into the available ring, whatever it is.
    public func offer(head: UInt16) {
        ram.store(head, at: layout.driver + 4 + 2 * UInt64(Int(available) % layout.size))
        available &+= 1
        ram.store(available, at: layout.driver + 2)
    }

    public func shouldKick() -> Bool {
        let old = kicked
        kicked = available
        if available == old { return false }
        guard eventIndex else { return (ram.load(UInt16.self, at: layout.device) ?? 0) & 1 == 0 }
        let event = ram.load(UInt16.self, at: layout.device + 4 + 8 * UInt64(layout.size)) ?? 0
        return available &- event &- 1 < available &- old
    }

    public func collect() -> [Completion] {
        var completions: [Completion] = []
        let index = ram.load(UInt16.self, at: layout.device + 2) ?? 0
        while used != index {
            let entry = layout.device + 4 + 8 * UInt64(Int(used) % layout.size)
            let token = UInt16(ram.load(UInt32.self, at: entry) ?? 0)
            completions.append(Completion(token: token, written: ram.load(UInt32.self, at: entry + 4) ?? 0))
            free += chains.removeValue(forKey: token) ?? []
            used &+= 1
        }
        return completions
    }

    public func setInterrupts(_ on: Bool) {
        if eventIndex {
            ram.store(on ? used : used &- 1, at: layout.driver + 4 + 2 * UInt64(layout.size))
        } else {
            ram.store(on ? UInt16(0) : 1, at: layout.driver)
        }
    }

    public func setInterrupt(after count: Int) {
        ram.store(used &+ UInt16(count) &- 1, at: layout.driver + 4 + 2 * UInt64(layout.size))
    }
}
