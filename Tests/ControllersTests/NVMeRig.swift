import BlockTestSupport
import CLinux
import DeviceModel
import GuestMemory
import Linux
import Synchronization
import VirtioTestSupport

@testable import Controllers

/// Lines a device logged.
final class TestLog: Sendable {
    private let text = Mutex<[String]>([])
    var lines: [String] { text.withLock { $0 } }
    func add(_ line: String) { text.withLock { $0.append(line) } }
}

/// Waits until an event is signalled; a lost interrupt ends the test.
func waitFor(_ event: EventFD) {
    while event.drain() == 0 {
        var poll = pollfd(fd: event.raw, events: Int16(POLLIN), revents: 0)
        precondition(CLinux.poll(&poll, 1, 20_000) == 1, "no interrupt came in 20 seconds")
    }
}

/// A machine with an NVMe controller, and a guest's driver for it.
final class NVMeRig {
    struct Completion: Equatable {
        var status: UInt16
        var result: UInt32
    }

    /// The driver's end of a pair of queues.
    final class Queue {
        let number: Int
        let size: Int
        let submission: GuestAddress
        let completion: GuestAddress
        var tail = 0
        var head = 0
        var phase: UInt16 = 1
        var nextIdentifier: UInt16 = 0
        /// What the doorbell buffers held at the last ring.
        var shadowTail: UInt16 = 0

        init(_ number: Int, _ size: Int, _ heap: GuestHeap) {
            self.number = number
            self.size = size
            submission = heap.allocate(size * 64, alignment: 4096)
            completion = heap.allocate(size * 16, alignment: 4096)
        }
    }

    let memory: GuestMemory
    let heap: GuestHeap
    let interrupts: TestInterrupts
    let line = TestLine()
    let binder = TestBinder()
    let log = TestLog()
    let controller: NVMeController
    let root: PCIRoot
    let slot: PCIAddress
    /// Waits for the vector's event; else everything is done in place.
    let isThreaded: Bool
    private(set) var admin: Queue
    /// The pages of shadow doorbells, once set up.
    var buffers: (values: GuestAddress, events: GuestAddress)?
    /// How often the driver really rang.
    var rings = 0
    private var early: [Int: [(UInt16, Completion)]] = [:]

    init(
        _ backends: [any BlockBackend], loops: [EventLoop?] = [nil], control: EventLoop? = nil, queues: Int = 2,
        bytes: Int = 32 << 20
    ) throws {
        memory = try GuestMemory(count: bytes)
        heap = GuestHeap(memory)
        interrupts = try TestInterrupts(queues + 1)
        isThreaded = control != nil
        let log = log
        controller = try NVMeController(
            backends, ram: memory.ram, loops: loops, queueCount: queues, interrupts: interrupts, binder: binder,
            control: control, log: { log.add($0) })
        root = PCIRoot(
            ports: .ports(), memory: .memory(),
            windows: PCIWindows(
                ports: 0xc000...0xcfff, memory32: 0xc000_0000...0xc0ff_ffff, memory64: 0x2_0000_0000...0x2_00ff_ffff),
            interruptLines: [SharedInterruptLine(line)])
        slot = try root.plug(controller)
        admin = Queue(0, 32, heap)
    }

    deinit { controller.close() }

    // MARK: Registers

    func read(_ offset: UInt64, _ width: Int = 4) -> UInt64 { controller.read(region: 0, offset: offset, width: width) }
    func write(_ offset: UInt64, _ value: UInt64, _ width: Int = 4) {
        controller.write(region: 0, offset: offset, width: width, value: value)
    }

    func configure(_ offset: UInt64, _ width: Int, _ value: UInt64) {
        root.write(
            region: PCIRoot.ecamRegion, offset: UInt64(slot.routing) << 12 | offset, width: width, value: value)
    }

    func configuration(_ offset: UInt64, _ width: Int) -> UInt64 {
        root.read(region: PCIRoot.ecamRegion, offset: UInt64(slot.routing) << 12 | offset, width: width)
    }

    /// Where a capability is; zero if there is none.
    func capability(_ identifier: UInt8) -> UInt64 {
        var offset = configuration(0x34, 1)
        while offset != 0, configuration(offset, 1) != identifier { offset = configuration(offset + 1, 1) }
        return offset
    }

    func enableMSIX() { configure(capability(0x11) + 2, 2, 0x8000) }

    /// What drivers do first: disable, set the admin queues, enable, wait.
    func enable(messages: Bool = true, size: Int = 32) {
        if messages { enableMSIX() }
        write(0x14, 0)
        while read(0x1c) & 1 != 0 {}
        admin = Queue(0, size, heap)
        early = [:]
        buffers = nil
        write(0x24, UInt64(size - 1) << 16 | UInt64(size - 1))
        write(0x28, admin.submission, 8)
        write(0x30, admin.completion & 0xffff_ffff)
        write(0x34, admin.completion >> 32)
        write(0x14, 0x46_0001)
        while read(0x1c) & 3 == 0 {}
    }

    // MARK: Commands

    /// Puts a command into a queue without ringing.
    ///
    /// - Parameter words: command words 10 to 15.
    @discardableResult
    func offer(
        _ queue: Queue, _ opcode: UInt8, namespace: UInt32 = 0, pointers: (UInt64, UInt64) = (0, 0),
        words: [UInt32] = [], flags: UInt32 = 0
    ) -> UInt16 {
        let identifier = queue.nextIdentifier
        queue.nextIdentifier &+= 1
        let entry = queue.submission + UInt64(queue.tail * 64)
        for offset in stride(from: UInt64(0), to: 64, by: 8) { memory.ram.store(UInt64(0), at: entry + offset) }
        memory.ram.store(UInt32(opcode) | flags | UInt32(identifier) << 16, at: entry)
        memory.ram.store(namespace, at: entry + 4)
        memory.ram.store(pointers.0, at: entry + 24)
        memory.ram.store(pointers.1, at: entry + 32)
        for (index, word) in words.enumerated() { memory.ram.store(word, at: entry + 40 + UInt64(4 * index)) }
        queue.tail = (queue.tail + 1) % queue.size
        return identifier
    }

    func ring(_ queue: Queue) {
        if let buffers, queue.number > 0 {
            let place = UInt64(8 * queue.number)
            memory.ram.store(UInt32(queue.tail), at: buffers.values + place)
            atomicMemoryFence(ordering: .sequentiallyConsistent)
            let event = UInt16(truncatingIfNeeded: memory.ram.load(UInt32.self, at: buffers.events + place) ?? 0)
            let old = queue.shadowTail
            queue.shadowTail = UInt16(queue.tail)
            if queue.shadowTail &- event &- 1 >= queue.shadowTail &- old { return }
        }
        rings += 1
        write(0x1000 + UInt64(8 * queue.number), UInt64(queue.tail))
    }

    /// Takes what was completed.
    func collect(_ queue: Queue) -> [(identifier: UInt16, Completion)] {
        var found: [(UInt16, Completion)] = []
        while true {
            let entry = queue.completion + UInt64(queue.head * 16)
            let last = memory.ram.load(UInt32.self, at: entry + 12) ?? 0
            guard UInt16(truncatingIfNeeded: last >> 16) & 1 == queue.phase else { break }
            let result = memory.ram.load(UInt32.self, at: entry) ?? 0
            found.append(
                (
                    UInt16(truncatingIfNeeded: last),
                    Completion(status: UInt16(truncatingIfNeeded: last >> 17), result: result)
                ))
            queue.head += 1
            if queue.head == queue.size {
                queue.head = 0
                queue.phase ^= 1
            }
        }
        if !found.isEmpty {
            if let buffers, queue.number > 0 {
                memory.ram.store(UInt32(queue.head), at: buffers.values + UInt64(8 * queue.number + 4))
            }
            write(0x1004 + UInt64(8 * queue.number), UInt64(queue.head))
        }
        return found
    }

    /// Makes a request and waits for its answer; nil if everything is done in place and none has come.
    @discardableResult
    func run(
        _ queue: Queue, _ opcode: UInt8, namespace: UInt32 = 0, pointers: (UInt64, UInt64) = (0, 0),
        words: [UInt32] = [], flags: UInt32 = 0
    ) -> Completion? {
        let identifier = offer(queue, opcode, namespace: namespace, pointers: pointers, words: words, flags: flags)
        ring(queue)
        return answer(queue, identifier)
    }

    func answer(_ queue: Queue, _ identifier: UInt16) -> Completion? {
        while true {
            early[queue.number, default: []] += collect(queue)
            if let index = early[queue.number]?.firstIndex(where: { $0.0 == identifier }) {
                return early[queue.number]?.remove(at: index).1
            }
            guard isThreaded else { return nil }
            waitFor(interrupts.events[queue.number])
        }
    }

    func identify(_ structure: UInt32, namespace: UInt32 = 0) -> (status: UInt16?, data: [UInt8]) {
        let page = heap.allocate(4096, alignment: 4096)
        let answer = run(admin, 0x06, namespace: namespace, pointers: (page, 0), words: [structure])
        return (answer?.status, heap.bytes(4096, at: page))
    }

    /// Creates a pair of queues as drivers do.
    func createQueues(_ number: Int, size: Int = 64, vector: Int? = nil, interrupts: Bool = true) -> Queue {
        let queue = Queue(number, size, heap)
        let word = UInt32(size - 1) << 16 | UInt32(number)
        let flags: UInt32 = interrupts ? 3 : 1
        let completion = run(
            admin, 0x05, pointers: (queue.completion, 0), words: [word, UInt32(vector ?? number) << 16 | flags])
        precondition(completion?.status == 0, "no completion queue: \(completion as Any)")
        let submission = run(
            admin, 0x01, pointers: (queue.submission, 0), words: [word, UInt32(number) << 16 | 1])
        precondition(submission?.status == 0, "no submission queue: \(submission as Any)")
        return queue
    }

    /// Pages for `count` bytes, the first beginning at `offset` in its page, in the order of a buffer that is not
    /// contiguous; with the entries of a command that moves them.
    func buffer(_ count: Int, offset: Int = 0, listOffset: Int = 0) -> (pages: [GuestAddress], (UInt64, UInt64)) {
        let pageCount = (offset + count + 4095) / 4096
        var pages: [GuestAddress] = []
        for _ in 0..<pageCount {
            pages.append(heap.allocate(4096, alignment: 4096))
            _ = heap.allocate(16, alignment: 4096)  // a gap
        }
        pages[0] += UInt64(offset)
        if pageCount == 1 { return (pages, (pages[0], 0)) }
        if pageCount == 2 { return (pages, (pages[0], pages[1])) }
        var rest = Array(pages.dropFirst())
        let first = heap.allocate(4096, alignment: 4096) + UInt64(listOffset)
        var list = first
        while true {
            let room = Int(4096 - list & 0xfff) / 8
            if rest.count <= room {
                for (index, page) in rest.enumerated() { memory.ram.store(page, at: list + UInt64(8 * index)) }
                return (pages, (pages[0], first))
            }
            for index in 0..<room - 1 { memory.ram.store(rest[index], at: list + UInt64(8 * index)) }
            rest.removeFirst(room - 1)
            let next = heap.allocate(4096, alignment: 4096)
            memory.ram.store(next, at: list + UInt64(8 * (room - 1)))
            list = next
        }
    }

    func fill(_ pages: [GuestAddress], _ bytes: [UInt8]) {
        var left = bytes[...]
        for page in pages {
            let room = min(4096 - Int(page & 0xfff), left.count)
            try? memory.ram.write(Array(left.prefix(room)), at: page)
            left = left.dropFirst(room)
        }
    }

    func bytes(_ pages: [GuestAddress], _ count: Int) -> [UInt8] {
        var bytes: [UInt8] = []
        for page in pages { bytes += heap.bytes(min(4096 - Int(page & 0xfff), count - bytes.count), at: page) }
        return bytes
    }

    func words(_ block: UInt64, _ count: Int, flags: UInt32 = 0) -> [UInt32] {
        [
            UInt32(truncatingIfNeeded: block), UInt32(truncatingIfNeeded: block >> 32),
            UInt32(count - 1) & 0xffff | flags,
        ]
    }

    func writeBlocks(
        _ queue: Queue, at block: UInt64, _ bytes: [UInt8], namespace: UInt32 = 1, offset: Int = 0, listOffset: Int = 0,
        blockSize: Int = 512, flags: UInt32 = 0
    ) -> Completion? {
        let (pages, pointers) = buffer(bytes.count, offset: offset, listOffset: listOffset)
        fill(pages, bytes)
        return run(
            queue, 0x01, namespace: namespace, pointers: pointers,
            words: words(block, bytes.count / blockSize, flags: flags))
    }

    func readBlocks(
        _ queue: Queue, at block: UInt64, count: Int, namespace: UInt32 = 1, offset: Int = 0, listOffset: Int = 0,
        blockSize: Int = 512
    ) -> (Completion?, [UInt8]) {
        let (pages, pointers) = buffer(count, offset: offset, listOffset: listOffset)
        let answer = run(
            queue, 0x02, namespace: namespace, pointers: pointers, words: words(block, count / blockSize))
        return (answer, bytes(pages, count))
    }
}

/// Bytes that tell where they are.
func pattern(_ count: Int, seed: Int) -> [UInt8] {
    (0..<count).map { UInt8(truncatingIfNeeded: ($0 &+ seed) &* 31 &+ ($0 >> 8) &* 7) }
}
