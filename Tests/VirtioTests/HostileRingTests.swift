import Bytes
import GuestMemory
import Testing
import Virtio
import VirtioTestSupport

@Suite("Hostile rings")
struct HostileRingTests {
    /// A split ring whose table a test writes itself.
    struct Rig {
        let memory: GuestMemory
        let heap: GuestHeap
        let driver: SplitDriver
        let queue: VirtQueue

        init(_ features: VirtioFeatures = [.indirectDescriptors], size: Int = 8) throws {
            memory = try GuestMemory(count: 1 << 20)
            heap = GuestHeap(memory)
            driver = SplitDriver(heap, size: size, eventIndex: false)
            queue = VirtQueue(index: 0, sizeMax: 64, ram: memory.ram)
            try queue.configure(VirtQueueLayout(driver.layout), features: features)
        }

        func describe(
            _ index: UInt64, _ address: UInt64, _ count: UInt32, flags: UInt16 = 0, next: UInt16 = 0,
            in table: GuestAddress? = nil
        ) {
            let entry = (table ?? driver.layout.descriptors) + 16 * index
            memory.ram.store(address, at: entry)
            memory.ram.store(count, at: entry + 8)
            memory.ram.store(flags, at: entry + 12)
            memory.ram.store(next, at: entry + 14)
        }

        /// Offers the chain at entry 0 and says what the queue found wrong with it.
        func fault(capacity: Int = 16) -> VirtQueueFault? {
            var chain = DescriptorChain(memory.ram, capacity: capacity)
            driver.offer(head: 0)
            let result = queue.next(into: &chain)
            #expect((result == .broken) == (queue.fault != nil))
            // A broken queue does nothing more.
            if queue.fault != nil {
                #expect(queue.next(into: &chain) == .broken)
                #expect(!queue.enableNotifications())
                queue.push(ChainHead(), written: 1)
                queue.publish()
                #expect(!queue.shouldNotify())
            }
            return queue.fault
        }
    }

    @Test("each kind of senseless chain breaks the queue and says why")
    func faults() throws {
        func check(_ expected: VirtQueueFault?, capacity: Int = 16, _ prepare: (Rig) -> Void) throws {
            let rig = try Rig()
            prepare(rig)
            #expect(rig.fault(capacity: capacity) == expected)
        }
        try check(nil) { $0.describe(0, 0x8000, 4) }
        try check(.emptyBuffer(0x8000)) { $0.describe(0, 0x8000, 0) }
        try check(.bufferAddress(0xffffd, 4)) { $0.describe(0, 0xffffd, 4) }
        try check(.bufferAddress(.max, 2)) { $0.describe(0, .max, 2) }
        try check(.bufferAddress(0, .max)) { $0.describe(0, 0, .max) }
        try check(.descriptorIndex(8)) { $0.describe(0, 0x8000, 4, flags: 1, next: 8) }
        try check(.chainTooLong) { $0.describe(0, 0x8000, 4, flags: 1, next: 0) }
        try check(.readableAfterWritable) { rig in
            rig.describe(0, 0x8000, 4, flags: 3, next: 1)
            rig.describe(1, 0x8000, 4)
        }
        try check(.tooManySegments(2), capacity: 2) { rig in
            for index in 0..<3 { rig.describe(UInt64(index), 0x8000, 4, flags: 1, next: UInt16(index + 1)) }
        }
        try check(.tooManyAvailable(9)) { rig in for _ in 0..<8 { rig.driver.offer(head: 0) } }
        try check(.descriptorIndex(9)) { rig in rig.driver.offer(head: 9) }
    }

    @Test("each kind of senseless indirect table breaks the queue and says why")
    func indirectFaults() throws {
        func check(
            _ expected: VirtQueueFault?, features: VirtioFeatures = [.indirectDescriptors], _ prepare: (Rig) -> Void
        ) throws {
            let rig = try Rig(features)
            prepare(rig)
            #expect(rig.fault() == expected)
        }
        let table: GuestAddress = 0x9000
        try check(nil) { rig in
            rig.describe(0, table, 32, flags: 4)
            rig.describe(0, 0x8000, 4, flags: 1, next: 1, in: table)
            rig.describe(1, 0x8000, 4, flags: 2, in: table)
        }
        try check(nil) { rig in
            // Allowed: direct descriptors, then one indirect table; and a table at an odd address.
            rig.describe(0, 0x8000, 4, flags: 1, next: 1)
            rig.describe(1, table + 3, 16, flags: 4)
            rig.describe(0, 0x8000, 4, flags: 2, in: table + 3)
        }
        try check(.indirectNotNegotiated, features: []) { $0.describe(0, table, 16, flags: 4) }
        try check(.indirectTable(0, flags: 4)) { $0.describe(0, table, 0, flags: 4) }
        try check(.indirectTable(24, flags: 4)) { $0.describe(0, table, 24, flags: 4) }
        try check(.indirectTable(16 * 1025, flags: 4)) { $0.describe(0, table, 16 * 1025, flags: 4) }
        try check(.indirectTable(16, flags: 5)) { $0.describe(0, table, 16, flags: 5) }
        try check(.bufferAddress(0xffff8, 16)) { $0.describe(0, 0xffff8, 16, flags: 4) }
        try check(.indirectTable(16, flags: 4)) { rig in
            rig.describe(0, table, 16, flags: 4)
            rig.describe(0, table, 16, flags: 4, in: table)
        }
        try check(.chainTooLong) { rig in
            rig.describe(0, table, 32, flags: 4)
            rig.describe(0, 0x8000, 4, flags: 1, next: 0, in: table)
        }
        try check(.descriptorIndex(2)) { rig in
            rig.describe(0, table, 32, flags: 4)
            rig.describe(0, 0x8000, 4, flags: 1, next: 2, in: table)
        }
    }

    @Test("a chain over 4 GiB in all is refused")
    func hugeChain() throws {
        let memory = try GuestMemory(count: 3 << 30)
        let heap = GuestHeap(memory)
        let driver = SplitDriver(heap, size: 8, eventIndex: false)
        let queue = VirtQueue(index: 0, sizeMax: 8, ram: memory.ram)
        try queue.configure(VirtQueueLayout(driver.layout), features: [])
        _ = driver.offer((0..<3).map { _ in Buffer(0, 2 << 30 - 1, writable: false) })
        var chain = DescriptorChain(memory.ram)
        #expect(queue.next(into: &chain) == .broken)
        #expect(queue.fault == .chainTooLarge)
    }

    @Test("rings must be aligned, in memory, and of an allowed size")
    func ringPlaces() throws {
        let memory = try GuestMemory(count: 1 << 20)
        let queue = VirtQueue(index: 0, sizeMax: 64, ram: memory.ram)
        func fault(_ features: VirtioFeatures = [], _ change: (inout VirtQueueLayout) -> Void) -> VirtQueueFault? {
            var layout = VirtQueueLayout()
            layout.size = 8
            layout.descriptors = 0x1000
            layout.driver = 0x2000
            layout.device = 0x3000
            change(&layout)
            do throws(VirtQueueFault) {
                try queue.configure(layout, features: features)
                #expect(queue.isConfigured)
                return nil
            } catch {
                #expect(!queue.isConfigured)
                return error
            }
        }
        #expect(fault { _ in } == nil)
        #expect(fault { $0.descriptors = 0x1008 } == .ringAddress(0x1008))
        #expect(fault { $0.driver = 0x2001 } == .ringAddress(0x2001))
        #expect(fault { $0.driver = 0x2002 } == nil)
        #expect(fault { $0.device = 0x3002 } == .ringAddress(0x3002))
        #expect(fault { $0.device = (1 << 20) - 68 } == .ringAddress((1 << 20) - 68))
        #expect(fault { $0.descriptors = .max & ~15 } == .ringAddress(.max & ~15))
        #expect(fault { $0.size = 0 } == .size(0))
        #expect(fault { $0.size = 12 } == .size(12))
        #expect(fault { $0.size = 128 } == .size(128))
        #expect(fault(.packedRing) { $0.size = 12 } == nil)
        #expect(fault(.packedRing) { $0.driver = 0x2002 } == .ringAddress(0x2002))
    }

    @Test("random bytes in ring and tables never trap, and end in a fault or in nothing", arguments: 0..<8)
    func randomRings(kind: Int) throws {
        var features: VirtioFeatures = []
        if kind & 1 != 0 { features.insert(.packedRing) }
        if kind & 2 != 0 { features.insert(.eventIndex) }
        if kind & 4 != 0 { features.insert(.indirectDescriptors) }
        let memory = try GuestMemory(count: 64 << 10)
        let ram = memory.ram
        var random = SplitMix64(seed: UInt64(kind))
        var chain = DescriptorChain(ram, capacity: 8)
        let queue = VirtQueue(index: 0, sizeMax: 16, ram: ram)
        var layout = VirtQueueLayout()
        layout.descriptors = 0x100
        layout.driver = 0x400
        layout.device = 0x500
        var taken = 0
        for _ in 0..<500 {
            layout.size = features.contains(.packedRing) ? UInt16.random(in: 1...16, using: &random) : 8
            try queue.configure(layout, features: features)
            Self.fill(ram, layout, packed: features.contains(.packedRing), &random)
            for step in 0..<20 {
                switch queue.next(into: &chain) {
                case .chain:
                    taken += 1
                    #expect(queue.inFlight <= Int(layout.size))
                    _ = chain.load(UInt64.self)
                    chain.store(UInt64(step))
                    chain.dropReadable(first: 3)
                    chain.dropWritable(last: 2)
                    switch random.next() % 3 {
                    case 0: queue.putBack(chain.head)
                    case 1: queue.push(chain, written: .max)
                    default: break
                    }
                case .empty: break
                case .broken: #expect(queue.fault != nil)
                }
                queue.publish()
                _ = queue.shouldNotify()
                _ = queue.enableNotifications()
                queue.disableNotifications()
                let target = GuestAddress(0x100) + random.next() % 0x500
                ram.store(UInt16(truncatingIfNeeded: random.next() & 0x8087), at: target & ~1)
            }
        }
        #expect(taken > 500, "the test must reach the inside")
    }

    /// Descriptors that could pass, here and there one that could not.
    private static func fill(
        _ ram: GuestRAM, _ layout: VirtQueueLayout, packed: Bool, _ random: inout SplitMix64
    ) {
        func rarely<T: FixedWidthInteger>(_ wild: T, else tame: T) -> T {
            UInt8.random(in: 0..<20, using: &random) == 0 ? wild : tame
        }
        for entry in stride(from: layout.descriptors, to: layout.descriptors + 0x300, by: 16) {
            ram.store(rarely(random.next(), else: random.next() & 0x7f00), at: entry)
            ram.store(rarely(UInt32.random(in: 0...UInt32.max, using: &random), else: 16), at: entry + 8)
            let link = rarely(UInt16(truncatingIfNeeded: random.next()), else: UInt16(random.next() & 7))
            let kind = UInt16(random.next() & (random.next() & 7))
            if packed {
                ram.store(link, at: entry + 12)
                ram.store(kind | rarely(0x8000, else: 0x80), at: entry + 14)
            } else {
                ram.store(kind, at: entry + 12)
                ram.store(link, at: entry + 14)
            }
        }
        for word in stride(from: layout.driver, to: layout.device + 0x100, by: 2) {
            ram.store(rarely(UInt16(truncatingIfNeeded: random.next()), else: UInt16(random.next() & 7)), at: word)
        }
    }
}
