import Adapters
import DeviceModel
import GuestMemory
import Linux
import NetEngine
import NetTestSupport
import VirtioTestSupport

/// A machine with one of Intel's cards on a packet socket, and what Linux's drivers do with it. Without a loop, `serve`
/// stands in for it.
final class E1000Rig {
    struct Received: Equatable {
        var frame: [UInt8] = []
        var tag: UInt16?
        var status: UInt32 = 0
        var descriptors = 0
    }

    enum Format: CaseIterable, Sendable { case legacy, extended, packetSplit }

    static let size = 32

    let memory: GuestMemory
    let heap: GuestHeap
    let adapter: E1000Adapter
    let peer: Peer
    let interrupts: TestInterrupts
    let bus: AdapterBus
    let log = LogLines()
    var format = Format.legacy
    var bufferSize = 2048
    private(set) var transmitRing: GuestAddress = 0
    private(set) var receiveRing: GuestAddress = 0
    private(set) var transmitTail = 0
    private var transmitClean = 0
    private(set) var receiveTail = 0
    private var receiveClean = 0
    private var buffers: [[GuestAddress]] = []
    var ram: GuestRAM { memory.ram }

    init(
        _ model: E1000Model = .e1000, offloads: NetOffloads = .all, loop: EventLoop? = nil,
        backend: (any NetBackend)? = nil, isLinkUp: Bool = true, messages: Bool = false
    ) throws {
        memory = try GuestMemory(count: 16 << 20)
        heap = GuestHeap(memory)
        var ends: [SocketBackend.Queue] = []
        var peers: [Peer] = []
        try Descriptor.packetPair().split { near, far in
            ends.append(SocketBackend.Queue(near))
            peers.append(Peer(far))
        }
        peer = peers[0]
        interrupts = try TestInterrupts(5)
        let log = log
        adapter = try E1000Adapter(
            AdapterSettings(address: TestFrame.address, isLinkUp: isLinkUp), model,
            backend: backend ?? SocketBackend(ends, offloads: offloads), memory: memory, loop: loop,
            interrupts: interrupts, log: { log.add($0) })
        bus = try AdapterBus(adapter)
        bus.write(4, 2, 7)
        if messages { bus.setMessages(true) }
    }

    deinit { adapter.close() }

    // MARK: Registers

    func write(_ register: UInt64, _ value: UInt32) {
        adapter.write(region: 0, offset: register, width: 4, value: UInt64(value))
    }

    func read(_ register: UInt64) -> UInt32 {
        UInt32(truncatingIfNeeded: adapter.read(region: 0, offset: register, width: 4))
    }

    func readPHY(_ register: UInt32) -> UInt16 {
        write(0x20, 2 << 26 | 1 << 21 | register << 16)
        return UInt16(truncatingIfNeeded: read(0x20))
    }

    func writePHY(_ register: UInt32, _ value: UInt16) {
        write(0x20, 1 << 26 | 1 << 21 | register << 16 | UInt32(value))
    }

    // MARK: Setting up

    /// Brings the card up.
    func start(control: UInt32 = 0, receive: UInt32 = 1 << 15, checksum: UInt32 = 0x300, mask: UInt32 = 0x9d) {
        write(0, 1 << 26)
        write(0, 0x41 | control)
        transmitRing = heap.allocate(16 * Self.size, alignment: 4096)
        write(0x3800, UInt32(transmitRing))
        write(0x3804, 0)
        write(0x3808, UInt32(16 * Self.size))
        write(0x3810, 0)
        write(0x3818, 0)
        write(0x400, 0x0104_00fa)
        let entry = format == .packetSplit ? 32 : 16
        receiveRing = heap.allocate(entry * Self.size, alignment: 4096)
        write(0x2800, UInt32(receiveRing))
        write(0x2804, 0)
        write(0x2808, UInt32(entry * Self.size))
        write(0x2810, 0)
        write(0x2818, 0)
        write(0x5000, checksum)
        if format != .legacy { write(0x5008, 1 << 15) }
        var bits = receive | 1 << 1 | 1 << 26
        if format == .packetSplit {
            bits |= 1 << 10
            write(0x2170, 2 | 4 << 8 | 4 << 16 | 4 << 24)
        }
        buffers = Array(repeating: [], count: Self.size)
        (transmitTail, transmitClean, receiveTail, receiveClean) = (0, 0, 0, 0)
        write(0xd0, mask)
        write(0x100, bits)
        refill()
    }

    /// Offers all buffers but one, as Linux does.
    func refill() { while (receiveTail + 1) % Self.size != receiveClean { offerBuffer() } }

    func offerBuffer() {
        let sizes = format == .packetSplit ? [256, 4096, 4096, 4096] : [bufferSize]
        let places = sizes.map { heap.allocate($0) }
        buffers[receiveTail] = places
        let entry = receiveRing + UInt64((format == .packetSplit ? 32 : 16) * receiveTail)
        if format != .packetSplit { ram.store(0 as UInt64, at: entry + 8) }
        for (index, place) in places.enumerated() { ram.store(place, at: entry + UInt64(8 * index)) }
        receiveTail = (receiveTail + 1) % Self.size
        write(0x2818, UInt32(receiveTail))
    }

    // MARK: Packets

    func describe(_ address: GuestAddress, _ word: UInt64) {
        let entry = transmitRing + UInt64(16 * transmitTail)
        ram.store(address, at: entry)
        ram.store(word, at: entry + 8)
        transmitTail = (transmitTail + 1) % Self.size
    }

    /// Rings the doorbell.
    func ring() {
        write(0x3818, UInt32(transmitTail))
        adapter.serve()
    }

    /// Writes a packet's descriptors.
    ///
    /// - Parameter word: bits of each descriptor beside length, end and status report.
    func offer(_ frame: [UInt8], cuts: [Int] = [], word: UInt64 = 0) {
        var start = 0
        for end in cuts.filter({ $0 > 0 && $0 < frame.count }) + [frame.count] where end > start {
            let part = Array(frame[start..<end])
            let last: UInt64 = end == frame.count ? 1 << 24 : 0
            describe(heap.place(part), UInt64(part.count) | last | 1 << 27 | word)
            start = end
        }
    }

    /// How many descriptors were given back since the last call.
    func completed() -> Int {
        var count = 0
        while transmitClean != transmitTail {
            let word = ram.load(UInt64.self, at: transmitRing + UInt64(16 * transmitClean + 8)) ?? 0
            guard word & 1 << 32 != 0 else { break }
            transmitClean = (transmitClean + 1) % Self.size
            count += 1
        }
        return count
    }

    /// The packets that have come.
    func received() -> [Received] {
        var packets: [Received] = []
        var open: Received?
        while receiveClean != receiveTail {
            let entry = receiveRing + UInt64((format == .packetSplit ? 32 : 16) * receiveClean)
            let word = ram.load(UInt64.self, at: entry + 8) ?? 0
            let status = format == .legacy ? UInt32(word >> 32 & 0xff) : UInt32(word & 0xff)
            guard status & 1 != 0 else { break }
            var packet = open ?? Received()
            var lengths = [Int(format == .legacy ? word & 0xffff : word >> 32 & 0xffff)]
            if format == .packetSplit {
                let upper = ram.load(UInt64.self, at: entry + 16) ?? 0
                lengths += (1...3).map { Int(upper >> UInt64(16 * $0) & 0xffff) }
            }
            for (index, length) in lengths.enumerated() {
                packet.frame += heap.bytes(length, at: buffers[receiveClean][index])
            }
            packet.descriptors += 1
            if status & 8 != 0 { packet.tag = UInt16(word >> 48) }
            packet.status = status
            receiveClean = (receiveClean + 1) % Self.size
            if status & 2 != 0 {
                packets.append(packet)
                open = nil
            } else {
                open = packet
            }
        }
        return packets
    }
}
