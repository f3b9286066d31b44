import BlockTestSupport
import DeviceModel
import GuestMemory
import Linux
import VirtioTestSupport

@testable import Controllers

/// A machine with a PVSCSI adapter, and a guest's driver for it.
final class PVSCSIRig {
    /// How a request ended.
    struct Answer: Equatable {
        var host: UInt16 = 0
        var status: UInt16 = 0
        var count: UInt64 = 0
        /// Key, code and qualifier, if there is sense.
        var sense: [UInt8] = []
    }

    enum Direction: UInt32 {
        case none = 4
        case toHost = 8
        case toDevice = 16
    }

    let memory: GuestMemory
    let heap: GuestHeap
    let interrupts: TestInterrupts
    let line = TestLine()
    let binder = TestBinder()
    let log = TestLog()
    let adapter: PVSCSIAdapter
    let root: PCIRoot
    let slot: PCIAddress
    let isThreaded: Bool
    private(set) var state: GuestAddress = 0
    private(set) var requests: [GuestAddress] = []
    private(set) var completions: [GuestAddress] = []
    private(set) var messages: [GuestAddress] = []
    private let senses: GuestAddress
    private var nextContext: UInt64 = 1

    init(_ drives: [SCSIDrive?], loop: EventLoop? = nil, bytes: Int = 32 << 20) throws {
        memory = try GuestMemory(count: bytes)
        heap = GuestHeap(memory)
        senses = heap.allocate(4096, alignment: 4096)
        interrupts = try TestInterrupts(1)
        isThreaded = loop != nil
        let log = log
        adapter = try PVSCSIAdapter(
            drives, ram: memory.ram, loop: loop, interrupts: interrupts, binder: binder,
            trayMoved: { target, isOut in log.add("tray \(target) \(isOut ? "out" : "in")") }, log: { log.add($0) })
        root = PCIRoot(
            ports: .ports(), memory: .memory(),
            windows: PCIWindows(
                ports: 0xc000...0xcfff, memory32: 0xc000_0000...0xc0ff_ffff, memory64: 0x2_0000_0000...0x2_00ff_ffff),
            interruptLines: [SharedInterruptLine(line)])
        slot = try root.plug(adapter)
    }

    deinit { adapter.close() }

    // MARK: Registers

    func read(_ offset: UInt64) -> UInt32 { UInt32(adapter.read(region: 0, offset: offset, width: 4)) }
    func write(_ offset: UInt64, _ value: UInt32) {
        adapter.write(region: 0, offset: offset, width: 4, value: UInt64(value))
    }

    func configure(_ offset: UInt64, _ width: Int, _ value: UInt64) {
        root.write(
            region: PCIRoot.ecamRegion, offset: UInt64(slot.routing) << 12 | offset, width: width, value: value)
    }

    func configuration(_ offset: UInt64, _ width: Int) -> UInt64 {
        root.read(region: PCIRoot.ecamRegion, offset: UInt64(slot.routing) << 12 | offset, width: width)
    }

    func capability(_ identifier: UInt8) -> UInt64 {
        var offset = configuration(0x34, 1)
        while offset != 0, configuration(offset, 1) != identifier { offset = configuration(offset + 1, 1) }
        return offset
    }

    func enableMSIX() { configure(capability(0x11) + 2, 2, 0x8000) }

    /// Gives the adapter a command.
    ///
    /// - Returns: the status that is read afterwards.
    @discardableResult
    func command(_ code: UInt32, _ words: [UInt32] = []) -> UInt32 {
        write(0, code)
        for word in words { write(4, word) }
        return read(8)
    }

    /// What drivers do first: reset, set up the rings, let interrupts through.
    @discardableResult
    func start(
        requestPages: Int = 1, completionPages: Int = 1, messagePages: Int = 1, messages usesMessages: Bool = true
    )
        -> UInt32
    {
        if usesMessages { enableMSIX() }
        command(1)
        state = heap.allocate(4096, alignment: 4096)
        requests = (0..<requestPages).map { _ in heap.allocate(4096, alignment: 4096) }
        completions = (0..<completionPages).map { _ in heap.allocate(4096, alignment: 4096) }
        messages = (0..<messagePages).map { _ in heap.allocate(4096, alignment: 4096) }
        var words: [UInt32] = [UInt32(requestPages), UInt32(completionPages)]
        func add(_ address: GuestAddress) { words += [UInt32(address >> 12), 0] }
        func add(_ pages: [GuestAddress], room: Int) {
            for index in 0..<room { add(index < pages.count ? pages[index] : 0) }
        }
        add(state)
        add(requests, room: 32)
        add(completions, room: 32)
        let status = command(3, words)
        if messagePages > 0 {
            words = [UInt32(messagePages), 0]
            add(messages, room: 16)
            command(8, words)
        }
        write(0x2010, 0xf)
        return status
    }

    func index(_ offset: UInt64) -> UInt32 { memory.ram.load(UInt32.self, at: state + offset) ?? 0 }
    func setIndex(_ offset: UInt64, _ value: UInt32) { memory.ram.store(value, at: state + offset) }

    // MARK: Requests

    /// Puts a request into the ring without kicking.
    ///
    /// - Returns: its context.
    @discardableResult
    func offer(
        _ cdb: [UInt8], target: UInt8 = 0, unit: UInt8 = 0, bus: UInt8 = 0, _ direction: Direction = .none,
        data: GuestAddress = 0, count: UInt64 = 0, list: Bool = false, flags: UInt32 = 0
    ) -> UInt64 {
        let context = nextContext
        nextContext += 1
        let producer = index(0)
        let place = Int(producer) % (requests.count * 32)
        let entry = requests[place / 32] + UInt64(place % 32 * 128)
        let ram = memory.ram
        for offset in stride(from: UInt64(0), to: 128, by: 8) { ram.store(UInt64(0), at: entry + offset) }
        ram.store(context, at: entry)
        ram.store(data, at: entry + 8)
        ram.store(count, at: entry + 16)
        ram.store(senses + (context & 63) * 64, at: entry + 24)
        ram.store(UInt32(18), at: entry + 32)
        ram.store(direction.rawValue | (list ? 1 : 0) | flags, at: entry + 36)
        try? ram.write(cdb, at: entry + 40)
        ram.store(UInt8(cdb.count), at: entry + 56)
        ram.store(unit, at: entry + 58)
        ram.store(UInt8(0x20), at: entry + 65)
        ram.store(bus, at: entry + 66)
        ram.store(target, at: entry + 67)
        setIndex(0, producer &+ 1)
        return context
    }

    func kick() { write(0x4018, 0) }

    /// Takes what has ended.
    func collect() -> [(context: UInt64, Answer)] {
        var answers: [(UInt64, Answer)] = []
        let ram = memory.ram
        while index(16) != index(12) {
            let place = Int(index(16)) % (completions.count * 128)
            let entry = completions[place / 128] + UInt64(place % 128 * 32)
            let context = ram.load(UInt64.self, at: entry) ?? 0
            let senseCount = ram.load(UInt32.self, at: entry + 16) ?? 0
            let sense = heap.bytes(18, at: senses + (context & 63) * 64)
            answers.append(
                (
                    context,
                    Answer(
                        host: ram.load(UInt16.self, at: entry + 20) ?? 0,
                        status: ram.load(UInt16.self, at: entry + 22) ?? 0,
                        count: ram.load(UInt64.self, at: entry + 8) ?? 0,
                        sense: senseCount == 18 ? [sense[2], sense[12], sense[13]] : [])
                ))
            setIndex(16, index(16) &+ 1)
        }
        return answers
    }

    /// Runs a request and waits until it has ended.
    func run(
        _ cdb: [UInt8], target: UInt8 = 0, unit: UInt8 = 0, bus: UInt8 = 0, _ direction: Direction = .none,
        data: GuestAddress = 0, count: UInt64 = 0, list: Bool = false, flags: UInt32 = 0
    ) -> Answer? {
        let context = offer(
            cdb, target: target, unit: unit, bus: bus, direction, data: data, count: count, list: list, flags: flags)
        kick()
        while true {
            for (ended, answer) in collect() where ended == context { return answer }
            if !isThreaded { return nil }
            waitFor(interrupts.events[0])
        }
    }

    /// Runs a request that hands data to the driver.
    func fetch(_ cdb: [UInt8], count: Int, target: UInt8 = 0, unit: UInt8 = 0) -> (Answer?, [UInt8]) {
        let buffer = heap.allocate(count, alignment: 16)
        let answer = run(cdb, target: target, unit: unit, .toHost, data: buffer, count: UInt64(count))
        return (answer, heap.bytes(Int(answer?.count ?? 0), at: buffer))
    }

    /// A list of memory, which goes on in another page after `perPage` elements.
    func list(_ pieces: [(GuestAddress, Int)], perPage: Int = 100) -> GuestAddress {
        let first = heap.allocate(4096, alignment: 4096)
        var page = first
        var place = page
        for (number, (address, count)) in pieces.enumerated() {
            if number > 0, number % perPage == 0 {
                page = heap.allocate(4096, alignment: 4096)
                memory.ram.store(page, at: place)
                memory.ram.store(UInt32(0), at: place + 8)
                memory.ram.store(UInt32(1), at: place + 12)
                place = page
            }
            memory.ram.store(address, at: place)
            memory.ram.store(UInt32(count), at: place + 8)
            memory.ram.store(UInt32(0), at: place + 12)
            place += 16
        }
        return first
    }
}

/// Command descriptor blocks.
enum CDB {
    static func read10(_ block: UInt32, _ count: UInt16) -> [UInt8] { transfer(0x28, block, count) }
    static func write10(_ block: UInt32, _ count: UInt16, durable: Bool = false) -> [UInt8] {
        transfer(0x2a, block, count, durable ? 8 : 0)
    }
    static let testUnitReady: [UInt8] = [0, 0, 0, 0, 0, 0]
    static let readCapacity: [UInt8] = [0x25, 0, 0, 0, 0, 0, 0, 0, 0, 0]
    static let flush: [UInt8] = [0x35, 0, 0, 0, 0, 0, 0, 0, 0, 0]
    static func inquiry(_ length: UInt8) -> [UInt8] { [0x12, 0, 0, 0, length, 0] }
    static func reportLUNs(_ length: UInt8) -> [UInt8] { [0xa0, 0, 0, 0, 0, 0, 0, 0, 0, length, 0, 0] }

    private static func transfer(_ code: UInt8, _ block: UInt32, _ count: UInt16, _ flags: UInt8 = 0) -> [UInt8] {
        [
            code, flags, UInt8(block >> 24), UInt8(block >> 16 & 0xff), UInt8(block >> 8 & 0xff), UInt8(block & 0xff),
            0,
            UInt8(count >> 8), UInt8(count & 0xff), 0,
        ]
    }
}
