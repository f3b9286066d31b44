import DeviceModel
import GuestMemory
import Linux
import Synchronization
import Testing
import VirtioTestSupport

@testable import Input

/// What Linux's xhci driver does, as far as the tests need it: rings, commands, enumeration, transfers.
final class XHCIDriver {
    struct Event: Equatable {
        var parameter: UInt64
        var status: UInt32
        var control: UInt32
        var kind: UInt8 { UInt8(truncatingIfNeeded: control >> 10 & 0x3f) }
        var code: UInt8 { UInt8(truncatingIfNeeded: status >> 24) }
        var length: Int { Int(status & 0xffffff) }
        var slot: Int { Int(control >> 24) }
        var endpoint: Int { Int(control >> 16 & 0x1f) }
    }

    /// A producer's end of a ring of 16 blocks, the last of which is a link to the first.
    struct Ring {
        var start: UInt64
        var index: UInt64 = 0
        var cycle: UInt32 = 1
        var word: UInt64 { start + 16 * index | UInt64(cycle) }
    }

    let memory: GuestMemory
    let interrupts: TestInterrupts
    let time = Counter()
    let log = Counter()
    let controller: XHCIController
    private var heap: UInt64 = 0x1000
    var commands: Ring
    var rings: [Int: Ring] = [:]
    private(set) var eventStart: UInt64 = 0
    private var eventIndex: UInt64 = 0
    private var eventCycle: UInt32 = 1
    let eventCount: UInt64
    private(set) var contexts: UInt64 = 0
    /// The bus it is plugged into; registers are reached through it.
    let wires = (0..<8).map { _ in TestLine() }
    private let root: PCIRoot
    private let view: BusView
    private let window: UInt64
    private let configurationSpace: UInt64
    let operational: UInt64
    let runtime: UInt64
    let doorbells: UInt64

    /// - Parameter loop: for what has to wait; the clock is the real one then.
    init(eventCount: UInt64 = 64, messages: Bool = true, loop: EventLoop? = nil) throws {
        self.eventCount = eventCount
        memory = try GuestMemory(count: 1 << 20)
        interrupts = try TestInterrupts(XHCIController.vectorCount)
        let (time, log) = (time, log)
        let isReal = loop != nil
        let now: @Sendable () -> UInt64 = { isReal ? monotonicNanoseconds() : time.value }
        controller = XHCIController(
            ram: memory.ram, interrupts: messages ? interrupts : nil, loop: loop, log: { _ in log.add(1) },
            now: now)
        commands = Ring(start: 0)
        let space = AddressSpace.memory()
        root = PCIRoot(
            ports: AddressSpace.ports(), memory: space,
            windows: PCIWindows(
                ports: 0xc000...0xcfff, memory32: 0xc000_0000...0xc0ff_ffff, memory64: 0x2_0000_0000...0x2_ffff_ffff),
            interruptLines: wires.map { SharedInterruptLine($0) })
        try space.map(root, region: PCIRoot.ecamRegion, at: 0xb000_0000, count: 256 << 20)
        view = BusView(space)
        let place = try root.plug(controller)
        configurationSpace = 0xb000_0000 + UInt64(place.routing) << 12
        window = view.read(configurationSpace + 0x10, width: 4) & ~0xf
        operational = view.read(window, width: 1)
        runtime = view.read(window + 0x18, width: 4)
        doorbells = view.read(window + 0x14, width: 4)
    }

    // MARK: Registers

    func read(_ offset: UInt64) -> UInt32 { UInt32(view.read(window + offset, width: 4)) }
    func write(_ offset: UInt64, _ value: UInt32) { view.write(window + offset, width: 4, value: UInt64(value)) }
    /// As Linux does: low half first.
    func write64(_ offset: UInt64, _ value: UInt64) {
        write(offset, UInt32(truncatingIfNeeded: value))
        write(offset + 4, UInt32(truncatingIfNeeded: value >> 32))
    }

    var status: UInt32 { read(operational + 4) }
    func port(_ number: UInt64) -> UInt64 { operational + 0x400 + 0x10 * (number - 1) }
    func ring(_ slot: Int, _ target: Int) { write(doorbells + 4 * UInt64(slot), UInt32(target)) }

    // MARK: Memory

    func allocate(_ count: UInt64) -> UInt64 {
        let start = (heap + 63) & ~63
        heap = start + count
        return start
    }

    func makeRing() -> Ring {
        let ring = Ring(start: allocate(256))
        // The link at the end toggles the cycle state.
        memory.ram.store(ring.start, at: ring.start + 240)
        memory.ram.store(UInt32(0), at: ring.start + 248)
        return ring
    }

    /// Queues a block and returns where it is.
    @discardableResult
    func queue(_ ring: inout Ring, _ parameter: UInt64, _ status: UInt32, _ control: UInt32) -> UInt64 {
        let address = ring.start + 16 * ring.index
        memory.ram.store(parameter, at: address)
        memory.ram.store(status, at: address + 8)
        memory.ram.store(control & ~1 | ring.cycle, at: address + 12)
        ring.index += 1
        if ring.index == 15 {
            let chain = control & 1 << 4
            memory.ram.store(UInt32(6) << 10 | 2 | chain | ring.cycle, at: ring.start + 252)
            ring.index = 0
            ring.cycle ^= 1
        }
        return address
    }

    // MARK: Start

    func start() {
        write(operational, 2)
        contexts = allocate(8 * 17)
        commands = makeRing()
        write(operational + 0x38, 16)
        write64(operational + 0x18, commands.word)
        write64(operational + 0x30, contexts)
        eventStart = allocate(16 * eventCount)
        (eventIndex, eventCycle) = (0, 1)
        let table = allocate(16)
        memory.ram.store(eventStart, at: table)
        memory.ram.store(UInt32(eventCount), at: table + 8)
        let interrupter = runtime + 0x20
        write(interrupter + 8, 1)
        write64(interrupter + 0x18, eventStart)
        write64(interrupter + 0x10, table)
        write(interrupter + 4, 160)
        write(interrupter, 2)
        write(operational, 5)
    }

    // MARK: Events

    /// Takes the next event; the controller hears of it with the next `acknowledge`.
    func nextEvent() -> Event? {
        let address = eventStart + 16 * eventIndex
        guard let control = memory.ram.load(UInt32.self, at: address + 12), control & 1 == eventCycle,
            let parameter = memory.ram.load(UInt64.self, at: address),
            let status = memory.ram.load(UInt32.self, at: address + 8)
        else { return nil }
        eventIndex += 1
        if eventIndex == eventCount {
            eventIndex = 0
            eventCycle ^= 1
        }
        return Event(parameter: parameter, status: status, control: control)
    }

    func acknowledge() { write64(runtime + 0x38, eventStart + 16 * eventIndex | 8) }

    func events() -> [Event] {
        var events: [Event] = []
        while let event = nextEvent() { events.append(event) }
        acknowledge()
        return events
    }

    // MARK: Commands

    @discardableResult
    func command(_ kind: UInt32, slot: Int = 0, endpoint: Int = 0, _ parameter: UInt64 = 0, flags: UInt32 = 0) throws
        -> Event
    {
        let address = queue(
            &commands, parameter, 0, kind << 10 | UInt32(slot) << 24 | UInt32(endpoint) << 16 | flags)
        ring(0, 0)
        let event = try #require(events().last { $0.kind == 33 }, "a command is completed")
        #expect(event.parameter == address)
        return event
    }

    /// An input context with its slot and control endpoint filled in.
    func inputContext(port: Int, add: UInt32, entries: UInt32, drop: UInt32 = 0) -> UInt64 {
        let input = allocate(33 * 32)
        memory.ram.store(drop, at: input)
        memory.ram.store(add, at: input + 4)
        memory.ram.store(entries << 27 | 3 << 20, at: input + 32)
        memory.ram.store(UInt32(port) << 16, at: input + 36)
        return input
    }

    func setEndpoint(_ input: UInt64, _ index: Int, type: UInt32, packet: UInt32, ring: Ring) {
        let context = input + 32 * UInt64(index + 1)
        memory.ram.store(UInt32(3) << 16, at: context)
        memory.ram.store(packet << 16 | type << 3 | 3 << 1, at: context + 4)
        memory.ram.store(ring.word, at: context + 8)
        memory.ram.store(UInt32(8), at: context + 16)
    }

    func output(_ slot: Int) -> UInt64 { memory.ram.load(UInt64.self, at: contexts + 8 * UInt64(slot)) ?? 0 }
    func outputWord(_ slot: Int, _ context: Int, _ word: Int) -> UInt32 {
        memory.ram.load(UInt32.self, at: output(slot) + 32 * UInt64(context) + 4 * UInt64(word)) ?? 0
    }

    /// Resets the port and gives the device at it a slot and an address.
    func address(port number: Int) throws -> Int {
        write(port(UInt64(number)), read(port(UInt64(number))) & 0x0e00_c3e0 | 1 << 4)
        _ = events()
        write(port(UInt64(number)), 0x0e00_0200 | 0x7f << 17)
        let slot = try command(9).slot
        memory.ram.store(allocate(32 * 32), at: contexts + 8 * UInt64(slot))
        let ring = makeRing()
        rings[slot << 8 | 1] = ring
        let input = inputContext(port: number, add: 3, entries: 1)
        setEndpoint(input, 1, type: 4, packet: 64, ring: ring)
        #expect(try command(11, slot: slot, input).code == 1)
        return slot
    }

    /// Makes the interrupt endpoint 1 and sets the device's configuration.
    func configure(_ slot: Int, port: Int) throws {
        let ring = makeRing()
        rings[slot << 8 | 3] = ring
        let input = inputContext(port: port, add: 1 | 1 << 3, entries: 3)
        setEndpoint(input, 3, type: 7, packet: 8, ring: ring)
        #expect(try command(12, slot: slot, input).code == 1)
        #expect(try control(slot, 0x00, 9, value: 1).code == 1)
    }

    // MARK: Transfers

    /// A control transfer; what was read comes with the last event.
    func control(
        _ slot: Int, _ type: UInt8, _ request: UInt8, value: UInt16 = 0, index: UInt16 = 0, length: UInt16 = 0,
        sending: [UInt8] = []
    ) throws -> (code: UInt8, bytes: [UInt8]) {
        var ring = try #require(rings[slot << 8 | 1])
        let isIn = type & 0x80 != 0
        let length = isIn ? length : UInt16(sending.count)
        let setup =
            UInt64(type) | UInt64(request) << 8 | UInt64(value) << 16 | UInt64(index) << 32 | UInt64(length) << 48
        queue(&ring, setup, 8, 2 << 10 | 1 << 6 | (length == 0 ? 0 : isIn ? 3 : 2) << 16)
        let buffer = allocate(UInt64(max(length, 1)))
        if length > 0 {
            if !isIn { try memory.ram.write(sending, at: buffer) }
            queue(&ring, buffer, UInt32(length), 3 << 10 | (isIn ? 1 << 16 | 1 << 2 : 0))
        }
        queue(&ring, 0, 0, 4 << 10 | 1 << 5 | (isIn && length > 0 ? 0 : 1 << 16))
        rings[slot << 8 | 1] = ring
        self.ring(slot, 1)
        let transfers = events().filter { $0.kind == 32 }
        let last = try #require(transfers.last, "a transfer ends")
        let short: Int = transfers.first(where: { $0.code == 13 })?.length ?? 0
        let bytes = isIn ? try memory.ram.read(Int(length) - short, at: buffer) : []
        return (last.code, last.code == 1 ? bytes : [])
    }

    /// Queues a buffer for reports and rings.
    func ask(_ slot: Int, length: UInt32 = 8, buffer: UInt64? = nil) throws -> (block: UInt64, buffer: UInt64) {
        var ring = try #require(rings[slot << 8 | 3])
        let buffer = buffer ?? allocate(64)
        let block = queue(&ring, buffer, length, 1 << 10 | 1 << 5 | 1 << 2)
        rings[slot << 8 | 3] = ring
        self.ring(slot, 3)
        return (block, buffer)
    }

    /// Queues a buffer and takes the report that is there.
    func report(_ slot: Int) throws -> [UInt8] {
        let (block, buffer) = try ask(slot)
        let event = try #require(events().first { $0.kind == 32 && $0.endpoint == 3 })
        #expect(event.parameter == block)
        return try memory.ram.read(8 - event.length, at: buffer)
    }

    // MARK: PCI

    func configuration(_ register: UInt64, _ width: Int) -> UInt64 {
        view.read(configurationSpace + register, width: width)
    }
    func configure(_ register: UInt64, _ width: Int, _ value: UInt64) {
        view.write(configurationSpace + register, width: width, value: value)
    }

    /// Switches MSI-X on, as the PCI core does.
    func enableMessages() {
        var next = configuration(0x34, 1)
        while next != 0, configuration(next, 1) != 0x11 { next = configuration(next + 1, 1) }
        configure(next + 2, 2, configuration(next + 2, 2) | 0x8000)
    }
}
