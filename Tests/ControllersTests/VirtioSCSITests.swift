import BlockTestSupport
import DeviceModel
import GuestMemory
import Linux
import Testing
import Virtio
import VirtioTestSupport

@testable import Controllers

/// A machine with a virtio SCSI host, and a guest's driver for it.
private final class VirtioSCSIRig {
    /// How a request ended.
    struct Answer: Equatable {
        var response: UInt8 = 0
        var status: UInt8 = 0
        var residual: UInt32 = 0
        /// Key, code and qualifier, if there is sense.
        var sense: [UInt8] = []
        /// Bytes that were written, the response included.
        var written: UInt32 = 108
    }

    let memory: GuestMemory
    let heap: GuestHeap
    let interrupts: TestInterrupts
    let log = TestLog()
    let device: VirtioSCSI
    let function: VirtioPCIFunction
    let driver: VirtioDriver
    let isThreaded: Bool
    var rings: [any RingDriver] = []
    private var responses: [UInt16: GuestAddress] = [:]
    private var tag: UInt64 = 0

    init(_ drives: [SCSIDrive?], loop: EventLoop? = nil, queues: Int = 1) throws {
        memory = try GuestMemory(count: 16 << 20)
        heap = GuestHeap(memory)
        isThreaded = loop != nil
        let log = log
        device = try VirtioSCSI(drives, ram: memory.ram, loop: loop, queueCount: queues, log: { log.add($0) })
        interrupts = try TestInterrupts(queues + 3)
        function = VirtioPCIFunction(
            device, interrupts: interrupts, binder: nil, control: loop, log: { log.add($0) })
        driver = VirtioDriver(function, heap)
    }

    deinit { function.close() }

    func start(_ features: VirtioFeatures? = nil, size: Int = 64) {
        driver.negotiate((features ?? device.features).subtracting(.packedRing))
        rings = device.queues.indices.map { driver.setUpQueue($0, size: size) }
        driver.start()
    }

    func kick(_ queue: Int = 2) {
        driver.kick(queue)
        guard !isThreaded else { return }
        for queue in device.queues where queue.doorbell.drain() > 0 { queue.ready(.readable) }
    }

    private static func address(_ target: UInt8, _ unit: UInt8) -> [UInt8] { [1, target, 0x40, unit, 0, 0, 0, 0] }

    private static func bytes(_ value: UInt64, _ count: Int) -> [UInt8] {
        (0..<count).map { UInt8(truncatingIfNeeded: value >> (8 * UInt64($0))) }
    }

    /// Offers a request without a kick.
    @discardableResult
    func offer(
        _ cdb: [UInt8], target: UInt8 = 0, unit: UInt8 = 0, out: [(GuestAddress, Int)] = [],
        in pieces: [(GuestAddress, Int)] = [], queue: Int = 2, split: Bool = false
    ) -> UInt64 {
        tag += 1
        let header =
            Self.address(target, unit) + Self.bytes(tag, 8) + [0, 0, 0] + cdb
            + [UInt8](repeating: 0, count: 32 - cdb.count)
        let request = heap.place(header)
        let response = heap.allocate(108)
        var buffers =
            split
            ? [Buffer(request, 20, writable: false), Buffer(request + 20, 31, writable: false)]
            : [Buffer(request, 51, writable: false)]
        buffers += out.map { Buffer($0.0, $0.1, writable: false) }
        buffers +=
            split
            ? [Buffer(response, 5, writable: true), Buffer(response + 5, 103, writable: true)]
            : [Buffer(response, 108, writable: true)]
        buffers += pieces.map { Buffer($0.0, $0.1, writable: true) }
        if let token = rings[queue].offer(buffers) { responses[token] = response }
        return tag
    }

    func collect(queue: Int = 2) -> [Answer] {
        rings[queue].collect().map { completion in
            let bytes = heap.bytes(108, at: responses[completion.token] ?? 0)
            return Answer(
                response: bytes[11], status: bytes[10],
                residual: (4..<8).reversed().reduce(0) { $0 << 8 | UInt32(bytes[$1]) },
                sense: bytes[0] == 18 ? [bytes[14], bytes[24], bytes[25]] : [], written: completion.written)
        }
    }

    func run(
        _ cdb: [UInt8], target: UInt8 = 0, unit: UInt8 = 0, out: [(GuestAddress, Int)] = [],
        in pieces: [(GuestAddress, Int)] = [], queue: Int = 2, split: Bool = false
    ) -> Answer? {
        offer(cdb, target: target, unit: unit, out: out, in: pieces, queue: queue, split: split)
        kick(queue)
        while true {
            if let answer = collect(queue: queue).first { return answer }
            if !isThreaded { return nil }
        }
    }

    /// Gives a task management request.
    func task(_ kind: UInt64, target: UInt8 = 0, unit: UInt8 = 0, tag: UInt64 = 0) -> UInt8? {
        let request = heap.place([0, 0, 0, 0] + Self.bytes(kind, 4) + Self.address(target, unit) + Self.bytes(tag, 8))
        let response = heap.place([0xff])
        _ = rings[0].offer([Buffer(request, 24, writable: false), Buffer(response, 1, writable: true)])
        kick(0)
        return rings[0].collect().first.map { _ in heap.bytes(1, at: response)[0] }
    }

    /// Offers a buffer for events.
    func awaitEvent() -> GuestAddress {
        let buffer = heap.allocate(16)
        _ = rings[1].offer([Buffer(buffer, 16, writable: true)])
        kick(1)
        return buffer
    }
}

@Suite("The virtio SCSI host")
struct VirtioSCSITests {
    private static let good = VirtioSCSIRig.Answer()

    @Test("what is written can be read, with requests in any number of buffers", arguments: [false, true])
    func roundTrip(split: Bool) throws {
        let disk = MemoryBlockBackend(capacity: 4 << 20)
        let rig = try VirtioSCSIRig([.disk(disk)])
        rig.start()
        let data = pattern(40 * 512, seed: 3)
        let pieces = (0..<40).map { (rig.heap.place(Array(data[$0 * 512..<($0 + 1) * 512]), alignment: 1024), 512) }
        #expect(rig.run(CDB.write10(7, 40), out: pieces, split: split) == Self.good)
        #expect(Array(disk.bytes[7 * 512..<47 * 512]) == data)
        let buffer = rig.heap.allocate(data.count)
        let answer = rig.run(CDB.read10(7, 40), in: [(buffer, data.count)], split: split)
        #expect(answer == VirtioSCSIRig.Answer(written: 108 + UInt32(data.count)))
        #expect(rig.heap.bytes(data.count, at: buffer) == data)
    }

    @Test("targets, units, buffers and media that are not there are told")
    func errors() throws {
        let rig = try VirtioSCSIRig([.disk(MemoryBlockBackend(capacity: 1 << 20)), .cd(nil, serial: "1")])
        rig.start()
        let buffer = rig.heap.allocate(4096)
        #expect(rig.run(CDB.inquiry(36), target: 2, in: [(buffer, 36)])?.response == 3)
        #expect(rig.run(CDB.testUnitReady, target: 1)?.sense == [2, 0x3a, 0])
        #expect(rig.run(CDB.testUnitReady, unit: 1)?.sense == [5, 0x25, 0])
        #expect(rig.run(CDB.read10(0, 2), in: [(buffer, 512)])?.response == 1)
        #expect(rig.run(CDB.read10(0, 1), out: [(buffer, 512)])?.response == 1)
        #expect(
            rig.run(CDB.inquiry(36), in: [(buffer, 100)]) == VirtioSCSIRig.Answer(residual: 64, written: 108 + 36))
        #expect(rig.driver.status & 0x40 == 0)
        // A request without room for a response cannot be answered.
        _ = rig.rings[2].offer([Buffer(buffer, 51, writable: false), Buffer(buffer, 107, writable: true)])
        rig.kick()
        #expect(rig.driver.status & 0x40 != 0)
        rig.start()
        #expect(rig.run(CDB.testUnitReady) == Self.good)
    }

    @Test("a driver chooses the lengths of commands and sense data")
    func sizes() throws {
        let rig = try VirtioSCSIRig([.cd(nil, serial: "1")])
        rig.driver.negotiate(rig.device.features.subtracting(.packedRing))
        rig.driver.write(VirtioDriver.Register.configuration + 20, 4, 4)
        rig.driver.write(VirtioDriver.Register.configuration + 24, 4, 6)
        rig.rings = rig.device.queues.indices.map { rig.driver.setUpQueue($0, size: 16) }
        rig.driver.start()
        let request = rig.heap.place([1, 0, 0x40, 0, 0, 0, 0, 0] + [UInt8](repeating: 0, count: 17))
        let response = rig.heap.allocate(16)
        _ = rig.rings[2].offer([Buffer(request, 25, writable: false), Buffer(response, 16, writable: true)])
        rig.kick()
        #expect(rig.rings[2].collect().map(\.written) == [16])
        #expect(rig.heap.bytes(16, at: response) == [4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2, 0, 0x70, 0, 2, 0])
    }

    @Test("more requests than the host works on at once, over several queues, are all served")
    func starved() throws {
        let disk = MemoryBlockBackend(capacity: 1 << 20)
        let rig = try VirtioSCSIRig([.disk(disk)], queues: 2)
        rig.start(size: 256)
        disk.verdict = { _ in .hold }
        for queue in 2...3 {
            for _ in 0..<120 { rig.offer(CDB.flush, queue: queue) }
            rig.kick(queue)
        }
        #expect(disk.queues[0].heldCount == 240)
        disk.verdict = nil
        disk.queues[0].releaseHeld()
        #expect(rig.collect(queue: 2).count == 120)
        #expect(rig.collect(queue: 3).count == 120)
    }

    @Test("task management aborts one request, finds others, and resets targets")
    func tasks() throws {
        let disk = MemoryBlockBackend(capacity: 1 << 20)
        let rig = try VirtioSCSIRig([.disk(disk)])
        rig.start()
        disk.verdict = { _ in .stall }
        let tags = (0..<3).map { _ in rig.offer(CDB.flush) }
        rig.kick()
        #expect(rig.task(6, tag: tags[1]) == 10)
        #expect(rig.task(0, tag: tags[1]) == 0)
        #expect(rig.collect().map(\.response) == [2])
        #expect(rig.task(6, tag: tags[1]) == 0)
        #expect(rig.task(5) == 0)
        #expect(rig.collect().map(\.response) == [4, 4])
        #expect(rig.task(0, target: 3) == 3)
        #expect(rig.task(0, unit: 3) == 12)
        #expect(rig.task(2) == 11)
        disk.verdict = nil
        #expect(rig.run(CDB.testUnitReady)?.sense == [6, 0x29, 0])
    }

    @Test("a reset forgets what waits because the storage is full")
    func reset() throws {
        let disk = MemoryBlockBackend(capacity: 1 << 20)
        let rig = try VirtioSCSIRig([.disk(disk)])
        rig.start()
        disk.verdict = { _ in .stall }
        for _ in 0..<20 { rig.offer(CDB.flush) }
        rig.kick()
        #expect(disk.queues[0].stalledCount == 20)
        rig.start()
        #expect(disk.queues[0].stalledCount == 0)
        disk.verdict = nil
        for _ in 0..<300 { #expect(rig.run(CDB.flush) == Self.good) }
    }

    @Test("a driver is told of disks that come, go and grow, once it has buffers for that")
    func events() throws {
        let disk = MemoryBlockBackend(capacity: 1 << 20)
        let rig = try VirtioSCSIRig([.disk(disk)])
        rig.start()
        let first = rig.awaitEvent()
        try rig.device.attach(.cd(nil, serial: "1"), target: 9)
        #expect(rig.rings[1].collect().map(\.written) == [16])
        #expect(rig.heap.bytes(16, at: first) == [1, 0, 0, 0, 1, 9, 0x40, 0, 0, 0, 0, 0, 1, 0, 0, 0])
        rig.device.detach(target: 9)
        disk.resize(to: 1 << 19)
        let second = rig.awaitEvent()
        let third = rig.awaitEvent()
        #expect(rig.rings[1].collect().count == 2)
        #expect(rig.heap.bytes(16, at: second)[12] == 2)
        #expect(rig.heap.bytes(16, at: third) == [3, 0, 0, 0, 1, 0, 0x40, 0, 0, 0, 0, 0, 0x2a, 9, 0, 0])
    }

    @Test("a paused host has nothing in flight and takes nothing, and goes on where it was")
    func pause() throws {
        let disk = MemoryBlockBackend(capacity: 1 << 20)
        let rig = try VirtioSCSIRig([.disk(disk)])
        rig.start()
        disk.verdict = { _ in .hold }
        rig.offer(CDB.flush)
        rig.kick()
        rig.function.pause()
        #expect(rig.collect() == [Self.good])
        disk.verdict = nil
        rig.offer(CDB.flush)
        rig.kick()
        #expect(rig.collect().isEmpty)
        rig.function.resume()
        #expect(rig.collect() == [Self.good])
    }

    @Test("on a loop over a real file everything is written and read", .timeLimit(.minutes(1)))
    func file() throws {
        let loop = try EventLoop(name: "io-0")
        try loop.start()
        defer { loop.stop() }
        try withFileDisk { backend in
            let rig = try VirtioSCSIRig([.disk(backend)], loop: loop, queues: 2)
            rig.start()
            for round in 0..<8 {
                let buffer = rig.heap.place(pattern(64 << 10, seed: round))
                #expect(
                    rig.run(CDB.write10(UInt32(round * 128), 128), out: [(buffer, 64 << 10)], queue: 2 + round % 2)
                        == Self.good)
            }
            for round in 0..<8 {
                let buffer = rig.heap.allocate(64 << 10)
                _ = rig.run(CDB.read10(UInt32(round * 128), 128), in: [(buffer, 64 << 10)])
                #expect(rig.heap.bytes(64 << 10, at: buffer) == pattern(64 << 10, seed: round))
            }
            rig.function.close()
        }
    }
}
