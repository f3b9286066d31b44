import BlockTestSupport
import DeviceModel
import GuestMemory
import Linux
import Testing
import Virtio
import VirtioTestSupport

@Suite("virtio-blk")
struct VirtioBlockTests {
    private static let rings: [VirtioFeatures] = [
        [], [.eventIndex], [.indirectDescriptors, .eventIndex], [.packedRing], [.packedRing, .eventIndex],
    ]

    @Test("the configuration tells the disk's size, blocks, limits and queues")
    func configuration() throws {
        let rig = try BlockRig(MemoryBlockBackend(capacity: 1 << 20), queues: 3)
        #expect(rig.configuration(0, as: UInt64.self) == 2048)
        #expect(rig.configuration(12, as: UInt32.self) == 254)
        #expect(rig.configuration(20, as: UInt32.self) == 512)
        #expect(rig.configuration(24, as: UInt8.self) == 3)
        #expect(rig.configuration(26, as: UInt16.self) == 8)
        #expect(rig.configuration(32, as: UInt8.self) == 1)
        #expect(rig.configuration(34, as: UInt16.self) == 3)
        #expect(rig.configuration(36, as: UInt32.self) == 0x3f_ffff)
        #expect(rig.configuration(40, as: UInt32.self) == 16)
        #expect(rig.configuration(44, as: UInt32.self) == 8)
        #expect(rig.configuration(48, as: UInt32.self) == 0x3f_ffff)
        #expect(rig.configuration(52, as: UInt32.self) == 16)
        #expect(rig.configuration(56, as: UInt8.self) == 1)
        #expect(rig.configuration(60, as: UInt32.self) == .max)
        let features = rig.rig.driver.offered
        // SEG_MAX, BLK_SIZE, FLUSH, TOPOLOGY, CONFIG_WCE, MQ, DISCARD, WRITE_ZEROES.
        #expect(features.rawValue & 0xff_ffff == 0x7e44)
        let readOnly = try BlockRig(MemoryBlockBackend(capacity: 4096, isReadOnly: true))
        // SEG_MAX, RO, BLK_SIZE, FLUSH, TOPOLOGY.
        #expect(readOnly.rig.driver.offered.rawValue & 0xff_ffff == 0x664)
    }

    @Test("what is written can be read, however the request is cut into buffers", arguments: rings)
    func roundTrip(_ features: VirtioFeatures) throws {
        let rig = try BlockRig()
        rig.start(features.union([.blockFlush, .blockSegmentsMax]), size: 64)
        let indirect = features.contains(.indirectDescriptors)
        for (round, cut) in [1 << 16, 512, 100, 33].enumerated() {
            // Small pieces only of small requests: the ring has 64 entries.
            let count = cut >= 512 ? 4096 : cut >= 100 ? 2048 : 512
            let data = blockPattern(count, seed: round)
            let sector = UInt64(round * 16 + 3)
            #expect(
                rig.run(BlockRig.Kind.write, sector: sector, out: data, cut: cut, indirect: indirect)
                    == BlockRig.Answer(status: 0, written: 1, data: []))
            #expect(
                rig.run(BlockRig.Kind.read, sector: sector, in: count, cut: cut, indirect: indirect)
                    == BlockRig.Answer(status: 0, written: UInt32(count) + 1, data: data))
            #expect(rig.run(BlockRig.Kind.flush, cut: 5, indirect: indirect)?.status == BlockRig.done)
        }
        #expect(rig.rig.log.lines == [])
    }

    @Test("the serial number is at most 20 bytes, padded with zeros, cut to the guest's buffer")
    func identity() throws {
        let rig = try BlockRig(MemoryBlockBackend(capacity: 4096, identity: "naa.6000c29f-übung-0123456789"))
        rig.start()
        // What is not printable ASCII reads as a question mark.
        let expected = Array("naa.6000c29f-??bung-".utf8)
        #expect(
            rig.run(BlockRig.Kind.identity, in: 20) == BlockRig.Answer(status: 0, written: 21, data: expected))
        #expect(rig.run(BlockRig.Kind.identity, in: 8)?.data == Array(expected.prefix(8)))
        let long = rig.run(BlockRig.Kind.identity, in: 32)
        #expect(long?.data == expected + [UInt8](repeating: 0xee, count: 12))
        // The status lies beyond what was filled.
        #expect(long?.written == 20)
        let short = try BlockRig(MemoryBlockBackend(capacity: 4096, identity: "abc"))
        short.start()
        #expect(short.run(BlockRig.Kind.identity, in: 20)?.data == Array("abc".utf8) + [UInt8](repeating: 0, count: 17))
    }

    @Test("requests of unknown type are unsupported")
    func unknownTypes() throws {
        let rig = try BlockRig()
        rig.start()
        for type: UInt32 in [2, 3, 5, 10, 14, 15, 0x8000_0000, .max] {
            let answer = rig.run(type, in: 512)
            #expect(answer?.status == BlockRig.unsupported)
            #expect(answer?.written == 0)
        }
        #expect(rig.run(6)?.written == 1)
    }

    @Test("transfers outside the disk, of broken blocks, or to a read-only disk fail")
    func badTransfers() throws {
        let rig = try BlockRig()
        rig.start()
        let block = [UInt8](repeating: 1, count: 512)
        for (sector, count): (UInt64, Int) in [
            (2048, 512), (2047, 1024), (UInt64.max, 512), (1 << 55, 512), (UInt64.max / 512, 512), (0, 511), (0, 1),
        ] {
            #expect(rig.run(BlockRig.Kind.read, sector: sector, in: count)?.status == BlockRig.failed)
            let out = [UInt8](repeating: 1, count: count)
            #expect(rig.run(BlockRig.Kind.write, sector: sector, out: out)?.status == BlockRig.failed)
        }
        #expect(rig.backend.bytes.allSatisfy { $0 == 0 })
        #expect(rig.run(BlockRig.Kind.write, sector: 2047, out: block)?.status == BlockRig.done)
        #expect(rig.run(BlockRig.Kind.read, sector: 0, in: 0)?.status == BlockRig.done)

        let readOnly = try BlockRig(MemoryBlockBackend(capacity: 4096, isReadOnly: true))
        readOnly.start()
        #expect(readOnly.run(BlockRig.Kind.write, out: block)?.status == BlockRig.failed)
        #expect(readOnly.run(BlockRig.Kind.writeZeroes, out: BlockRig.range(0, 1))?.status == BlockRig.unsupported)
        #expect(readOnly.run(BlockRig.Kind.flush)?.status == BlockRig.done)
    }

    @Test("a header that is too short fails; a request without room for a status breaks the queue")
    func malformed() throws {
        let rig = try BlockRig()
        rig.start()
        let heap = rig.rig.heap
        let status = heap.place([0xee])
        let header = heap.place([UInt8](repeating: 0, count: 16))
        #expect(rig.rings[0].offer([Buffer(header, 15, writable: false), Buffer(status, 1, writable: true)]) != nil)
        #expect(rig.rings[0].offer([Buffer(status, 1, writable: true)]) != nil)
        rig.rig.kick(0)
        #expect(rig.rings[0].collect().map(\.written) == [1, 1])
        #expect(heap.bytes(1, at: status) == [BlockRig.failed])
        #expect(rig.rings[0].offer([Buffer(header, 16, writable: false)]) != nil)
        rig.rig.kick(0)
        #expect(rig.rings[0].collect() == [])
        #expect(rig.rig.driver.status & 0x40 != 0)
        #expect(rig.rig.log.lines.count == 1)
        // A reset makes it good again.
        rig.start()
        #expect(rig.run(BlockRig.Kind.flush)?.status == BlockRig.done)
    }

    @Test("ranges are discarded and zeroed, several a request; wrong ones do nothing at all")
    func ranges() throws {
        let rig = try BlockRig()
        rig.start()
        rig.backend.bytes.initializeMemory(as: UInt8.self, repeating: 5)
        rig.backend.keepsLog = true
        let two = BlockRig.range(1, 2) + BlockRig.range(2046, 2, flags: 1)
        #expect(rig.run(BlockRig.Kind.writeZeroes, out: two)?.status == BlockRig.done)
        for (index, byte) in rig.backend.bytes.enumerated() {
            let isZero = (512..<1536).contains(index) || index >= 2046 * 512
            if byte != (isZero ? 0 : 5) {
                Issue.record("byte \(index) is \(byte)")
                break
            }
        }
        let sixteen = (0..<16).flatMap { BlockRig.range(UInt64($0), 1) }
        #expect(rig.run(BlockRig.Kind.discard, out: sixteen, cut: 24)?.status == BlockRig.done)
        #expect(rig.backend.log == Array(repeating: .writeZeroes, count: 2) + Array(repeating: .discard, count: 16))
        rig.backend.log = []

        let good = BlockRig.range(0, 1)
        let bad: [(UInt32, [UInt8], UInt8)] = [
            (BlockRig.Kind.discard, [], BlockRig.failed),
            (BlockRig.Kind.discard, Array(good.dropLast()), BlockRig.failed),
            (BlockRig.Kind.discard, sixteen + good, BlockRig.failed),
            (BlockRig.Kind.discard, good + BlockRig.range(0, 0), BlockRig.failed),
            (BlockRig.Kind.discard, good + BlockRig.range(0, 0x40_0000), BlockRig.failed),
            (BlockRig.Kind.discard, good + BlockRig.range(.max, 1), BlockRig.failed),
            (BlockRig.Kind.discard, BlockRig.range(0, 1, flags: 1), BlockRig.unsupported),
            (BlockRig.Kind.writeZeroes, BlockRig.range(0, 1, flags: 2), BlockRig.unsupported),
        ]
        for (type, out, status) in bad { #expect(rig.run(type, out: out)?.status == status) }
        #expect(rig.backend.log == [])
        // Outside the disk: the ranges before have been worked on.
        #expect(
            rig.run(BlockRig.Kind.writeZeroes, out: good + BlockRig.range(2048, 1))?.status == BlockRig.failed)
    }

    @Test("discard and write-zeroes that were not negotiated are unsupported")
    func notNegotiated() throws {
        let rig = try BlockRig()
        rig.start([.blockFlush])
        #expect(rig.run(BlockRig.Kind.discard, out: BlockRig.range(0, 1))?.status == BlockRig.unsupported)
        #expect(rig.run(BlockRig.Kind.writeZeroes, out: BlockRig.range(0, 1))?.status == BlockRig.unsupported)
    }

    @Test("what the disk reports becomes the request's status")
    func diskErrors() throws {
        let rig = try BlockRig()
        rig.start()
        for (status, code): (BlockStatus, UInt8) in [
            (.failed, 1), (.noSpace, 1), (.readOnly, 1), (.outOfRange, 1), (.unsupported, 2), (.done, 0),
        ] {
            rig.backend.verdict = { _ in .end(status) }
            #expect(rig.run(BlockRig.Kind.read, in: 512)?.status == code)
            #expect(rig.run(BlockRig.Kind.flush)?.status == code)
        }
    }

    @Test("writes are durable by themselves for drivers that cannot flush, and when the driver says so")
    func writeThrough() throws {
        let rig = try BlockRig()
        var durable: [Bool] = []
        rig.backend.verdict = { request in
            if request.operation == .write { durable.append(request.options.contains(.durable)) }
            return .carryOut
        }
        let block = [UInt8](repeating: 1, count: 512)
        func write() { #expect(rig.run(BlockRig.Kind.write, out: block)?.status == BlockRig.done) }
        rig.start([])
        write()
        rig.start([.blockFlush])
        write()
        rig.start([.blockFlush, .blockConfigurableCache])
        write()
        rig.rig.driver.write(VirtioDriver.Register.configuration + 32, 1, 0)
        #expect(rig.configuration(32, as: UInt8.self) == 0)
        write()
        rig.rig.driver.write(VirtioDriver.Register.configuration + 32, 1, 1)
        write()
        // Only this field, and only its byte, can be written.
        rig.rig.driver.write(VirtioDriver.Register.configuration, 4, 0)
        #expect(rig.configuration(0, as: UInt64.self) == 2048)
        rig.rig.driver.write(VirtioDriver.Register.configuration + 32, 1, 0)
        rig.start([.blockFlush, .blockConfigurableCache])
        write()
        #expect(durable == [true, false, false, true, false, false])
    }

    @Test("a batch of requests makes one interrupt, and none while the driver does not want it")
    func interrupts() throws {
        let interrupts = try TestInterrupts(2)
        let backend = MemoryBlockBackend(capacity: 1 << 20)
        let memory = GuestHeap(try GuestMemory(count: 8 << 20))
        let device = try VirtioBlock(backend, ram: memory.ram, loops: [nil], queueSize: 64)
        let function = VirtioPCIFunction(device, interrupts: interrupts, binder: nil, control: nil, log: { _ in })
        defer { function.close() }
        let driver = VirtioDriver(function, memory)
        let bus = try VirtioPCIFunctionTests.Bus(function)
        let (capability, enable) = bus.enableMSIX
        bus.write(capability + 2, 2, enable)
        driver.negotiate([.blockFlush, .eventIndex])
        let ring = driver.setUpQueue(0, size: 64, vector: 1)
        driver.start()
        let header = memory.place(BlockRig.header(BlockRig.Kind.flush, 0))
        let status = memory.place([0xee])
        func offer(_ count: Int) {
            for _ in 0..<count {
                #expect(ring.offer([Buffer(header, 16, writable: false), Buffer(status, 1, writable: true)]) != nil)
            }
            if ring.shouldKick() { driver.kick(0) }
            if device.queues[0].doorbell.drain() > 0 { device.queues[0].ready(.readable) }
        }
        ring.setInterrupts(true)
        offer(20)
        #expect(ring.collect().count == 20)
        #expect(interrupts.events[1].drain() == 1)
        ring.setInterrupts(false)
        offer(5)
        #expect(ring.collect().count == 5)
        #expect(interrupts.events[1].drain() == 0)
    }

    @Test("requests come back in any order, and pausing brings all of them back")
    func order() throws {
        let rig = try BlockRig()
        rig.start()
        rig.backend.verdict = { _ in .hold }
        var tokens: [UInt16] = []
        for sector in 0..<8 {
            tokens.append(rig.offer(BlockRig.Kind.read, sector: UInt64(sector), in: 512).token)
        }
        rig.kick()
        #expect(rig.answers.isEmpty)
        #expect(rig.backend.queues[0].heldCount == 8)
        rig.backend.queues[0].releaseHeld(reversed: true)
        rig.collect()
        #expect(Set(rig.answers.keys) == Set(tokens))

        rig.answers = [:]
        for sector in 0..<8 { rig.offer(BlockRig.Kind.read, sector: UInt64(sector), in: 512) }
        rig.kick()
        #expect(rig.answers.isEmpty)
        rig.rig.function.pause()
        rig.collect()
        #expect(rig.answers.count == 8)
        #expect(rig.rig.device.queues[0].ring.inFlight == 0)
        // What is offered meanwhile waits for the machine to go on.
        rig.backend.verdict = nil
        let late = rig.offer(BlockRig.Kind.flush)
        rig.kick()
        #expect(rig.answers[late.token] == nil)
        rig.rig.function.resume()
        rig.collect()
        #expect(rig.answers[late.token]?.status == BlockRig.done)
    }

    @Test("requests that wait for an answer survive a pause, and are forgotten by a reset")
    func waiting() throws {
        let rig = try BlockRig()
        rig.start()
        rig.backend.verdict = { $0.operation == .write ? .stall : .carryOut }
        let block = [UInt8](repeating: 1, count: 512)
        let write = rig.offer(BlockRig.Kind.write, sector: 1, out: block)
        rig.kick()
        rig.rig.function.pause()
        rig.rig.function.resume()
        #expect(rig.run(BlockRig.Kind.read, sector: 1, in: 512)?.data == [UInt8](repeating: 0, count: 512))
        rig.backend.queues[0].releaseStalled()
        rig.collect()
        #expect(rig.answers[write.token]?.status == BlockRig.done)
        #expect(rig.run(BlockRig.Kind.read, sector: 1, in: 512)?.data == block)

        for _ in 0..<20 {
            for sector in 0..<30 { rig.offer(BlockRig.Kind.write, sector: UInt64(sector), out: block, indirect: true) }
            rig.kick()
            #expect(rig.backend.queues[0].stalledCount == 30)
            rig.start()
            #expect(rig.backend.queues[0].stalledCount == 0)
        }
        #expect(rig.run(BlockRig.Kind.flush)?.status == BlockRig.done)
    }

    @Test("a disk that grows tells the driver")
    func resize() throws {
        let backend = MemoryBlockBackend(capacity: 1 << 20)
        backend.resize(to: 4096)
        let rig = try BlockRig(backend)
        rig.start()
        #expect(rig.configuration(0, as: UInt64.self) == 8)
        let generation = rig.rig.driver.read(VirtioDriver.Register.generation, 1)
        _ = rig.rig.driver.read(VirtioDriver.Register.interruptStatus, 1)
        #expect(rig.run(BlockRig.Kind.read, sector: 8, in: 512)?.status == BlockRig.failed)
        _ = rig.rig.driver.read(VirtioDriver.Register.interruptStatus, 1)
        backend.resize(to: 1 << 20)
        #expect(rig.configuration(0, as: UInt64.self) == 2048)
        #expect(rig.rig.driver.read(VirtioDriver.Register.generation, 1) != generation)
        #expect(rig.rig.driver.read(VirtioDriver.Register.interruptStatus, 1) == 2)
        #expect(rig.run(BlockRig.Kind.read, sector: 8, in: 512)?.status == BlockRig.done)
    }

    @Test("queues work side by side and are counted each by itself")
    func queues() throws {
        let rig = try BlockRig(queues: 4)
        rig.start()
        for queue in 0..<4 {
            for _ in 0...queue {
                rig.offer(
                    BlockRig.Kind.write, sector: UInt64(queue), out: [UInt8](repeating: UInt8(queue), count: 512),
                    queue: queue)
            }
        }
        for queue in (0..<4).reversed() { rig.kick(queue) }
        let device = try #require(rig.rig.device as? VirtioBlock)
        #expect(device.counters.map { $0.sum(.write).requests } == [1, 2, 3, 4])
        #expect(device.counters.map { $0.sum(.write).bytes } == [512, 1024, 1536, 2048])
        #expect((0..<4).map { rig.backend.bytes[$0 * 512] } == [0, 1, 2, 3])
    }
}
