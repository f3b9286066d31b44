import GuestMemory
import Linux
import Virtio
import VirtioTestSupport

/// The ring alone, against a device that takes, keeps, gives back and puts back in any order, while memory changes.
///
/// Two bytes choose layout and size; then come commands with their parameters, each a byte that says which.
func fuzzVirtQueue(_ bytes: [UInt8]) {
    var feed = Feed(bytes)
    guard let memory = try? GuestMemory(count: VirtioMachine.memorySize) else { return }
    let choice = feed.byte()
    var features: VirtioFeatures = []
    if choice & 1 != 0 { features.insert(.packedRing) }
    if choice & 2 != 0 { features.insert(.eventIndex) }
    if choice & 4 != 0 { features.insert(.indirectDescriptors) }
    let queue = VirtQueue(index: 0, sizeMax: 32, ram: memory.ram)
    var layout = VirtQueueLayout()
    layout.size = UInt16(feed.byte() & 31)
    layout.descriptors = 0
    layout.driver = 0x300
    layout.device = 0x500
    do throws(VirtQueueFault) {
        try queue.configure(layout, features: features)
    } catch {
        check(!features.contains(.packedRing) || layout.size == 0, "a packed ring has any size")
        return
    }
    var rig = QueueRig(memory: memory, queue: queue)
    while !feed.isAtEnd { rig.step(&feed) }
}

private struct QueueRig: ~Copyable {
    let memory: GuestMemory
    let queue: VirtQueue
    var chain: DescriptorChain
    /// Taken and not given back, oldest first.
    var held: [ChainHead] = []
    /// How many of the youngest may be put back: those taken after everything that was given back.
    var youngest = 0

    init(memory: GuestMemory, queue: VirtQueue) {
        self.memory = memory
        self.queue = queue
        chain = DescriptorChain(memory.ram, capacity: 8)
    }

    mutating func step(_ feed: inout Feed) {
        switch feed.byte() & 7 {
        case 0:
            let address = UInt64(feed.word() & 0x7ff)
            for index in 0..<UInt64(feed.byte() & 31) { memory.ram.store(feed.byte(), at: address + index) }
        case 1:
            let entry = UInt64(feed.byte() & 31) * 16
            memory.ram.store(UInt64(feed.word()), at: entry)
            memory.ram.store(UInt32(feed.byte()), at: entry + 8)
            memory.ram.store(feed.word(), at: entry + 12)
            memory.ram.store(feed.word(), at: entry + 14)
        case 2: take(drop: Int(feed.byte()))
        case 3 where !held.isEmpty:
            let index = Int(feed.byte()) % held.count
            queue.push(held.remove(at: index), written: UInt32(feed.byte()))
            youngest = min(youngest, held.count - index)
        case 4:
            queue.publish()
            _ = queue.shouldNotify()
            check(!queue.shouldNotify(), "the driver is told once")
        case 5 where youngest > 0:
            queue.putBack(held.removeLast())
            youngest -= 1
        case 6:
            let more = queue.enableNotifications()
            check(!more || queue.fault == nil, "a broken ring has no more")
        default: queue.disableNotifications()
        }
        if queue.fault == nil {
            check(queue.inFlight <= Int(queue.layout.size), "no more is in flight than the ring holds")
            check(queue.inFlight == held.reduce(0) { $0 + Int($1.slots) }, "what is taken is counted")
        }
    }

    private mutating func take(drop: Int) {
        switch queue.next(into: &chain) {
        case .chain:
            held.append(chain.head)
            youngest += 1
            checkChain()
            let (readable, writable) = (chain.readableCount, chain.writableCount)
            chain.dropReadable(first: drop & 3)
            chain.dropReadable(last: drop >> 2 & 3)
            chain.dropWritable(first: drop >> 4 & 3)
            chain.dropWritable(last: drop >> 6)
            check(chain.readableCount == max(readable - drop & 3 - drop >> 2 & 3, 0), "what is dropped is gone")
            check(chain.writableCount == max(writable - drop >> 4 & 3 - drop >> 6, 0), "what is dropped is gone")
            checkChain()
        case .empty: check(queue.fault == nil, "an empty ring is not broken")
        case .broken: check(queue.fault != nil, "a broken ring says why")
        }
    }

    /// Sums and addresses fit the buffers.
    private func checkChain() {
        check(chain.readable.reduce(0) { $0 + $1.count } == chain.readableCount, "readable bytes are counted")
        check(chain.writable.reduce(0) { $0 + $1.count } == chain.writableCount, "writable bytes are counted")
        for index in chain.writable.indices {
            let address = chain.writableAddress(index)
            check(address != nil, "every buffer has an address")
            let host = address.flatMap { memory.ram.pointer(at: $0, count: chain.writable[index].count) }
            check(host == chain.writable[index].base, "a buffer lies where its address says")
        }
        check(chain.load(UInt32.self) != nil || chain.readableCount < 4, "a header is read if it is there")
        check(chain.store(UInt32(0x1234)) || chain.writableCount < 4, "an answer is written if there is room")
    }
}
