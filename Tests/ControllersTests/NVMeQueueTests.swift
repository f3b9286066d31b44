import BlockTestSupport
import DeviceModel
import GuestMemory
import Linux
import Testing
import VirtioTestSupport

@testable import Controllers

@Suite("NVMe queues")
struct NVMeQueueTests {
    private static func rig(queues: Int = 2, messages: Bool = true) throws -> (NVMeRig, MemoryBlockBackend) {
        let backend = MemoryBlockBackend(capacity: 1 << 20)
        let rig = try NVMeRig([backend], queues: queues)
        rig.enable(messages: messages)
        return (rig, backend)
    }

    @Test("everything that was offered with one ring is done with one commit and one interrupt")
    func batching() throws {
        let (rig, backend) = try Self.rig()
        let queue = rig.createQueues(1)
        rig.interrupts.events[1].drain()
        backend.verdict = { _ in .hold }
        for index in 0..<16 {
            let (_, pointers) = rig.buffer(512)
            rig.offer(queue, 0x02, namespace: 1, pointers: pointers, words: rig.words(UInt64(index), 1))
        }
        rig.ring(queue)
        #expect(rig.collect(queue).count == 0)
        backend.verdict = nil
        backend.queues[0].releaseHeld(reversed: true)
        #expect(rig.interrupts.events[1].drain() == 1)
        let done = rig.collect(queue)
        #expect(done.map(\.identifier) == (0..<16).reversed())
        #expect(done.allSatisfy { $0.1.status == 0 })
    }

    @Test("wrong commands end with the status that the specification has for them, and nothing is done")
    func wrongCommands() throws {
        let (rig, backend) = try Self.rig()
        let queue = rig.createQueues(1)
        let page = rig.heap.allocate(8192, alignment: 4096)
        func status(
            _ opcode: UInt8, _ pointers: (UInt64, UInt64), _ words: [UInt32], namespace: UInt32 = 1, flags: UInt32 = 0
        ) -> UInt16? {
            rig.run(queue, opcode, namespace: namespace, pointers: pointers, words: words, flags: flags)?.status
        }
        #expect(status(0x7f, (page, 0), []) == 0x4001)
        #expect(status(0x02, (page, 0), rig.words(0, 1), namespace: 0) == 0x400b)
        #expect(status(0x02, (page, 0), rig.words(0, 1), namespace: 2) == 0x400b)
        #expect(status(0x00, (0, 0), [], namespace: .max) == 0x400b)
        #expect(status(0x02, (page, 0), rig.words(0, 1), flags: 1 << 14) == 0x4002)  // scatter-gather lists
        #expect(status(0x02, (page, 0), rig.words(0, 1), flags: 1 << 8) == 0x4002)  // fused
        #expect(status(0x02, (page, 0), rig.words(2048, 1)) == 0x4080)
        #expect(status(0x02, (page, page), rig.words(.max, 1)) == 0x4080)
        #expect(status(0x02, (page, page), rig.words(1 << 55, 1)) == 0x4080)
        #expect(status(0x02, (page, page), rig.words(0, 2049)) == 0x4002)  // longer than the longest
        #expect(status(0x02, (page + 1, 0), rig.words(0, 1)) == 0x4013)
        #expect(status(0x02, (page, page + 8), rig.words(0, 16)) == 0x4013)
        #expect(status(0x02, (page, page + 4), rig.words(0, 32)) == 0x4013)
        #expect(status(0x02, (1 << 40, 0), rig.words(0, 1)) == 0x4004)
        #expect(status(0x02, (page, 1 << 40), rig.words(0, 16)) == 0x4004)
        #expect(status(0x02, (page, 1 << 40), rig.words(0, 32)) == 0x4004)
        // A list whose last entry leads to itself ends with the transfer.
        let list = rig.heap.allocate(4096, alignment: 4096)
        rig.memory.ram.store(list, at: list + 4088)
        #expect(status(0x02, (page, list + 4088), rig.words(0, 2048)) == 0x0)
        backend.verdict = { .end($0.operation == .read ? .failed : .noSpace) }
        #expect(status(0x02, (page, 0), rig.words(0, 1)) == 0x281)
        #expect(status(0x01, (page, 0), rig.words(0, 1)) == 0x4081)
        #expect(rig.log.lines == [])
    }

    @Test("zeroing, deallocating, flushing and force unit access reach the disk")
    func otherCommands() throws {
        let (rig, backend) = try Self.rig()
        let queue = rig.createQueues(1)
        var seen: [[UInt64]] = []
        backend.verdict = {
            seen.append([UInt64($0.operation.rawValue), $0.offset / 512, $0.count / 512, UInt64($0.options.rawValue)])
            return .carryOut
        }
        #expect(rig.run(queue, 0x08, namespace: 1, words: rig.words(8, 4, flags: 1 << 25))?.status == 0)
        #expect(rig.run(queue, 0x08, namespace: 1, words: rig.words(8, 65536, flags: 1 << 30))?.status == 0x4080)
        var ranges: [UInt8] = []
        for (block, count): (UInt64, UInt32) in [(0, 8), (3, 0), (100, 1)] {
            ranges += [0, 0, 0, 0]
            ranges += (0..<4).map { UInt8(truncatingIfNeeded: count >> (8 * $0)) }
            ranges += (0..<8).map { UInt8(truncatingIfNeeded: block >> (8 * $0)) }
        }
        let list = rig.heap.place(ranges)
        #expect(rig.run(queue, 0x09, namespace: 1, pointers: (list, 0), words: [2, 4])?.status == 0)
        #expect(rig.run(queue, 0x09, namespace: 1, pointers: (list, 0), words: [2, 0])?.status == 0)
        #expect(rig.run(queue, 0x00, namespace: 1)?.status == 0)
        #expect(rig.writeBlocks(queue, at: 1, pattern(512, seed: 1), flags: 1 << 30)?.status == 0)
        // Without the volatile cache every write is durable.
        #expect(rig.run(rig.admin, 0x09, words: [6, 0])?.status == 0)
        #expect(rig.run(rig.admin, 0x0a, words: [6])?.result == 0)
        #expect(rig.run(rig.admin, 0x0a, words: [6 | 1 << 8])?.result == 1)
        #expect(rig.writeBlocks(queue, at: 1, pattern(512, seed: 1))?.status == 0)
        #expect(
            seen == [
                [4, 8, 4, 2], [4, 8, 65536, 1], [3, 0, 8, 0], [3, 100, 1, 0], [2, 0, 0, 0], [1, 1, 1, 1], [1, 1, 1, 1],
            ])
    }

    @Test("queues are created and deleted only as the specification allows")
    func queueCommands() throws {
        let (rig, _) = try Self.rig()
        let page = rig.heap.allocate(65536, alignment: 4096)
        func create(_ opcode: UInt8, _ number: UInt32, _ size: UInt32, _ word: UInt32, _ at: UInt64? = nil) -> UInt16? {
            rig.run(rig.admin, opcode, pointers: (at ?? page, 0), words: [(size - 1) << 16 | number, word])?.status
        }
        #expect(rig.run(rig.admin, 0x09, words: [7, 0x3_0003])?.result == 0x1_0001)
        #expect(create(0x05, 0, 16, 1) == 0x4101)
        #expect(create(0x05, 3, 16, 1) == 0x4101)
        #expect(create(0x05, 1, 1, 1) == 0x4102)
        #expect(create(0x05, 1, 1025, 1) == 0x4102)
        #expect(create(0x05, 1, 16, 0) == 0x4002)
        #expect(create(0x05, 1, 16, 1, page + 8) == 0x4013)
        #expect(create(0x05, 1, 16, 9 << 16 | 3) == 0x4108)
        #expect(create(0x05, 1, 16, 3, 1 << 40) == 0x4004)
        #expect(create(0x01, 1, 16, 1 << 16 | 1) == 0x4100)
        #expect(create(0x05, 1, 16, 3) == 0)
        #expect(create(0x05, 1, 16, 3) == 0x4101)
        #expect(create(0x01, 1, 16, 1 << 16 | 1) == 0)
        // The second queue completes to the first's completion queue.
        #expect(create(0x01, 2, 16, 1 << 16 | 1, page + 8192) == 0)
        #expect(rig.run(rig.admin, 0x09, words: [7, 0])?.status == 0x400c)
        #expect(rig.run(rig.admin, 0x04, words: [1])?.status == 0x410c)
        #expect(rig.run(rig.admin, 0x00, words: [1])?.status == 0)
        #expect(rig.run(rig.admin, 0x04, words: [1])?.status == 0x410c)
        #expect(rig.run(rig.admin, 0x00, words: [2])?.status == 0)
        #expect(rig.run(rig.admin, 0x00, words: [2])?.status == 0x4101)
        #expect(rig.run(rig.admin, 0x04, words: [1])?.status == 0)
        #expect(rig.run(rig.admin, 0x08, words: [0])?.result == 1)
        #expect(rig.run(rig.admin, 0xc0)?.status == 0x4001)
    }

    @Test("a full completion queue holds commands back until the driver takes entries out")
    func fullCompletionQueue() throws {
        let (rig, _) = try Self.rig()
        let queue = NVMeRig.Queue(1, 32, rig.heap)
        #expect(rig.run(rig.admin, 0x05, pointers: (queue.completion, 0), words: [3 << 16 | 1, 3])?.status == 0)
        #expect(
            rig.run(rig.admin, 0x01, pointers: (queue.submission, 0), words: [31 << 16 | 1, 1 << 16 | 1])?.status == 0)
        let small = Reader(rig, queue, size: 4)
        for _ in 0..<10 { rig.offer(queue, 0x00, namespace: 1) }
        rig.ring(queue)
        #expect(small.collect() == [0, 1, 2])
        #expect(small.collect() == [])
        small.ring()
        #expect(small.collect() == [3, 4, 5])
        small.ring()
        small.ring()
        #expect(small.collect() == [6, 7, 8])
        small.ring()
        #expect(small.collect() == [9])
    }

    /// Reads a completion queue that is smaller than its submission queue.
    private final class Reader {
        let rig: NVMeRig
        let queue: NVMeRig.Queue
        let size: Int
        var head = 0
        var phase: UInt32 = 1

        init(_ rig: NVMeRig, _ queue: NVMeRig.Queue, size: Int) {
            self.rig = rig
            self.queue = queue
            self.size = size
        }

        func collect() -> [UInt16] {
            var found: [UInt16] = []
            while true {
                let last = rig.memory.ram.load(UInt32.self, at: queue.completion + UInt64(head * 16 + 12)) ?? 0
                guard last >> 16 & 1 == phase else { return found }
                found.append(UInt16(truncatingIfNeeded: last))
                head += 1
                if head == size { (head, phase) = (0, phase ^ 1) }
            }
        }

        func ring() { rig.write(0x100c, UInt64(head)) }
    }

    @Test("an index outside the queue breaks the queue, is told as an event, and no other queue suffers")
    func wildDoorbells() throws {
        let (rig, _) = try Self.rig()
        let first = rig.createQueues(1, size: 8)
        let second = rig.createQueues(2, size: 8)
        let event = rig.offer(rig.admin, 0x0c)
        rig.ring(rig.admin)
        rig.write(0x1008, 8)
        #expect(rig.answer(rig.admin, event) == NVMeRig.Completion(status: 0, result: 0x01_0100))
        rig.write(0x1008, 0xffff_ffff)
        rig.write(0x100c, 0xffff)
        // Doorbells of queues that are not there do nothing.
        rig.write(0x1018, 1)
        rig.write(0x1ff8, 1)
        rig.write(0x3ffc, 1)
        #expect(rig.run(second, 0x00, namespace: 1)?.status == 0)
        #expect(rig.run(first, 0x00, namespace: 1) == nil)
        #expect(rig.log.lines == ["NVMe: the driver moved queue 1 to an entry that it does not have"])
        // Made anew, it works.
        #expect(rig.run(rig.admin, 0x00, words: [1])?.status == 0)
        #expect(rig.run(rig.admin, 0x04, words: [1])?.status == 0)
        let again = rig.createQueues(1, size: 8)
        #expect(rig.run(again, 0x00, namespace: 1)?.status == 0)
    }

    @Test("the driver hears of another size of its disk once it asked for that, and finds out which")
    func resize() throws {
        let backend = MemoryBlockBackend(capacity: 2 << 20)
        backend.resize(to: 1 << 20)
        let rig = try NVMeRig([MemoryBlockBackend(capacity: 1 << 20), backend])
        rig.enable()
        let event = rig.offer(rig.admin, 0x0c)
        rig.ring(rig.admin)
        backend.resize(to: 1 << 19)
        #expect(rig.answer(rig.admin, event) == nil)
        #expect(rig.run(rig.admin, 0x09, words: [0x0b, 1 << 8])?.status == 0)
        backend.resize(to: 2 << 20)
        #expect(rig.answer(rig.admin, event) == NVMeRig.Completion(status: 0, result: 0x04_0002))
        let page = rig.heap.allocate(4096, alignment: 4096)
        #expect(rig.run(rig.admin, 0x02, namespace: .max, pointers: (page, 0), words: [1023 << 16 | 4])?.status == 0)
        #expect(rig.heap.bytes(8, at: page) == [2, 0, 0, 0, 0, 0, 0, 0])
        #expect(rig.identify(0, namespace: 2).data.prefix(4) == [0, 16, 0, 0])
        for _ in 0..<4 { rig.offer(rig.admin, 0x0c) }
        let fifth = rig.offer(rig.admin, 0x0c)
        rig.ring(rig.admin)
        #expect(rig.answer(rig.admin, fifth)?.status == 0x4105)
    }

    @Test("log pages tell of health and firmware, in parts if asked")
    func logPages() throws {
        let (rig, _) = try Self.rig()
        let queue = rig.createQueues(1)
        #expect(rig.writeBlocks(queue, at: 0, pattern(512, seed: 0))?.status == 0)
        let page = rig.heap.allocate(4096, alignment: 4096)
        func log(_ number: UInt32, words: UInt32, offset: UInt32 = 0) -> UInt16? {
            rig.run(rig.admin, 0x02, pointers: (page, 0), words: [(words - 1) << 16 | number, 0, offset])?.status
        }
        #expect(log(2, words: 128) == 0)
        let health = rig.heap.bytes(512, at: page)
        #expect(health[3] == 100)
        #expect(health[48] == 1)
        #expect(health[80] == 1)
        #expect(log(3, words: 2, offset: 8) == 0)
        #expect(rig.heap.bytes(8, at: page) == Array("1.3     ".utf8))
        #expect(log(1, words: 16) == 0)
        #expect(log(2, words: 1, offset: 516) == 0x4002)
        #expect(log(0x70, words: 1) == 0x4109)
    }

    @Test("a driver that keeps its indices in memory rings only when we sleep, and then the kernel can take the ring")
    func shadowDoorbells() throws {
        let (rig, backend) = try Self.rig()
        let queue = rig.createQueues(1)
        #expect(rig.binder.places == [])
        let values = rig.heap.allocate(4096, alignment: 4096)
        let events = rig.heap.allocate(4096, alignment: 4096)
        #expect(rig.run(rig.admin, 0x7c, pointers: (values + 8, events))?.status == 0x4002)
        #expect(rig.run(rig.admin, 0x7c, pointers: (values, 1 << 40))?.status == 0x4002)
        #expect(rig.run(rig.admin, 0x7c, pointers: (values, events))?.status == 0)
        rig.buffers = (values, events)
        let base = rig.controller.withSpace { $0.get(0x10, as: UInt64.self) } & ~0xf
        #expect(rig.binder.places == [.memory(base + 0x1008)])
        let other = rig.createQueues(2)
        #expect(rig.binder.places == [.memory(base + 0x1008), .memory(base + 0x1010)])
        rig.rings = 0
        // Idle, so every command rings.
        for block in 0..<20 {
            #expect(rig.writeBlocks(queue, at: UInt64(block), pattern(512, seed: block))?.status == 0)
            #expect(rig.run(other, 0x00, namespace: 1)?.status == 0)
        }
        #expect(rig.rings == 40)
        // While commands run, the driver need not ring for more: completions look for them.
        backend.verdict = { _ in .hold }
        rig.offer(queue, 0x00, namespace: 1)
        rig.ring(queue)
        #expect(rig.rings == 41)
        // The BAR moves, and the doorbells with it.
        rig.configure(0x14, 4, 0x3)
        let moved = base & 0xffff_ffff | 0x3_0000_0000
        #expect(rig.binder.places == [.memory(moved + 0x1008), .memory(moved + 0x1010)])
        rig.write(0x14, 0)
        #expect(rig.binder.places == [])
    }

    @Test("without MSI-X the wire is up until the driver has taken every entry, unless it masked the vector")
    func wire() throws {
        let (rig, _) = try Self.rig(messages: false)
        #expect(!rig.line.isRaised)
        // Shadow doorbells hide the heads that the wire's level depends on.
        #expect(rig.run(rig.admin, 0x7c, pointers: (0x1000, 0x2000))?.status == 0x4002)
        let queue = rig.createQueues(1, vector: 0)
        #expect(!rig.line.isRaised)
        rig.offer(queue, 0x00, namespace: 1)
        rig.ring(queue)
        #expect(rig.line.isRaised)
        rig.write(0x0c, 1)
        #expect(!rig.line.isRaised)
        rig.write(0x10, 1)
        #expect(rig.line.isRaised)
        #expect(rig.collect(queue).count == 1)
        #expect(!rig.line.isRaised)
        let quiet = rig.createQueues(2, vector: 0, interrupts: false)
        rig.offer(quiet, 0x00, namespace: 1)
        rig.ring(quiet)
        #expect(!rig.line.isRaised)
        #expect(rig.interrupts.events.allSatisfy { $0.drain() == 0 })
    }

    @Test("deleting a queue aborts its commands that wait for storage, and keeps those of the others waiting")
    func deletionWhileStalled() throws {
        let (rig, backend) = try Self.rig()
        let first = rig.createQueues(1)
        let second = rig.createQueues(2)
        backend.verdict = { _ in .stall }
        let lost = rig.offer(first, 0x00, namespace: 1)
        rig.ring(first)
        let kept = rig.offer(second, 0x00, namespace: 1)
        rig.ring(second)
        #expect(rig.run(rig.admin, 0x00, words: [1])?.status == 0)
        #expect(rig.answer(first, lost)?.status == 0x008)
        #expect(rig.answer(second, kept) == nil)
        backend.verdict = nil
        #expect(backend.queues[0].stalledCount == 1)
        backend.queues[0].releaseStalled()
        #expect(rig.answer(second, kept)?.status == 0)
    }

    @Test("a reset forgets everything, even commands that wait for storage, and a new driver finds a fresh controller")
    func reset() throws {
        let (rig, backend) = try Self.rig()
        let queue = rig.createQueues(1)
        backend.verdict = { _ in .stall }
        rig.offer(queue, 0x00, namespace: 1)
        rig.ring(queue)
        rig.write(0x14, 0)
        #expect(rig.read(0x1c) == 0)
        backend.verdict = nil
        #expect(backend.queues[0].stalledCount == 0)
        // Rings of the old driver go nowhere.
        rig.ring(queue)
        rig.enable()
        let again = rig.createQueues(1)
        #expect(rig.run(again, 0x00, namespace: 1)?.status == 0)
        // The machine's reset, too.
        rig.root.reset()
        #expect(rig.read(0x14) == 0)
        #expect(rig.read(0x28, 8) == 0)
        rig.enable()
        #expect(rig.identify(1).status == 0)
        #expect(rig.log.lines == [])
    }

    @Test("a configuration that cannot be served sets the fatal bit, and a reset takes it away")
    func badConfiguration() throws {
        let rig = try NVMeRig([MemoryBlockBackend(capacity: 1 << 20)])
        rig.write(0x24, 0x1f_001f)
        rig.write(0x28, 1 << 40, 8)
        rig.write(0x30, 0x1000, 8)
        rig.write(0x14, 0x46_0001)
        #expect(rig.read(0x1c) == 2)
        rig.write(0x14, 0)
        #expect(rig.read(0x1c) == 0)
        rig.write(0x28, 0x2000, 8)
        rig.write(0x14, 0x46_0081)  // pages of 8 KiB
        #expect(rig.read(0x1c) == 2)
        #expect(rig.log.lines.count == 2)
        rig.enable()
        #expect(rig.identify(1).status == 0)
    }

    @Test("a paused controller does nothing, and goes on where it was")
    func pause() throws {
        let (rig, backend) = try Self.rig()
        let queue = rig.createQueues(1)
        rig.controller.pause()
        #expect(backend.queues[0].isSuspended)
        let command = rig.offer(queue, 0x00, namespace: 1)
        rig.ring(queue)
        let admin = rig.offer(rig.admin, 0x08)
        rig.ring(rig.admin)
        #expect(rig.answer(queue, command) == nil)
        #expect(rig.answer(rig.admin, admin) == nil)
        rig.controller.resume()
        #expect(rig.answer(queue, command)?.status == 0)
        #expect(rig.answer(rig.admin, admin)?.status == 0)
    }

    @Test("what the disk wrote into guest memory is noted for migration")
    func dirtyPages() throws {
        let (rig, _) = try Self.rig()
        let queue = rig.createQueues(1)
        let (pages, pointers) = rig.buffer(8192)
        let command = rig.offer(queue, 0x02, namespace: 1, pointers: pointers, words: rig.words(0, 16))
        rig.memory.trackHostWrites(true)
        rig.ring(queue)
        #expect(rig.answer(queue, command)?.status == 0)
        var dirty: Set<UInt64> = []
        for word in 0..<128 {
            let bits = rig.memory.takeHostWrites(word: word)
            for bit in 0..<64 where bits & 1 << UInt64(bit) != 0 { dirty.insert(UInt64(word * 64 + bit)) }
        }
        #expect(dirty == Set([pages[0] >> 12, pages[1] >> 12, queue.completion >> 12]))
    }
}
