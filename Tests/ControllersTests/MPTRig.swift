import BlockTestSupport
import DeviceModel
import GuestMemory
import Linux
import VirtioTestSupport

@testable import Controllers

/// A machine with one of LSI Logic's controllers, and a guest's driver for it.
final class MPTRig {
    /// How a request ended; with only the context told, everything is as at first.
    struct Answer: Equatable {
        var status: UInt8 = 0
        var state: UInt8 = 0
        var controller: UInt16 = 0
        /// Nil where only the context was told.
        var count: UInt32?
        /// Key, code and qualifier, if there is sense.
        var sense: [UInt8] = []

        static let good = Answer()
    }

    enum Direction: UInt32 {
        case none = 0
        case toDevice = 0x0100_0000
        case toHost = 0x0200_0000
    }

    static let requestSize = 128

    let memory: GuestMemory
    let heap: GuestHeap
    let interrupts: TestInterrupts
    let line = TestLine()
    let log = TestLog()
    let controller: MPTController
    let root: PCIRoot
    let slot: PCIAddress
    let isThreaded: Bool
    private let senses: GuestAddress
    private let requests: GuestAddress
    private var next: UInt32 = 0
    /// Events and replies to other messages, as they came.
    var messages: [[UInt8]] = []

    init(_ model: MPTModel, _ drives: [SCSIDrive?], loop: EventLoop? = nil, bytes: Int = 32 << 20) throws {
        memory = try GuestMemory(count: bytes)
        heap = GuestHeap(memory)
        senses = heap.allocate(256 * 64, alignment: 4096)
        requests = heap.allocate(256 * Self.requestSize, alignment: 4096)
        interrupts = try TestInterrupts(1)
        isThreaded = loop != nil
        let log = log
        controller = try MPTController(
            model, drives, ram: memory.ram, loop: loop, interrupts: interrupts,
            trayMoved: { target, isOut in log.add("tray \(target) \(isOut ? "out" : "in")") }, log: { log.add($0) })
        root = PCIRoot(
            ports: .ports(), memory: .memory(),
            windows: PCIWindows(
                ports: 0xc000...0xcfff, memory32: 0xc000_0000...0xc0ff_ffff, memory64: 0x2_0000_0000...0x2_00ff_ffff),
            interruptLines: [SharedInterruptLine(line)])
        slot = try root.plug(controller)
    }

    deinit { controller.close() }

    // MARK: Registers

    func read(_ offset: UInt64, bar: Int = 1) -> UInt32 {
        UInt32(controller.read(region: bar, offset: offset, width: 4))
    }

    func write(_ offset: UInt64, _ value: UInt32, bar: Int = 1) {
        controller.write(region: bar, offset: offset, width: 4, value: UInt64(value))
    }

    func configure(_ offset: UInt64, _ width: Int, _ value: UInt64) {
        root.write(
            region: PCIRoot.ecamRegion, offset: UInt64(slot.routing) << 12 | offset, width: width, value: value)
    }

    func configuration(_ offset: UInt64, _ width: Int) -> UInt64 {
        root.read(region: PCIRoot.ecamRegion, offset: UInt64(slot.routing) << 12 | offset, width: width)
    }

    func enableMSI() {
        var offset = configuration(0x34, 1)
        while offset != 0, configuration(offset, 1) != 5 { offset = configuration(offset + 1, 1) }
        configure(offset + 4, 4, 0xfee0_0000)
        configure(offset + 12, 2, 0x41)
        configure(offset + 2, 2, 0x81)
    }

    /// The state in the doorbell's highest bits.
    var state: UInt32 { read(0) >> 28 }

    // MARK: Handshake

    /// Gives a message by the doorbell and reads the reply, as Linux does.
    func handshake(_ words: [UInt32]) -> [UInt8] {
        write(0x30, 0)
        write(0, 0x42 << 24 | UInt32(words.count) << 16)
        guard read(0x30) & 1 != 0, read(0) & 0x0800_0000 != 0 else { return [] }
        write(0x30, 0)
        for word in words { write(0, word) }
        var reply: [UInt8] = []
        func half() {
            guard read(0x30) & 1 != 0 else { return }
            let value = read(0) & 0xffff
            reply += [UInt8(value & 0xff), UInt8(value >> 8)]
            write(0x30, 0)
        }
        half()
        half()
        guard reply.count == 4 else { return reply }
        for _ in 2..<2 * max(Int(reply[2]), 1) { half() }
        write(0x30, 0)
        return reply
    }

    /// What drivers do first: reset, facts, initialisation, ports, memory for replies, interrupts.
    @discardableResult
    func start(messages usesMessages: Bool = true, replies: Int = 16, replySize: UInt32 = 80, events: Bool = true)
        -> [UInt8]
    {
        if usesMessages { enableMSI() }
        write(0, 0x40 << 24)
        let reply = handshake([0x0200_0002, 16 << 8 | 1 << 16, 0x77, replySize, 0, 0])
        _ = handshake([0x0600_0000, 0, 0x78])
        for _ in 0..<replies { write(0x44, UInt32(heap.allocate(128, alignment: 128))) }
        write(0x34, 0)
        if events {
            let frame = heap.allocate(128, alignment: 128)
            memory.ram.store(UInt32(0x0700_0001), at: frame)
            memory.ram.store(UInt32(0x79), at: frame + 8)
            write(0x40, UInt32(frame))
            _ = collect()
        }
        return reply
    }

    /// Reads, or writes, a configuration page by the doorbell.
    func page(
        _ kind: UInt32, _ number: UInt32, address: UInt32 = 0, action: UInt32 = 1, bytes: [UInt8] = []
    ) -> (status: UInt16, reply: [UInt8], bytes: [UInt8]) {
        let buffer = heap.allocate(1024, alignment: 16)
        try? memory.ram.write(bytes, at: buffer)
        let isExtended = kind >= 0x10
        let reply = handshake([
            0x0400_0000 | action, isExtended ? kind << 16 : 0, 0x55, 0, 0,
            number << 16 | (isExtended ? 0x0f : kind) << 24, address, 0xd100_0000 | 1024, UInt32(buffer),
        ])
        guard reply.count == 24 else { return (.max, reply, []) }
        let words = isExtended ? Int(reply[4]) | Int(reply[5]) << 8 : Int(reply[21])
        return (UInt16(reply[14]) | UInt16(reply[15]) << 8, reply, heap.bytes(4 * words, at: buffer))
    }

    // MARK: Requests

    /// Scatter-gather elements of the 32-bit form behind a request, as far as it has room, the rest by chains.
    private func elements(_ request: GuestAddress, _ pieces: [(GuestAddress, Int)], wide: Bool, perChain: Int) {
        let ram = memory.ram
        let size = UInt64(wide ? 12 : 8)
        func put(_ address: GuestAddress, _ flags: UInt32, at place: GuestAddress) {
            ram.store(flags | (wide ? 0x0200_0000 : 0), at: place)
            if wide { ram.store(address, at: place + 4) } else { ram.store(UInt32(address), at: place + 4) }
        }
        var place = request + 48
        var room = Int((UInt64(Self.requestSize) - 48) / size)
        var header: GuestAddress? = nil
        for (number, (address, count)) in pieces.enumerated() {
            let isLast = number == pieces.count - 1
            if room == 1 && !isLast {
                // The last place is the chain's.
                let chain = heap.allocate(4096, alignment: 16)
                put(chain, 0x3000_0000, at: place)
                if let header {
                    // Where in its own segment the next chain element is.
                    let flags = ram.load(UInt32.self, at: header) ?? 0
                    let start =
                        wide
                        ? ram.load(UInt64.self, at: header + 4) ?? 0
                        : UInt64(ram.load(UInt32.self, at: header + 4) ?? 0)
                    ram.store(flags | UInt32((place - start) / 4) << 16, at: header)
                } else {
                    ram.store(UInt8((place - request) / 4), at: request + 2)
                }
                // What stands before a chain element is the last of its segment.
                let before = ram.load(UInt32.self, at: place - size) ?? 0
                ram.store(before | 0x8000_0000, at: place - size)
                header = place
                place = chain
                room = perChain
            }
            put(address, 0x1000_0000 | (isLast ? 0xc100_0000 : 0) | UInt32(count), at: place)
            place += size
            room -= 1
        }
        if pieces.isEmpty { put(0, 0xd100_0000, at: place) }
    }

    /// Posts a request.
    ///
    /// - Returns: its context.
    @discardableResult
    func offer(
        _ cdb: [UInt8], target: UInt8 = 0, unit: UInt8 = 0, bus: UInt8 = 0, _ direction: Direction = .none,
        _ pieces: [(GuestAddress, Int)] = [], length: Int? = nil, wide: Bool = false, perChain: Int = 8
    ) -> UInt32 {
        let number = next & 255
        next += 1
        let context = 0x100 + number
        let request = requests + UInt64(number) * UInt64(Self.requestSize)
        let ram = memory.ram
        for offset in stride(from: UInt64(0), to: UInt64(Self.requestSize), by: 8) {
            ram.store(UInt64(0), at: request + offset)
        }
        ram.store(target, at: request)
        ram.store(bus, at: request + 1)
        ram.store(UInt8(cdb.count), at: request + 4)
        ram.store(UInt8(64), at: request + 5)
        ram.store(context, at: request + 8)
        ram.store(unit, at: request + 13)
        ram.store(direction.rawValue, at: request + 20)
        try? ram.write(cdb, at: request + 24)
        ram.store(UInt32(length ?? pieces.reduce(0) { $0 + $1.1 }), at: request + 40)
        ram.store(UInt32(senses + UInt64(number) * 64), at: request + 44)
        elements(request, pieces, wide: wide, perChain: perChain)
        write(0x40, UInt32(request))
        return context
    }

    /// Takes what has ended.
    func collect() -> [(context: UInt32, Answer)] {
        var answers: [(UInt32, Answer)] = []
        while true {
            let reply = read(0x44)
            if reply == .max { return answers }
            if reply >> 31 == 0 {
                answers.append((reply, .good))
                continue
            }
            let place = GuestAddress(reply << 1)
            let bytes = heap.bytes(80, at: place)
            let context = memory.ram.load(UInt32.self, at: place + 8) ?? 0
            if bytes[3] == 0 {
                let sense = heap.bytes(18, at: senses + UInt64(context & 0xff) * 64)
                answers.append(
                    (
                        context,
                        Answer(
                            status: bytes[12], state: bytes[13], controller: UInt16(bytes[14]) | UInt16(bytes[15]) << 8,
                            count: memory.ram.load(UInt32.self, at: place + 20),
                            sense: bytes[13] & 1 != 0 ? [sense[2], sense[12], sense[13]] : [])
                    ))
            } else {
                messages.append(bytes)
            }
            // The memory is handed over again.
            write(0x44, UInt32(place))
        }
    }

    /// Runs a request and waits until it has ended.
    func run(
        _ cdb: [UInt8], target: UInt8 = 0, unit: UInt8 = 0, bus: UInt8 = 0, _ direction: Direction = .none,
        _ pieces: [(GuestAddress, Int)] = [], length: Int? = nil, wide: Bool = false, perChain: Int = 8
    ) -> Answer? {
        let context = offer(
            cdb, target: target, unit: unit, bus: bus, direction, pieces, length: length, wide: wide, perChain: perChain
        )
        while true {
            for (ended, answer) in collect() where ended == context { return answer }
            if !isThreaded { return nil }
            waitFor(interrupts.events[0])
        }
    }

    /// Runs a request that hands data to the driver.
    func fetch(_ cdb: [UInt8], count: Int, target: UInt8 = 0, unit: UInt8 = 0) -> (Answer?, [UInt8]) {
        let buffer = heap.allocate(count, alignment: 16)
        let answer = run(cdb, target: target, unit: unit, .toHost, [(buffer, count)])
        return (answer, heap.bytes(Int(answer?.count ?? UInt32(count)), at: buffer))
    }
}
