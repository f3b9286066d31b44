import Bytes
import GuestMemory
import Testing
import Virtio
import VirtioTestSupport

@Suite("Virtqueue")
struct VirtQueueTests {
    static let kinds: [VirtioFeatures] = [
        [], [.eventIndex], [.indirectDescriptors], [.packedRing], [.packedRing, .eventIndex],
        [.packedRing, .eventIndex, .indirectDescriptors], [.eventIndex, .indirectDescriptors],
    ]

    @Test("requests of every shape pass through, over many laps of the ring", arguments: kinds)
    func roundTrips(features: VirtioFeatures) throws {
        let machine = try EchoMachine(bytes: 64 << 20)
        let ring = machine.start(features, size: 8)
        let heap = machine.driver.heap
        var random = SplitMix64(seed: features.rawValue)
        for round in 0..<200 {
            var expected: [UInt16: (target: [Buffer], bytes: [UInt8])] = [:]
            for _ in 0..<Int.random(in: 1...8, using: &random) {
                let source = (0..<Int.random(in: 0...2, using: &random)).map { _ in
                    (0..<Int.random(in: 1...40, using: &random)).map { UInt8(truncatingIfNeeded: $0 + round) }
                }
                let total = source.joined().count
                var target: [Buffer] = []
                for _ in 0..<Int.random(in: (source.isEmpty ? 1 : 0)...2, using: &random) {
                    let count = Int.random(in: 1...40, using: &random)
                    target.append(Buffer(heap.allocate(count, alignment: 1), count, writable: true))
                }
                let readable = source.map { Buffer(heap.place($0, alignment: 1), $0.count, writable: false) }
                let indirect = features.contains(.indirectDescriptors) && Bool.random(using: &random)
                guard let token = ring.offer(readable + target, indirect: indirect) else { break }
                let room = target.reduce(0) { $0 + Int($1.count) }
                expected[token] = (target, source.joined().prefix(min(total, room)).map { ~$0 })
            }
            if ring.shouldKick() { machine.queues[0].process() }
            let completions = ring.collect()
            #expect(completions.count == expected.count)
            for completion in completions {
                let request = expected.removeValue(forKey: completion.token)
                let (target, bytes) = try #require(request)
                #expect(Int(completion.written) == bytes.count)
                let all = target.flatMap { heap.bytes(Int($0.count), at: $0.address) }
                #expect(Array(all.prefix(bytes.count)) == bytes)
            }
        }
        #expect(machine.log.lines == [])
    }

    /// A queue with a driver, without a device.
    struct Bench {
        let memory: GuestMemory
        let heap: GuestHeap
        let queue: VirtQueue
        let driver: any RingDriver

        init(_ features: VirtioFeatures, size: Int = 8) throws {
            memory = try GuestMemory(count: 4 << 20)
            heap = GuestHeap(memory)
            queue = VirtQueue(index: 0, sizeMax: 64, ram: memory.ram)
            let eventIndex = features.contains(.eventIndex)
            driver =
                features.contains(.packedRing)
                ? PackedDriver(heap, size: size, eventIndex: eventIndex)
                : SplitDriver(heap, size: size, eventIndex: eventIndex)
            try queue.configure(VirtQueueLayout(driver.layout), features: features)
        }

        func offer(_ count: Int = 1) -> UInt16? {
            driver.offer((0..<count).map { _ in Buffer(heap.allocate(4), 4, writable: true) })
        }
    }

    @Test("a chain put back is taken again; completions may come in any order", arguments: kinds)
    func putBack(features: VirtioFeatures) throws {
        let bench = try Bench(features)
        var chain = DescriptorChain(bench.memory.ram)
        var random = SplitMix64(seed: 7)
        for _ in 0..<50 {
            let tokens = (0..<2).map { _ in bench.offer(Int.random(in: 1...3, using: &random)) }
            var heads: [ChainHead] = []
            for _ in tokens {
                #expect(bench.queue.next(into: &chain) == .chain)
                heads.append(chain.head)
            }
            #expect(bench.queue.next(into: &chain) == .empty)
            for head in heads.reversed() { bench.queue.putBack(head) }
            #expect(bench.queue.inFlight == 0)
            for head in heads {
                #expect(bench.queue.next(into: &chain) == .chain)
                #expect(chain.head == head)
            }
            heads.shuffle(using: &random)
            for head in heads { bench.queue.push(head, written: 1) }
            #expect(bench.driver.collect() == [], "nothing shows before it is published")
            bench.queue.publish()
            let completions = bench.driver.collect()
            #expect(completions.map(\.token) == heads.map(\.id))
            #expect(Set(completions.map(\.token)) == Set(tokens.compactMap { $0 }))
        }
    }

    @Test("the driver is told when it wants to be, and only then", arguments: [VirtioFeatures(), .packedRing])
    func interrupts(layout: VirtioFeatures) throws {
        let bench = try Bench(layout)
        var chain = DescriptorChain(bench.memory.ram)
        func complete(_ count: Int) -> Bool {
            for _ in 0..<count {
                _ = bench.offer()
                _ = bench.queue.next(into: &chain)
                bench.queue.push(chain, written: 0)
            }
            bench.queue.publish()
            _ = bench.driver.collect()
            return bench.queue.shouldNotify()
        }
        #expect(!bench.queue.shouldNotify(), "nothing was completed")
        #expect(complete(1))
        bench.driver.setInterrupts(false)
        #expect(!complete(2))
        bench.driver.setInterrupts(true)
        #expect(complete(3))
    }

    @Test(
        "with event indices, the interrupt comes exactly when the wanted completion does, in every position of the ring",
        arguments: [VirtioFeatures.eventIndex, [.eventIndex, .packedRing]])
    func eventIndices(features: VirtioFeatures) throws {
        let bench = try Bench(features, size: 8)
        var chain = DescriptorChain(bench.memory.ram)
        var random = SplitMix64(seed: 3)
        for _ in 0..<500 {
            let wanted = Int.random(in: 1...8, using: &random)
            bench.driver.setInterrupt(after: wanted)
            let done = Int.random(in: 1...8, using: &random)
            for _ in 0..<done { _ = bench.offer() }
            for _ in 0..<done {
                #expect(bench.queue.next(into: &chain) == .chain)
                bench.queue.push(chain, written: 0)
            }
            bench.queue.publish()
            #expect(bench.queue.shouldNotify() == (done >= wanted))
            #expect(bench.driver.collect().count == done)
        }
    }

    @Test("the driver rings exactly when the device asked for it", arguments: kinds)
    func doorbells(features: VirtioFeatures) throws {
        let bench = try Bench(features, size: 8)
        var chain = DescriptorChain(bench.memory.ram)
        for _ in 0..<50 {
            #expect(!bench.queue.enableNotifications())
            #expect(bench.offer() != nil)
            #expect(bench.driver.shouldKick())
            bench.queue.disableNotifications()
            #expect(bench.offer() != nil)
            #expect(!bench.driver.shouldKick())
            #expect(bench.queue.enableNotifications(), "what came meanwhile is seen")
            while bench.queue.next(into: &chain) == .chain { bench.queue.push(chain, written: 0) }
            bench.queue.publish()
            #expect(bench.driver.collect().count == 2)
        }
    }

    @Test("a queue goes on where a saved one stopped, and tells the driver for sure", arguments: kinds)
    func restore(features: VirtioFeatures) throws {
        let bench = try Bench(features)
        var chain = DescriptorChain(bench.memory.ram)
        for round in 0..<20 {
            _ = bench.offer(2)
            #expect(bench.queue.next(into: &chain) == .chain)
            bench.queue.push(chain, written: 0)
            bench.queue.publish()
            #expect(bench.driver.collect().count == 1)
            let position = bench.queue.currentPosition
            bench.driver.setInterrupts(false)
            try bench.queue.configure(VirtQueueLayout(bench.driver.layout), features: features, position: position)
            #expect(bench.queue.inFlight == 0)
            #expect(bench.queue.shouldNotify(), "round \(round)")
            #expect(!bench.queue.shouldNotify())
        }
    }

    @Test("positions from a damaged file do no harm", arguments: kinds)
    func damagedPosition(features: VirtioFeatures) throws {
        let bench = try Bench(features)
        var chain = DescriptorChain(bench.memory.ram)
        var random = SplitMix64(seed: 11)
        for _ in 0..<200 {
            var position = VirtQueuePosition()
            position.available = UInt16.random(in: 0...UInt16.max, using: &random)
            position.used = UInt16.random(in: 0...UInt16.max, using: &random)
            position.availableWrap = Bool.random(using: &random)
            try bench.queue.configure(VirtQueueLayout(bench.driver.layout), features: features, position: position)
            #expect(bench.queue.inFlight <= 8)
            _ = bench.queue.next(into: &chain)
            bench.queue.push(chain, written: 1)
            bench.queue.publish()
        }
    }

    @Test("only pages that the device wrote are marked for migration", arguments: [VirtioFeatures(), .packedRing])
    func dirtyPages(layout: VirtioFeatures) throws {
        let bench = try Bench(layout)
        var chain = DescriptorChain(bench.memory.ram)
        let buffer: GuestAddress = 0x10_0000
        _ = bench.driver.offer([
            Buffer(buffer, 16, writable: false), Buffer(buffer + 0x1000, 0x1800, writable: true),
            Buffer(buffer + 0x4000, 16, writable: true),
        ])
        bench.memory.trackHostWrites(true)
        _ = bench.queue.next(into: &chain)
        bench.queue.push(chain, written: 0x1801)
        bench.queue.publish()
        #expect(bench.memory.takeHostWrites(word: 0x100 / 64) == 0b10110)
        let ring = layout.contains(.packedRing) ? bench.driver.layout.descriptors : bench.driver.layout.device
        #expect(bench.memory.takeHostWrites(word: 0) == 1 << (ring >> 12))
    }
}

extension VirtQueueLayout {
    init(_ places: RingPlaces) {
        self.init()
        size = UInt16(places.size)
        descriptors = places.descriptors
        driver = places.driver
        device = places.device
    }
}
