import Adapters
import DeviceModel
import GuestMemory
import Linux
import NetEngine
import NetTestSupport
import Synchronization
import VirtioTestSupport

/// Lines that a device logged.
final class LogLines: Sendable {
    private let state = Mutex<[String]>([])
    func add(_ line: String) { state.withLock { $0.append(line) } }
    var all: [String] { state.withLock { $0 } }
}

/// A machine with a vmxnet3 card on packet sockets, and what Linux's driver does with it. Without loops, `serve` stands in
/// for them.
final class VMXNET3Rig {
    struct Options {
        var transmitQueues = 1
        var receiveQueues = 1
        var ringSize: UInt32 = 32
        var features: UInt64 = 0xf
        var mtu: UInt32 = 1500
        var autoMask = true
        var bufferSize = 2048
        var bodySize = 4096
        /// Pairs of head and bodies in the first ring, as a driver with a large MTU lays them out.
        var bodiesInFirstRing = 0
        var receiveMode: UInt32 = 7
        var usesMessages = true
    }

    /// A packet as the driver gets it.
    struct Received: Equatable {
        var frame: [UInt8] = []
        var tag: UInt16?
        var flags: UInt32 = 0
        var hasNoChecksum = false
        var pieces = 0
    }

    /// A receive ring of the driver.
    private struct Ring {
        var address: GuestAddress
        var size: Int
        var next = 0
        var generation: UInt32 = 1
        var buffers: [GuestAddress?]
        var bodies: [Bool]
    }

    let memory: GuestMemory
    let heap: GuestHeap
    let adapter: VMXNET3Adapter
    let peers: [Peer]
    let interrupts: TestInterrupts
    let binder = TestBinder()
    let log = LogLines()
    let options: Options
    let bus: AdapterBus
    private(set) var shared: GuestAddress = 0
    private(set) var queues: GuestAddress = 0
    private var transmitRings: [(address: GuestAddress, completions: GuestAddress)] = []
    private var transmitNext: [(index: Int, generation: UInt32)] = []
    private var transmitDone: [(index: Int, generation: UInt32)] = []
    private var receiveRings: [[Ring]] = []
    private var receiveCompletions: [(address: GuestAddress, index: Int, generation: UInt32)] = []
    var ram: GuestRAM { memory.ram }

    init(
        _ options: Options = Options(), pairs: Int = 1, offloads: NetOffloads = .all, loops: [EventLoop] = [],
        control: EventLoop? = nil, backend: (any NetBackend)? = nil, isLinkUp: Bool = true
    ) throws {
        self.options = options
        memory = try GuestMemory(count: 16 << 20)
        heap = GuestHeap(memory)
        var peers: [Peer] = []
        var ends: [SocketBackend.Queue] = []
        for _ in 0..<pairs {
            try Descriptor.packetPair().split { near, far in
                ends.append(SocketBackend.Queue(near))
                peers.append(Peer(far))
            }
        }
        self.peers = peers
        interrupts = try TestInterrupts(2 * pairs + 1)
        let log = log
        adapter = try VMXNET3Adapter(
            AdapterSettings(address: TestFrame.address, isLinkUp: isLinkUp),
            backend: backend ?? SocketBackend(ends, offloads: offloads), memory: memory, loops: loops,
            interrupts: interrupts, binder: binder, control: control, log: { log.add($0) })
        bus = try AdapterBus(adapter)
        bus.setMessages(options.usesMessages)
        // Placed, so that doorbells can be bound.
        bus.write(4, 2, 6)
    }

    deinit { adapter.close() }

    // MARK: Registers

    func write(_ register: UInt64, _ value: UInt32) {
        adapter.write(region: 1, offset: register, width: 4, value: UInt64(value))
    }

    func read(_ register: UInt64) -> UInt32 {
        UInt32(truncatingIfNeeded: adapter.read(region: 1, offset: register, width: 4))
    }

    @discardableResult
    func command(_ command: UInt32) -> UInt32 {
        write(0x20, command)
        return read(0x20)
    }

    func unmask(_ interrupt: Int) { adapter.write(region: 0, offset: UInt64(8 * interrupt), width: 4, value: 0) }

    /// How often an interrupt came since the last call.
    func taken(_ interrupt: Int) -> UInt64 { interrupts.event(interrupt).drain() }

    // MARK: Setting up

    /// Interrupts: queue n's both directions n, events the last.
    var eventInterrupt: Int { interrupts.vectorCount - 1 }

    /// Brings the card up; returns what activation returned.
    @discardableResult
    func start() -> UInt32 {
        lay()
        write(0x10, UInt32(truncatingIfNeeded: shared))
        write(0x18, UInt32(truncatingIfNeeded: shared >> 32))
        let result = command(0xcafe_0000)
        command(0xcafe_0003)
        for index in 0..<interrupts.vectorCount { unmask(index) }
        return result
    }

    /// Lays rings and the shared structure out in memory.
    func lay() {
        let size = Int(options.ringSize)
        shared = heap.allocate(720, alignment: 4096)
        let count = options.transmitQueues + options.receiveQueues
        queues = heap.allocate(256 * count, alignment: 128)
        store(0xbabe_fee1 as UInt32, 0)
        store(options.features, 24)
        store(queues, 40)
        store(UInt32(256 * count), 52)
        store(options.mtu, 56)
        store(18 as UInt16, 60)
        store(UInt8(options.transmitQueues), 62)
        store(UInt8(options.receiveQueues), 63)
        store(UInt8(options.autoMask ? 1 : 0), 80)
        store(UInt8(interrupts.vectorCount), 81)
        store(UInt8(eventInterrupt), 82)
        store(options.receiveMode, 120)
        // VLAN 0 is always listed.
        store(1 as UInt32, 136)
        transmitRings = []
        transmitNext = []
        transmitDone = []
        receiveRings = []
        receiveCompletions = []
        for index in 0..<options.transmitQueues {
            let place = queues + UInt64(256 * index) + 16
            let ring = heap.allocate(16 * size, alignment: 512)
            let completions = heap.allocate(16 * size, alignment: 512)
            ram.store(ring, at: place)
            ram.store(completions, at: place + 16)
            ram.store(options.ringSize, at: place + 40)
            ram.store(options.ringSize, at: place + 48)
            ram.store(UInt8(index % eventInterrupt), at: place + 56)
            transmitRings.append((ring, completions))
            transmitNext.append((0, 1))
            transmitDone.append((0, 1))
        }
        for index in 0..<options.receiveQueues {
            let place = queues + UInt64(256 * (options.transmitQueues + index)) + 16
            var rings: [Ring] = []
            for number in 0..<2 {
                let address = heap.allocate(16 * size, alignment: 512)
                ram.store(address, at: place + UInt64(8 * number))
                ram.store(options.ringSize, at: place + 40 + UInt64(4 * number))
                let period = options.bodiesInFirstRing + 1
                rings.append(
                    Ring(
                        address: address, size: size, buffers: Array(repeating: nil, count: size),
                        bodies: (0..<size).map { number == 1 || $0 % period != 0 }))
            }
            let completions = heap.allocate(32 * size, alignment: 512)
            ram.store(completions, at: place + 16)
            ram.store(2 * options.ringSize, at: place + 48)
            ram.store(UInt8(index % eventInterrupt), at: place + 56)
            receiveRings.append(rings)
            receiveCompletions.append((completions, 0, 1))
            refill(index)
        }
    }

    func store<T: FixedWidthInteger & BitwiseCopyable>(_ value: T, _ offset: UInt64) {
        ram.store(value, at: shared + offset)
    }

    /// Fills both rings of a receive queue but for one entry each, as Linux does.
    func refill(_ queue: Int = 0) {
        for number in 0..<2 {
            while offerBuffer(queue, number) {}
        }
    }

    /// Offers one buffer; false if the ring is full.
    @discardableResult
    func offerBuffer(_ queue: Int = 0, _ number: Int) -> Bool {
        var ring = receiveRings[queue][number]
        if ring.buffers[(ring.next + 1) % ring.size] != nil || ring.buffers[ring.next] != nil { return false }
        let size = ring.bodies[ring.next] ? options.bodySize : options.bufferSize
        let buffer = heap.allocate(size)
        let entry = ring.address + UInt64(16 * ring.next)
        ring.buffers[ring.next] = buffer
        ram.store(buffer, at: entry)
        let body: UInt32 = ring.bodies[ring.next] ? 1 << 14 : 0
        ram.store(UInt32(size) | body | ring.generation << 31, at: entry + 8)
        ring.next += 1
        if ring.next == ring.size {
            ring.next = 0
            ring.generation ^= 1
        }
        receiveRings[queue][number] = ring
        return true
    }

    // MARK: Packets

    /// Writes a packet's descriptors; the words of the first one carry what is to be done.
    func offer(_ frame: [UInt8], cuts: [Int] = [], second: UInt32 = 0, third: UInt32 = 0, queue: Int = 0) {
        var parts: [[UInt8]] = []
        var start = 0
        for end in cuts.filter({ $0 > 0 && $0 < frame.count }) + [frame.count] where end > start {
            parts.append(Array(frame[start..<end]))
            start = end
        }
        for (index, part) in parts.enumerated() {
            let isLast = index == parts.count - 1
            let words = (index == 0 ? second : 0, (index == 0 ? third : 0) | (isLast ? 3 << 12 : 0))
            describe(heap.place(part), UInt32(part.count & 0x3fff) | words.0, words.1, queue: queue)
        }
    }

    /// Writes one transmit descriptor without its generation bit in `second`.
    func describe(_ address: GuestAddress, _ second: UInt32, _ third: UInt32, queue: Int = 0) {
        let entry = transmitRings[queue].address + UInt64(16 * transmitNext[queue].index)
        ram.store(address, at: entry)
        ram.store(third, at: entry + 12)
        ram.store(second | transmitNext[queue].generation << 14, at: entry + 8)
        transmitNext[queue].index += 1
        if transmitNext[queue].index == Int(options.ringSize) {
            transmitNext[queue] = (0, transmitNext[queue].generation ^ 1)
        }
    }

    func ring(_ queue: Int = 0) {
        adapter.write(region: 0, offset: UInt64(0x600 + 8 * queue), width: 4, value: 0)
        adapter.serve()
    }

    /// The last descriptors of the packets that the card has given back.
    func completions(_ queue: Int = 0) -> [Int] {
        var indices: [Int] = []
        while true {
            let entry = transmitRings[queue].completions + UInt64(16 * transmitDone[queue].index)
            guard let last = ram.load(UInt32.self, at: entry + 12), last >> 31 == transmitDone[queue].generation else {
                return indices
            }
            indices.append(Int((ram.load(UInt32.self, at: entry) ?? 0) & 0xfff))
            transmitDone[queue].index += 1
            if transmitDone[queue].index == Int(options.ringSize) {
                transmitDone[queue] = (0, transmitDone[queue].generation ^ 1)
            }
        }
    }

    /// The packets that have come, each put together from its buffers.
    func received(_ queue: Int = 0) -> [Received] {
        var packets: [Received] = []
        while true {
            let entry = receiveCompletions[queue].address + UInt64(16 * receiveCompletions[queue].index)
            let words = (0..<4).map { ram.load(UInt32.self, at: entry + UInt64(4 * $0)) ?? 0 }
            guard words[3] >> 31 == receiveCompletions[queue].generation else { return packets }
            if words[0] & 1 << 15 != 0 { packets.append(Received()) }
            let number = Int(words[0] >> 16 & 0x3ff) == queue ? 0 : 1
            let index = Int(words[0] & 0xfff)
            guard let buffer = receiveRings[queue][number].buffers[index], !packets.isEmpty else { return packets }
            receiveRings[queue][number].buffers[index] = nil
            packets[packets.count - 1].frame += heap.bytes(Int(words[2] & 0x3fff), at: buffer)
            packets[packets.count - 1].pieces += 1
            packets[packets.count - 1].flags = words[3] & 0x00ff_0000
            packets[packets.count - 1].hasNoChecksum = words[0] & 1 << 30 != 0
            if words[2] & 1 << 15 != 0 { packets[packets.count - 1].tag = UInt16(words[2] >> 16) }
            receiveCompletions[queue].index += 1
            if receiveCompletions[queue].index == 2 * Int(options.ringSize) {
                receiveCompletions[queue] = (
                    receiveCompletions[queue].address, 0, receiveCompletions[queue].generation ^ 1
                )
            }
        }
    }
}
