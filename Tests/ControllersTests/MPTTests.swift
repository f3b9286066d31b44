import BlockTestSupport
import DeviceModel
import GuestMemory
import Linux
import Testing
import VirtioTestSupport

@testable import Controllers

@Suite("LSI Logic's controllers")
struct MPTTests {
    private static let models: [MPTModel] = [.parallel, .sas]
    private static let notReady = MPTRig.Answer(status: 2, state: 1, count: 0, sense: [2, 0x3a, 0])

    private static func rig(_ disk: MemoryBlockBackend, _ model: MPTModel = .parallel) throws -> MPTRig {
        let rig = try MPTRig(model, [.disk(disk)])
        rig.start()
        return rig
    }

    @Test("the function is LSI Logic's, VMware's make, with registers as ports and in memory", arguments: models)
    func function(model: MPTModel) throws {
        let rig = try MPTRig(model, [nil])
        #expect(rig.configuration(0, 4) == (model == .parallel ? 0x0030_1000 : 0x0054_1000))
        #expect(rig.configuration(0x2c, 4) == 0x1976_15ad)
        #expect(rig.configuration(0x10, 1) & 1 == 1)
        #expect(rig.state == 1)
        #expect(rig.read(0, bar: 0) == rig.read(0))
        #expect(rig.read(0x44) == .max)
        #expect(rig.read(0x34) == 9)
    }

    @Test("the handshake tells facts and initialises; a reset of messages makes it ready again", arguments: models)
    func handshake(model: MPTModel) throws {
        let rig = try MPTRig(model, [nil])
        let facts = rig.handshake([0x0300_0000, 0, 0x1234])
        try #require(facts.count == 80)
        #expect(facts[0..<12] == [5, 1, 20, 3, 0, 0, 0, 0, 0x34, 0x12, 0, 0])
        #expect(facts[30..<32] == (model == .parallel ? [0x04, 0x01] : [0x02, 0x21]))
        #expect(facts[36..<39] == [0, 1, 1])
        let port = rig.handshake([0x0500_0000, 0, 1])
        try #require(port.count == 40)
        #expect(port[21] == (model == .parallel ? 1 : 0x30))
        #expect(port[26] == 9)
        let reply = rig.start()
        #expect(reply.count == 20)
        #expect(reply[14..<16] == [0, 0])
        #expect(rig.state == 2)
        #expect(rig.read(0) >> 24 & 7 == 2)
        // A function that there is not.
        #expect(rig.handshake([0x1200_0000, 0, 1])[14..<16] == [1, 0])
        rig.write(0, 0x40 << 24)
        #expect(rig.state == 1)
    }

    @Test("the diagnostic register takes a reset after its keys only")
    func diagnostic() throws {
        let rig = try MPTRig(.parallel, [nil])
        rig.start()
        rig.write(8, 4)
        #expect(rig.state == 2)
        for key: UInt32 in [0xff, 4, 11, 2, 7, 13] { rig.write(4, key) }
        #expect(rig.read(8) == 0x80)
        rig.write(8, 4)
        #expect(rig.state == 1)
        rig.write(4, 0xf)
        #expect(rig.read(8) == 0)
    }

    @Test("a BIOS that gives and reads without waiting, and has room for four bytes of a reply, reads a disk")
    func bios() throws {
        let disk = MemoryBlockBackend(capacity: 1 << 20)
        disk.bytes[512] = 77
        let rig = try MPTRig(.parallel, [.disk(disk)])
        rig.write(0, 0x40 << 24, bar: 0)
        rig.write(0x34, 9, bar: 0)
        rig.write(0x30, 0, bar: 0)
        rig.write(0, 0x42 << 24 | 6 << 16, bar: 0)
        for word: UInt32 in [0x0200_0002, 0x0001_0800, 0, 4, 0, 0] { rig.write(0, word, bar: 0) }
        for _ in 0..<10 { _ = rig.read(0, bar: 0) }
        rig.write(0x30, 0, bar: 0)
        let small = rig.heap.allocate(4)
        rig.write(0x44, UInt32(small), bar: 0)
        let buffer = rig.heap.allocate(512)
        let context = rig.offer(CDB.read10(1, 1), .toHost, [(buffer, 512)])
        #expect(rig.read(0x30, bar: 0) & 8 != 0)
        #expect(rig.read(0x44, bar: 0) == context)
        #expect(rig.read(0x44, bar: 0) == .max)
        #expect(rig.read(0x30, bar: 0) & 8 == 0)
        #expect(rig.heap.bytes(1, at: buffer) == [77])
        rig.offer(CDB.read10(1, 1), target: 3, .toHost, [(buffer, 512)])
        #expect(rig.read(0x44, bar: 0) == UInt32(small) >> 1 | 1 << 31)
    }

    @Test("a disk tells what it is; targets and units that are not there say so", arguments: models)
    func identity(model: MPTModel) throws {
        let disk = MemoryBlockBackend(capacity: 1 << 20, identity: "serial-1")
        let rig = try MPTRig(model, [.disk(disk), nil, .cd(nil, serial: "1")])
        rig.start()
        let (answer, data) = rig.fetch(CDB.inquiry(36), count: 36)
        #expect(answer == .good)
        #expect(String(decoding: data[8..<32], as: UTF8.self) == "VMware  Virtual disk    ")
        // What is shorter than the buffer tells its length.
        #expect(rig.fetch(CDB.reportLUNs(255), count: 255).0 == MPTRig.Answer(controller: 0x45, count: 16))
        #expect(rig.run(CDB.testUnitReady, target: 2) == Self.notReady)
        for target: UInt8 in [1, 7, 16, 255] {
            #expect(rig.run(CDB.testUnitReady, target: target) == MPTRig.Answer(state: 4, controller: 0x43, count: 0))
        }
        #expect(rig.run(CDB.testUnitReady, bus: 1) == MPTRig.Answer(state: 4, controller: 0x41, count: 0))
        #expect(rig.fetch(CDB.inquiry(36), count: 36, unit: 1).1.first == 0x7f)
        #expect(rig.run(CDB.testUnitReady, unit: 1)?.sense == [5, 0x25, 0])
    }

    @Test(
        "what is written can be read, from memory in one piece or many, by chains of either form",
        arguments: [false, true])
    func roundTrip(wide: Bool) throws {
        let disk = MemoryBlockBackend(capacity: 4 << 20)
        let rig = try Self.rig(disk)
        let data = pattern(200 * 512, seed: 3)
        let pieces = (0..<200).map { (rig.heap.place(Array(data[$0 * 512..<($0 + 1) * 512]), alignment: 1024), 512) }
        #expect(rig.run(CDB.write10(7, 200), .toDevice, pieces, wide: wide, perChain: 13) == .good)
        #expect(Array(disk.bytes[7 * 512..<207 * 512]) == data)
        let (read, bytes) = rig.fetch(CDB.read10(7, 200), count: data.count)
        #expect(read == .good)
        #expect(bytes == data)
        #expect(rig.run(CDB.flush) == .good)
    }

    @Test("requests that make no sense end with the controller's error, and nothing is moved")
    func senseless() throws {
        let disk = MemoryBlockBackend(capacity: 1 << 20)
        disk.keepsLog = true
        let rig = try Self.rig(disk)
        let buffer = rig.heap.allocate(4096, alignment: 4096)
        let invalid = MPTRig.Answer(state: 4, controller: 3, count: 0)
        let overrun = MPTRig.Answer(state: 4, controller: 0x44, count: 0)
        #expect(rig.run(CDB.read10(0, 1), .toHost, [(0xf000_0000, 512)]) == invalid)
        #expect(rig.run(CDB.read10(0, 1), .toHost, [(1 << 40, 512)], wide: true) == invalid)
        #expect(rig.run(CDB.read10(0, 1), .toHost, [(buffer, 256)], length: 512) == invalid)
        #expect(rig.run(CDB.read10(0, 1), .toHost, [(buffer, 0)], length: 512) == invalid)
        #expect(rig.run(CDB.read10(0, 2), .toHost, [(buffer, 512)]) == overrun)
        #expect(rig.run(CDB.read10(0, 1), .toDevice, [(buffer, 512)]) == overrun)
        #expect(rig.run(CDB.write10(0, 1)) == overrun)
        #expect(disk.log == [])
        #expect(rig.run(CDB.read10(2047, 2), .toHost, [(buffer, 1024)])?.sense == [5, 0x21, 0])
    }

    @Test("messages outside of memory, or before the initialisation, stop the controller until it is reset")
    func fault() throws {
        let rig = try MPTRig(.parallel, [.disk(MemoryBlockBackend(capacity: 1 << 20))])
        rig.offer(CDB.testUnitReady)
        #expect(rig.state == 4)
        #expect(rig.log.lines.count == 1)
        rig.start()
        #expect(rig.run(CDB.testUnitReady) == .good)
        rig.write(0x40, 0xffff_fff0)
        #expect(rig.state == 4)
        rig.start()
        #expect(rig.run(CDB.testUnitReady) == .good)
    }

    @Test(
        "requests run together; those that end together are told with one interrupt, by message or wire",
        arguments: [true, false])
    func batch(usesMessages: Bool) throws {
        let disk = MemoryBlockBackend(capacity: 1 << 20)
        let rig = try MPTRig(.sas, [.disk(disk)])
        rig.start(messages: usesMessages)
        _ = rig.interrupts.events[0].drain()
        disk.verdict = { _ in .hold }
        let contexts = (0..<32).map { number in
            rig.offer(
                CDB.write10(UInt32(number), 1), .toDevice,
                [(rig.heap.place([UInt8](repeating: UInt8(number), count: 512)), 512)])
        }
        #expect(rig.collect().isEmpty)
        #expect(!rig.line.isRaised)
        disk.queues[0].releaseHeld(reversed: true)
        #expect(rig.interrupts.events[0].drain() == (usesMessages ? 1 : 0))
        #expect(rig.line.isRaised == !usesMessages)
        #expect(rig.collect().map(\.context) == contexts.reversed())
        #expect(!rig.line.isRaised)
    }

    @Test("replies wait for memory to be handed over")
    func frames() throws {
        let rig = try MPTRig(.parallel, [.disk(MemoryBlockBackend(capacity: 1 << 20))])
        rig.start(replies: 1, events: false)
        let contexts = (0..<20).map { _ in rig.offer(CDB.testUnitReady, target: 1) }
        var answers = rig.collect()
        while answers.count < 20, case let more = rig.collect(), !more.isEmpty { answers += more }
        #expect(answers.map(\.context) == contexts)
    }

    @Test("a driver that gives no memory for replies is not served without end, and again once it does")
    func noFrames() throws {
        let rig = try MPTRig(.parallel, [.disk(MemoryBlockBackend(capacity: 1 << 20))])
        rig.start(replies: 0, events: false)
        for _ in 0..<500 { rig.offer(CDB.testUnitReady, target: 1) }
        #expect(rig.state == 2)
        #expect(rig.collect().isEmpty)
        for _ in 0..<16 { rig.write(0x44, UInt32(rig.heap.allocate(128, alignment: 128))) }
        var count = 0
        while case let more = rig.collect(), !more.isEmpty { count += more.count }
        #expect(count == 500)
        // Task management by the doorbell, without end.
        rig.start(replies: 0, events: false)
        for _ in 0..<1100 {
            rig.write(0, 0x42 << 24 | 13 << 16)
            for word: UInt32 in [0x0100_0000, 0x0300, 1] + [UInt32](repeating: 0, count: 10) { rig.write(0, word) }
        }
        #expect(rig.state == 4)
        rig.start()
        #expect(rig.run(CDB.testUnitReady) == .good)
    }

    @Test("a reset of messages forgets requests, also those that wait because the storage is full")
    func reset() throws {
        let disk = MemoryBlockBackend(capacity: 1 << 20)
        let rig = try Self.rig(disk)
        disk.verdict = { _ in .stall }
        for _ in 0..<20 { rig.offer(CDB.flush) }
        #expect(disk.queues[0].stalledCount == 20)
        rig.write(0, 0x40 << 24)
        #expect(disk.queues[0].stalledCount == 0)
        disk.verdict = nil
        rig.start()
        for _ in 0..<300 { #expect(rig.run(CDB.flush) == .good) }
    }

    @Test("task management by doorbell and queue: aborts one request, resets a target, resets the bus")
    func tasks() throws {
        let disks = [MemoryBlockBackend(capacity: 1 << 20), MemoryBlockBackend(capacity: 1 << 20)]
        let rig = try MPTRig(.parallel, [.disk(disks[0]), .disk(disks[1])])
        rig.start()
        for disk in disks { disk.verdict = { _ in .stall } }
        let contexts = (0..<4).map { rig.offer(CDB.flush, target: UInt8($0 / 3)) }
        func task(_ kind: UInt32, target: UInt32 = 0, context: UInt32 = 0) -> [UInt32] {
            [0x0100_0000 | target, kind << 8, 0x99, 0, 0, 0, 0, 0, 0, 0, 0, 0, context]
        }
        func give(_ words: [UInt32]) -> [UInt8] {
            rig.messages = []
            let frame = rig.heap.allocate(128, alignment: 128)
            for (index, word) in words.enumerated() { rig.memory.ram.store(word, at: frame + UInt64(4 * index)) }
            rig.write(0x40, UInt32(frame))
            return []
        }
        let ended = MPTRig.Answer(state: 12, controller: 0x48, count: 0)
        rig.messages = []
        rig.write(0, 0x42 << 24 | 13 << 16)
        for word in task(1, context: contexts[1]) { rig.write(0, word) }
        var answers = rig.collect()
        #expect(answers.map(\.context) == [contexts[1]])
        #expect(answers.first?.1 == ended)
        #expect(rig.messages.first?[20] == 1)
        #expect(rig.read(0) & 0x0800_0000 == 0)
        _ = give(task(7, context: contexts[0]))
        _ = rig.collect()
        #expect(rig.messages.first?[4] == 8)
        _ = give(task(3))
        answers = rig.collect()
        #expect(answers.map(\.context) == [contexts[0], contexts[2]])
        _ = give(task(4))
        #expect(rig.collect().map(\.context) == [contexts[3]])
        #expect(rig.messages.count == 1)
        for disk in disks { disk.verdict = nil }
        #expect(rig.run(CDB.testUnitReady)?.sense == [6, 0x29, 0])
        #expect(rig.run(CDB.testUnitReady) == .good)
        _ = give(task(1, target: 9))
        _ = rig.collect()
        #expect(rig.messages.first?[14] == 0x43)
    }

    @Test("the parallel controller's pages: the port, and what each target negotiates, which can be written")
    func parallelPages() throws {
        let rig = try MPTRig(.parallel, [nil])
        rig.start()
        for (kind, number, words): (UInt32, UInt32, Int) in [
            (9, 0, 19), (0, 2, 8), (1, 0, 7), (1, 1, 4), (1, 2, 3), (1, 4, 2), (3, 0, 3), (3, 1, 4), (3, 2, 19),
            (4, 0, 3), (4, 1, 4),
        ] {
            let (status, reply, bytes) = rig.page(kind, number)
            #expect(status == 0)
            #expect(Int(reply[21]) == words)
            #expect(bytes.count == 4 * words && bytes[2] == UInt8(number) && bytes[3] == UInt8(kind))
            #expect(rig.page(kind, number, action: 0).reply[20..<24] == bytes[0..<4])
        }
        #expect(rig.page(3, 0).bytes[4..<8] == [7, 8, 0x7f, 0x20])
        #expect(rig.page(4, 1, address: 3, action: 2, bytes: [5, 4, 1, 4, 1, 2, 3, 4]).status == 0)
        #expect(rig.page(4, 0, address: 3).bytes[4..<8] == [1, 2, 3, 4])
        #expect(rig.page(4, 0, address: 16).status == 0x22)
        #expect(rig.page(3, 0, action: 2).status == 0x25)
        #expect(rig.page(3, 9).status == 0x22)
        #expect(rig.page(8, 0).status == 0x21)
        #expect(rig.page(0x12, 0).status == 0x21)
        #expect(rig.page(9, 0, action: 7).status == 0x20)
    }

    @Test("the SAS controller's pages: a phy to each target, and the devices one after another")
    func sasPages() throws {
        let disk = MemoryBlockBackend(capacity: 1 << 20)
        let rig = try MPTRig(.sas, [.disk(disk), nil, .cd(nil, serial: "1")])
        rig.start()
        let unit = rig.page(0x10, 0).bytes
        try #require(unit.count == 16 + 16 * 16)
        #expect(unit[12] == 16)
        #expect(unit[16..<28] == [0, 0, 0, 9, 0x41, 0, 0, 0, 17, 0, 1, 0])
        #expect(unit[32..<44] == [1, 0, 0, 0, 0x41, 0, 0, 0, 0, 0, 2, 0])
        #expect(rig.page(0x13, 0, address: 2).bytes[20..<22] == [19, 0])
        #expect(rig.page(0x13, 0, address: 16).status == 0x22)
        let device = rig.page(0x12, 0, address: 0x2000_0013).bytes
        try #require(device.count == 36)
        #expect(device[12..<20] == [3, 0, 0, 0, 0x60, 0x05, 0x05, 0x50])
        #expect(device[24..<28] == [19, 0, 2, 0])
        #expect(rig.page(0x12, 0, address: 0x1000_0000).bytes[24..<26] == [17, 0])
        #expect(rig.page(0x12, 0, address: 0x1000_0001).status == 0x22)
        // From one to the next: the controller at its phys, then the drives.
        var handles: [UInt8] = []
        var address: UInt32 = 0xffff
        while case let page = rig.page(0x12, 0, address: address), page.status == 0, handles.count < 40 {
            handles.append(page.bytes[24])
            address = UInt32(page.bytes[24])
        }
        #expect(handles == Array(1...16) + [17, 19])
        // There are no expanders.
        #expect(rig.page(0x11, 0, address: 0xffff).status == 0x21)
    }

    @Test("a driver of SAS is told of disks that come and go", arguments: models)
    func hotPlug(model: MPTModel) throws {
        let rig = try MPTRig(model, [.disk(MemoryBlockBackend(capacity: 1 << 20))])
        rig.start()
        rig.messages = []
        let disk = MemoryBlockBackend(capacity: 2 << 20)
        try rig.controller.attach(.disk(disk), target: 15)
        _ = rig.collect()
        if model == .sas {
            #expect(rig.messages.first?[20] == 0x0f)
            #expect(rig.messages.first?[28..<36] == [15, 0, 3, 0, 0, 0, 32, 0])
        } else {
            #expect(rig.messages.isEmpty)
        }
        #expect(rig.run(CDB.testUnitReady, target: 15) == .good)
        rig.controller.detach(target: 15)
        _ = rig.collect()
        if model == .sas { #expect(rig.messages.last?[30] == 4) }
        #expect(rig.run(CDB.testUnitReady, target: 15)?.controller == 0x43)
    }

    @Test("a paused controller has nothing in flight and takes nothing, and goes on where it was")
    func pause() throws {
        let disk = MemoryBlockBackend(capacity: 1 << 20)
        let rig = try Self.rig(disk)
        disk.verdict = { _ in .hold }
        let first = rig.offer(CDB.flush)
        rig.controller.pause()
        #expect(rig.collect().map(\.context) == [first])
        disk.verdict = nil
        let second = rig.offer(CDB.flush)
        #expect(rig.collect().isEmpty)
        rig.controller.resume()
        #expect(rig.collect().map(\.context) == [second])
    }

    @Test("on a loop over a real file everything is written and read", arguments: models)
    func file(model: MPTModel) throws {
        let loop = try EventLoop(name: "io-0")
        try loop.start()
        defer { loop.stop() }
        try withFileDisk { backend in
            let rig = try MPTRig(model, [.disk(backend)], loop: loop)
            rig.start()
            for round in 0..<8 {
                let buffer = rig.heap.place(pattern(64 << 10, seed: round))
                #expect(rig.run(CDB.write10(UInt32(round * 128), 128), .toDevice, [(buffer, 64 << 10)]) == .good)
            }
            for round in 0..<8 {
                let (_, bytes) = rig.fetch(CDB.read10(UInt32(round * 128), 128), count: 64 << 10)
                #expect(bytes == pattern(64 << 10, seed: round))
            }
            for _ in 0..<16 { rig.offer(CDB.flush) }
            rig.start()
            #expect(rig.run(CDB.testUnitReady) == .good)
            rig.controller.close()
        }
    }
}
