import BlockTestSupport
import DeviceModel
import GuestMemory
import Linux
import Testing
import VirtioTestSupport

@testable import Controllers

@Suite("PVSCSI")
struct PVSCSITests {
    private static let good = PVSCSIRig.Answer()

    private static func rig(_ disk: MemoryBlockBackend, pages: Int = 1) throws -> PVSCSIRig {
        let rig = try PVSCSIRig([.disk(disk)])
        rig.start(requestPages: pages, completionPages: pages)
        return rig
    }

    @Test("the function is VMware's adapter, with MSI-X and the registers where drivers look for them")
    func function() throws {
        let rig = try PVSCSIRig([nil])
        #expect(rig.configuration(0, 4) == 0x07c0_15ad)
        #expect(rig.configuration(8, 4) == 0x0107_0002)
        #expect(rig.capability(0x11) != 0)
        #expect(rig.read(0x100c) == 0)
        #expect(rig.read(0x2010) == 0)
        rig.write(0x2010, .max)
        #expect(rig.read(0x2010) == 0xf)
    }

    @Test(
        "commands tell their status: unknown ones fail, others wait for their words, rings of messages tell their length"
    )
    func commands() throws {
        let rig = try PVSCSIRig([nil])
        #expect(rig.command(7) == .max)
        #expect(rig.command(10) == .max)
        #expect(rig.command(8) == 34)
        #expect(rig.command(3) == 0xffff_fffe)
        #expect(rig.command(1) == 0)
        #expect(rig.start(requestPages: 8, completionPages: 4) == 0)
        #expect(rig.index(8) == 8)
        #expect(rig.index(20) == 9)
        #expect(rig.index(136) == 5)
    }

    @Test("rings outside of memory, or of no sensible size, are refused, and nothing is taken from them")
    func badRings() throws {
        let rig = try PVSCSIRig([.disk(MemoryBlockBackend(capacity: 1 << 20))])
        let page: UInt32 = 16
        let far: [UInt32] = [.max, .max]
        let none = [UInt32](repeating: 0, count: 124)
        for words: [UInt32] in [
            [0, 1, page, 0, page, 0, page, 0], [3, 1, page, 0, page, 0, page, 0], [33, 33, page, 0, page, 0, page, 0],
            [.max, .max, page, 0, page, 0, page, 0], [1, 1] + far + [page, 0, page, 0],
            [1, 1, page, 0] + far + [page, 0],
        ] {
            #expect(rig.command(3, words + none) == .max)
        }
        rig.kick()
        #expect(rig.log.lines.count == 1)
        rig.start()
        #expect(rig.run(CDB.testUnitReady) == Self.good)
    }

    @Test("a disk tells what it is; targets and units that are not there say so")
    func identity() throws {
        let disk = MemoryBlockBackend(capacity: 1 << 20, identity: "serial-1")
        let rig = try PVSCSIRig([.disk(disk), nil, .cd(nil, serial: "1")])
        rig.start()
        let (answer, data) = rig.fetch(CDB.inquiry(36), count: 36)
        #expect(answer == PVSCSIRig.Answer(count: 36))
        #expect(String(decoding: data[8..<32], as: UTF8.self) == "VMware  Virtual disk    ")
        #expect(rig.fetch(CDB.readCapacity, count: 8).1 == [0, 0, 7, 255, 0, 0, 2, 0])
        // What is shorter than the buffer ends well, and tells its length.
        #expect(rig.fetch(CDB.reportLUNs(255), count: 255).0 == PVSCSIRig.Answer(count: 16))
        #expect(rig.fetch(CDB.inquiry(36), count: 36, target: 2).1.first == 5)
        #expect(rig.run(CDB.testUnitReady, target: 2) == PVSCSIRig.Answer(status: 2, sense: [2, 0x3a, 0]))
        for (target, bus): (UInt8, UInt8) in [(1, 0), (7, 0), (16, 0), (255, 0), (0, 1)] {
            #expect(rig.run(CDB.inquiry(36), target: target, bus: bus) == PVSCSIRig.Answer(host: 0x11))
        }
        #expect(rig.fetch(CDB.inquiry(36), count: 36, unit: 1).1.first == 0x7f)
        #expect(rig.run(CDB.testUnitReady, unit: 1) == PVSCSIRig.Answer(status: 2, sense: [5, 0x25, 0]))
    }

    @Test("what is written can be read, from memory in one piece or many")
    func roundTrip() throws {
        let disk = MemoryBlockBackend(capacity: 4 << 20)
        let rig = try Self.rig(disk)
        let data = pattern(200 * 512, seed: 3)
        let pieces = (0..<200).map { (rig.heap.place(Array(data[$0 * 512..<($0 + 1) * 512]), alignment: 1024), 512) }
        let list = rig.list(pieces, perPage: 33)
        let write = rig.run(CDB.write10(7, 200), .toDevice, data: list, count: UInt64(data.count), list: true)
        #expect(write == PVSCSIRig.Answer(count: UInt64(data.count)))
        #expect(Array(disk.bytes[7 * 512..<207 * 512]) == data)
        let (read, bytes) = rig.fetch(CDB.read10(7, 200), count: data.count)
        #expect(read == PVSCSIRig.Answer(count: UInt64(data.count)))
        #expect(bytes == data)
        #expect(rig.run(CDB.flush) == Self.good)
    }

    @Test("requests that make no sense end with the adapter's error, and nothing is moved")
    func senseless() throws {
        let disk = MemoryBlockBackend(capacity: 1 << 20)
        disk.keepsLog = true
        let rig = try Self.rig(disk)
        let buffer = rig.heap.allocate(4096, alignment: 4096)
        let invalid = PVSCSIRig.Answer(host: 0x1a)
        let overrun = PVSCSIRig.Answer(host: 0x12)
        #expect(rig.run(CDB.read10(0, 1), .toHost, data: 1 << 40, count: 512) == invalid)
        #expect(rig.run(CDB.read10(0, 1), .toHost, data: .max - 3, count: 512) == invalid)
        #expect(rig.run(CDB.read10(0, 1), .toHost, data: buffer, count: .max) == invalid)
        #expect(rig.run(CDB.read10(0, 1), .toHost, data: .max - 7, count: 512, list: true) == invalid)
        #expect(rig.run(CDB.read10(0, 1), .toHost, data: buffer, count: 512, flags: 2) == invalid)
        // A list that goes round in a circle.
        let circle = rig.heap.allocate(4096, alignment: 4096)
        rig.memory.ram.store(circle, at: circle)
        rig.memory.ram.store(UInt32(1), at: circle + 12)
        #expect(rig.run(CDB.read10(0, 1), .toHost, data: circle, count: 512, list: true) == invalid)
        // A list that is too short for the length that it is said to have.
        let short = rig.list([(buffer, 256)])
        #expect(rig.run(CDB.read10(0, 1), .toHost, data: short, count: 512, list: true) == invalid)
        // A buffer that is too short for the command, or goes the other way.
        #expect(rig.run(CDB.read10(0, 2), .toHost, data: buffer, count: 512) == overrun)
        #expect(rig.run(CDB.read10(0, 1), .toDevice, data: buffer, count: 512) == overrun)
        #expect(rig.run(CDB.write10(0, 1)) == overrun)
        #expect(disk.log == [])
        #expect(rig.run(CDB.read10(2047, 2), .toHost, data: buffer, count: 1024)?.sense == [5, 0x21, 0])
        // Longer than needed is good.
        #expect(rig.run(CDB.read10(0, 1), .toHost, data: buffer, count: 4096) == PVSCSIRig.Answer(count: 512))
    }

    @Test("requests run together; those that end together are told with one interrupt")
    func batch() throws {
        let disk = MemoryBlockBackend(capacity: 1 << 20)
        let rig = try Self.rig(disk)
        let contexts = (0..<32).map { number in
            rig.offer(
                CDB.write10(UInt32(number), 1), .toDevice,
                data: rig.heap.place([UInt8](repeating: UInt8(number), count: 512)), count: 512)
        }
        disk.verdict = { _ in .hold }
        rig.kick()
        #expect(rig.index(4) == 32)
        #expect(rig.collect().isEmpty)
        #expect(rig.interrupts.events[0].drain() == 0)
        disk.queues[0].releaseHeld(reversed: true)
        #expect(rig.interrupts.events[0].drain() == 1)
        #expect(rig.read(0x100c) == 1)
        let answers = rig.collect()
        #expect(answers.map(\.context) == contexts.reversed())
        #expect(answers.allSatisfy { $0.1 == PVSCSIRig.Answer(count: 512) })
    }

    @Test("more requests than the adapter works on at once are taken as others end")
    func starved() throws {
        let disk = MemoryBlockBackend(capacity: 1 << 20)
        let rig = try Self.rig(disk, pages: 32)
        disk.verdict = { _ in .hold }
        for _ in 0..<1000 { rig.offer(CDB.flush) }
        rig.kick()
        #expect(rig.index(4) == UInt32(PVSCSIAdapter.depth))
        #expect(disk.queues[0].heldCount == PVSCSIAdapter.depth)
        disk.verdict = nil
        disk.queues[0].releaseHeld()
        #expect(rig.index(4) == 1000)
        #expect(rig.collect().count == 1000)
    }

    @Test("a driver that offers more than its ring holds is not served until it resets the adapter")
    func brokenRing() throws {
        let rig = try Self.rig(MemoryBlockBackend(capacity: 1 << 20))
        rig.setIndex(0, 33)
        rig.kick()
        rig.kick()
        #expect(rig.index(4) == 0)
        #expect(rig.log.lines.count == 1)
        rig.start()
        #expect(rig.run(CDB.testUnitReady) == Self.good)
    }

    @Test("without messages the wire is up until the status is cleared; masked bits do not interrupt")
    func wire() throws {
        let rig = try PVSCSIRig([.disk(MemoryBlockBackend(capacity: 1 << 20))])
        rig.start(messages: false)
        rig.write(0x2010, 0)
        #expect(rig.run(CDB.testUnitReady) == Self.good)
        #expect(rig.read(0x100c) == 1)
        #expect(!rig.line.isRaised)
        rig.write(0x2010, 3)
        #expect(rig.line.isRaised)
        rig.write(0x100c, 1)
        #expect(!rig.line.isRaised)
        #expect(rig.run(CDB.testUnitReady) == Self.good)
        #expect(rig.line.isRaised)
        rig.command(1)
        #expect(!rig.line.isRaised)
    }

    @Test("a reset of the adapter forgets all requests, also those that wait because the storage is full")
    func reset() throws {
        let disk = MemoryBlockBackend(capacity: 1 << 20)
        let rig = try Self.rig(disk)
        disk.verdict = { _ in .stall }
        for _ in 0..<20 { rig.offer(CDB.flush) }
        rig.kick()
        #expect(disk.queues[0].stalledCount == 20)
        rig.command(1)
        #expect(disk.queues[0].stalledCount == 0)
        disk.verdict = nil
        rig.start()
        for _ in 0..<5 {
            for _ in 0..<32 { rig.offer(CDB.flush) }
            rig.kick()
            #expect(rig.collect().count == 32)
        }
    }

    @Test(
        "a request that waits because the storage is full is aborted alone; a reset of the target ends all of its requests"
    )
    func abort() throws {
        let disks = [MemoryBlockBackend(capacity: 1 << 20), MemoryBlockBackend(capacity: 1 << 20)]
        let rig = try PVSCSIRig([.disk(disks[0]), .disk(disks[1])])
        rig.start()
        for disk in disks { disk.verdict = { _ in .stall } }
        let contexts = (0..<4).map { rig.offer(CDB.flush, target: UInt8($0 / 3)) }
        rig.command(6, [UInt32(contexts[1]), 0, 0, 0])
        var ended = rig.collect()
        #expect(ended.map(\.context) == [contexts[1]])
        #expect(ended.first?.1 == PVSCSIRig.Answer(host: 0x26))
        #expect(disks[0].queues[0].stalledCount == 2)
        rig.command(5, [0, 0, 0])
        ended = rig.collect()
        #expect(ended.map(\.context) == [contexts[0], contexts[2]])
        #expect(ended.allSatisfy { $0.1 == PVSCSIRig.Answer(host: 0x25) })
        rig.command(4)
        #expect(rig.collect().map(\.context) == [contexts[3]])
        for disk in disks { disk.verdict = nil }
        // The driver is told that the targets were reset.
        for target: UInt8 in [0, 1] {
            #expect(rig.run(CDB.testUnitReady, target: target)?.sense == [6, 0x29, 0])
            #expect(rig.run(CDB.testUnitReady, target: target) == Self.good)
        }
    }

    @Test("a paused adapter has nothing in flight and takes nothing, and goes on where it was")
    func pause() throws {
        let disk = MemoryBlockBackend(capacity: 1 << 20)
        let rig = try Self.rig(disk)
        disk.verdict = { _ in .hold }
        let first = rig.offer(CDB.flush)
        rig.kick()
        rig.adapter.pause()
        #expect(rig.collect().map(\.context) == [first])
        disk.verdict = nil
        let second = rig.offer(CDB.flush)
        rig.kick()
        #expect(rig.collect().isEmpty)
        rig.adapter.resume()
        #expect(rig.collect().map(\.context) == [second])
    }

    @Test("errors of the storage reach the driver as sense")
    func errors() throws {
        let disk = MemoryBlockBackend(capacity: 1 << 20)
        let rig = try Self.rig(disk)
        let buffer = rig.heap.allocate(512)
        for (status, sense): (BlockStatus, [UInt8]) in [(.failed, [3, 0x11, 0]), (.noSpace, [7, 0x27, 7])] {
            disk.verdict = { _ in .end(status) }
            let answer = rig.run(CDB.read10(0, 1), .toHost, data: buffer, count: 512)
            #expect(answer == PVSCSIRig.Answer(status: 2, sense: sense))
        }
    }

    @Test("ranges to unmap are worked off one after another")
    func unmap() throws {
        let disk = MemoryBlockBackend(capacity: 1 << 20)
        disk.keepsLog = true
        let rig = try Self.rig(disk)
        var list: [UInt8] = [0, 38, 0, 32, 0, 0, 0, 0]
        for block: UInt8 in [8, 64] { list += [0, 0, 0, 0, 0, 0, 0, block, 0, 0, 0, 16, 0, 0, 0, 0] }
        let buffer = rig.heap.place(list)
        let cdb: [UInt8] = [0x42, 0, 0, 0, 0, 0, 0, 0, 40, 0]
        #expect(rig.run(cdb, .toDevice, data: buffer, count: 40) == PVSCSIRig.Answer(count: 40))
        #expect(disk.log == [.discard, .discard])
    }

    @Test("disks come and go while the guest runs, which is told by messages")
    func hotPlug() throws {
        let rig = try PVSCSIRig([.disk(MemoryBlockBackend(capacity: 1 << 20))])
        rig.start()
        let disk = MemoryBlockBackend(capacity: 2 << 20)
        try rig.adapter.attach(.disk(disk), target: 15)
        #expect(rig.read(0x100c) == 4)
        #expect(rig.interrupts.events[0].drain() == 1)
        #expect(rig.index(128) == 1)
        #expect(rig.heap.bytes(12, at: rig.messages[0]) == [0, 0, 0, 0, 0, 0, 0, 0, 15, 0, 0, 0])
        #expect(rig.run(CDB.testUnitReady, target: 15) == Self.good)
        disk.verdict = { _ in .stall }
        let context = rig.offer(CDB.flush, target: 15)
        rig.kick()
        rig.adapter.detach(target: 15)
        #expect(rig.collect().map(\.context) == [context])
        #expect(rig.heap.bytes(12, at: rig.messages[0] + 128) == [1, 0, 0, 0, 0, 0, 0, 0, 15, 0, 0, 0])
        #expect(rig.run(CDB.testUnitReady, target: 15) == PVSCSIRig.Answer(host: 0x11))
        #expect(disk.queues.isEmpty)
        // A driver that takes no messages loses those for which there is no room.
        for _ in 0..<40 {
            try rig.adapter.attach(.disk(disk), target: 15)
            rig.adapter.detach(target: 15)
        }
        #expect(rig.index(128) == 32)
    }

    @Test("a disk that grew tells its driver")
    func resize() throws {
        let disk = MemoryBlockBackend(capacity: 1 << 20)
        let rig = try Self.rig(disk)
        disk.resize(to: 1 << 19)
        #expect(rig.run(CDB.testUnitReady)?.sense == [6, 0x2a, 9])
        #expect(rig.fetch(CDB.readCapacity, count: 8).1 == [0, 0, 3, 255, 0, 0, 2, 0])
    }

    @Test("a CD is exchanged while the guest runs; one that is locked in is asked for; the tray is told of")
    func discs() throws {
        func disc(_ mark: UInt8) -> MemoryBlockBackend {
            let disc = MemoryBlockBackend(capacity: 100 * 2048, logicalBlock: 512, isReadOnly: true)
            disc.bytes[2048] = mark
            return disc
        }
        let rig = try PVSCSIRig([nil, .cd(disc(1), serial: "1")])
        rig.start()
        #expect(rig.fetch(CDB.read10(1, 1), count: 2048, target: 1).1.first == 1)
        #expect(try rig.adapter.changeMedium(port: 1, to: disc(2)))
        #expect(rig.run(CDB.testUnitReady, target: 1)?.sense == [6, 0x28, 0])
        #expect(rig.fetch(CDB.read10(1, 1), count: 2048, target: 1).1.first == 2)
        #expect(rig.run([0x1e, 0, 0, 0, 1, 0], target: 1) == Self.good)
        #expect(try !rig.adapter.changeMedium(port: 1, to: nil))
        #expect(try rig.adapter.changeMedium(port: 1, to: nil, force: true))
        #expect(rig.run(CDB.testUnitReady, target: 1)?.sense == [2, 0x3a, 0])
        #expect(try rig.adapter.changeMedium(port: 1, to: disc(3), force: true))
        #expect(rig.run(CDB.testUnitReady, target: 1)?.sense == [6, 0x28, 0])
        #expect(rig.run([0x1e, 0, 0, 0, 0, 0], target: 1) == Self.good)
        #expect(rig.run([0x1b, 0, 0, 0, 2, 0], target: 1) == Self.good)
        #expect(rig.run(CDB.testUnitReady, target: 1)?.sense == [2, 0x3a, 0])
        #expect(rig.run([0x1b, 0, 0, 0, 3, 0], target: 1) == Self.good)
        #expect(rig.log.lines == ["tray 1 out", "tray 1 in"])
    }

    @Test(
        "doorbells are bound where the adapter is mapped, and on a loop over a real file everything is written and read"
    )
    func file() throws {
        let loop = try EventLoop(name: "io-0")
        try loop.start()
        defer { loop.stop() }
        try withFileDisk { backend in
            let rig = try PVSCSIRig([.disk(backend)], loop: loop)
            rig.start()
            rig.configure(4, 2, 0x0006)
            let base = rig.configuration(0x10, 4) & ~0xf
            #expect(rig.binder.places == [.memory(base + 0x3014), .memory(base + 0x4018)])
            for round in 0..<8 {
                let data = pattern(64 << 10, seed: round)
                let buffer = rig.heap.place(data)
                let write = rig.run(
                    CDB.write10(UInt32(round * 128), 128), .toDevice, data: buffer, count: UInt64(data.count))
                #expect(write == PVSCSIRig.Answer(count: UInt64(data.count)))
            }
            for round in 0..<8 {
                let (_, bytes) = rig.fetch(CDB.read10(UInt32(round * 128), 128), count: 64 << 10)
                #expect(bytes == pattern(64 << 10, seed: round))
            }
            // A reset waits for what is under way.
            for _ in 0..<16 { rig.offer(CDB.flush) }
            rig.kick()
            rig.command(1)
            rig.start()
            #expect(rig.run(CDB.testUnitReady) == Self.good)
            rig.adapter.close()
        }
    }
}
