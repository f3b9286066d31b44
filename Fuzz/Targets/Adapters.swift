import Adapters
import DeviceModel
import GuestMemory
import Linux
import NetEngine
import VirtioTestSupport

/// A network that an input plays: what comes from it, and whether it takes anything.
private final class PlayedNetwork: NetBackend, @unchecked Sendable {
    // @unchecked: one thread.

    final class Queue: NetQueue, @unchecked Sendable {
        var descriptor: CInt { -1 }
        var waiting: [(length: Int, kind: UInt8)] = []
        var isFull = false
        var taken: UInt64 = 0
        var sum: UInt64 = 0
        var offloads: NetOffloads = .all

        func send(_ pieces: UnsafePointer<IOVector>, _ count: Int) -> TransferResult {
            if isFull { return .wouldBlock }
            check(count >= 1 && count <= 1024, "a packet has pieces that one call takes")
            check(pieces[0].count >= NetHeader.size, "the header comes first and whole")
            var bytes = InlineArray<12, UInt8>(repeating: 0)
            for index in 0..<12 { bytes[index] = pieces[0].base?.load(fromByteOffset: index, as: UInt8.self) ?? 0 }
            var length = -NetHeader.size
            for index in 0..<count {
                length += pieces[index].count
                guard let base = pieces[index].base else { continue }
                for offset in 0..<pieces[index].count {
                    sum &+= UInt64(base.load(fromByteOffset: offset, as: UInt8.self))
                }
            }
            let header = NetHeader(bytes)
            check(header.sanitized(frameLength: length, offloads: offloads) == header, "what is sent makes sense")
            taken += 1
            return .done(length + NetHeader.size)
        }

        /// Gives a packet that is all of one kind of protocol, with headers that may lie.
        func receive(_ pieces: UnsafePointer<IOVector>, _ count: Int) -> TransferResult {
            guard let (length, kind) = waiting.first else { return .wouldBlock }
            waiting.removeFirst()
            check(count >= 2 && count <= 1024, "there are buffers and a spill, in as many pieces as one call takes")
            var header = NetHeader()
            if kind & 1 != 0 { header.flags = kind & 2 != 0 ? 1 : 2 }
            if kind & 4 != 0 { header.segmentation = 1 }
            header.checksumStart = UInt16(kind)
            header.checksumOffset = 16
            let start = header.bytes
            let ethernet: [UInt8] = [
                kind & 8 != 0 ? 0xff : 0, 0x0c, 0x29, 0, 0, 1, 2, 0, 0, 0, 0, 1,
            ]
            let rest: [UInt8] = kind & 16 != 0 ? [0x81, 0, 0, 5, 8, 0, 0x45] : [0x86, 0xdd, 0x60, 0, 0, 0, 0, 9, 6]
            var packet = (0..<12).map { start[$0] } + ethernet + rest
            while packet.count < length { packet.append(UInt8(truncatingIfNeeded: packet.count)) }
            var done = 0
            for index in 0..<count where done < length {
                let part = min(length - done, pieces[index].count)
                for offset in 0..<part {
                    pieces[index].base?.storeBytes(of: packet[done + offset], toByteOffset: offset, as: UInt8.self)
                }
                done += part
            }
            return .done(done)
        }
    }

    let queues = [Queue(), Queue()]
    var offloads: NetOffloads = .all { didSet { for queue in queues { queue.offloads = offloads } } }
    var queueCount: Int { queues.count }
    func queue(_ index: Int) -> any NetQueue { queues[index] }
    func setGuestOffloads(_ offloads: NetOffloads) {}
    func setActiveQueues(_ count: Int) { check((1...2).contains(count), "there are as many pairs as that") }
    func setFilter(_ filter: NetFilter) {}
    func setLink(up: Bool) {}

    /// Something happens outside the guest.
    func play(_ event: UInt8, _ kind: UInt8) {
        let queue = queues[Int(event & 1)]
        switch event >> 5 {
        case 0: queue.waiting.append((Int(event) * 13, kind))
        case 1: queue.waiting.append((Int(event & 0x1f) * 2200, kind))
        case 2: queue.waiting += [(72, kind), (1526, kind), (72, ~kind)]
        case 3: queue.isFull.toggle()
        default: break
        }
    }
}

/// A function on a bus, in 64 KiB of memory.
private struct AdapterMachine {
    let memory: GuestMemory
    let network = PlayedNetwork()
    let function: PCIFunction
    let root: PCIRoot
    let serve: () -> Void
    let setLink: (Bool) -> Void
    let registers: (_ feed: inout Feed) -> (region: Int, offset: UInt64)

    init(
        offloads: Bool, _ make: (GuestMemory, PlayedNetwork) throws -> (PCIFunction, () -> Void, (Bool) -> Void),
        registers: @escaping (_ feed: inout Feed) -> (region: Int, offset: UInt64)
    ) throws {
        memory = try GuestMemory(count: 64 << 10)
        network.offloads = offloads ? .all : []
        (function, serve, setLink) = try make(memory, network)
        self.registers = registers
        root = PCIRoot(
            ports: .ports(), memory: .memory(),
            windows: PCIWindows(
                ports: 0xc000...0xcfff, memory32: 0xc000_0000...0xc0ff_ffff, memory64: 0x2_0000_0000...0x2_00ff_ffff),
            interruptLines: (0..<8).map { _ in SharedInterruptLine(TestLine()) })
        try root.plug(function)
    }

    func run(_ feed: inout Feed) {
        while !feed.isAtEnd {
            step(&feed)
            serve()
        }
        function.reset()
        serve()
        function.close()
    }

    private func step(_ feed: inout Feed) {
        switch feed.byte() & 7 {
        case 0:
            let (region, offset) = registers(&feed)
            function.write(region: region, offset: offset, width: 4, value: UInt64(feed.long()))
        case 1:
            // Small values reach further than wild ones: addresses in memory, indices.
            let (region, offset) = registers(&feed)
            function.write(region: region, offset: offset, width: 4, value: UInt64(feed.word()))
        case 2:
            let (region, offset) = registers(&feed)
            _ = function.read(region: region, offset: offset, width: 4)
        case 3:
            let address = UInt64(feed.word())
            for index in 0..<UInt64(feed.byte() & 63) { memory.ram.store(feed.byte(), at: address + index) }
        case 4:
            network.play(feed.byte(), feed.byte())
            serve()
        case 5: setLink(feed.byte() & 1 != 0)
        case 6:
            let (region, offset, width) = (Int(feed.byte() & 7), UInt64(feed.word()) << 1, feed.width())
            function.write(region: region, offset: offset, width: width, value: feed.wide())
            _ = function.read(region: region, offset: offset, width: width)
        default:
            let (register, width) = (UInt64(feed.byte()), feed.width())
            root.write(region: PCIRoot.ecamRegion, offset: 1 << 15 | register, width: width, value: UInt64(feed.long()))
        }
    }
}

func fuzzVMXNET3(_ bytes: [UInt8]) {
    var feed = Feed(bytes)
    let choice = feed.byte()
    do {
        let machine = try AdapterMachine(
            offloads: choice & 1 == 0,
            { memory, network in
                let adapter = try VMXNET3Adapter(
                    AdapterSettings(address: MACAddress(0, 0x0c, 0x29, 0, 0, 1)), backend: network, memory: memory,
                    loops: [], interrupts: TestInterrupts(5), binder: TestBinder(), control: nil)
                return (adapter, { adapter.serve() }, { adapter.setLink(up: $0) })
            },
            registers: { feed in
                let byte = feed.byte()
                // Half of them are registers, the others doorbells and masks.
                if byte & 1 == 0 { return (1, UInt64(byte >> 1 & 15) * 8) }
                return (0, UInt64(byte & 0xf0) << 4 | UInt64(byte >> 1 & 7) * 8)
            })
        // A driver's beginning, so that inputs get to the rings.
        if choice & 2 == 0 { layVMXNET3(machine.memory, &feed, machine.function) }
        machine.run(&feed)
    } catch { check(false, "the machine can be made") }
}

/// A structure that makes sense but for what the input changes in it, and the card's activation.
private func layVMXNET3(_ memory: GuestMemory, _ feed: inout Feed, _ function: PCIFunction) {
    let ram = memory.ram
    let counts = feed.byte()
    let transmit = Int(counts & 1) + 1
    let receive = Int(counts >> 1 & 1) + 1
    ram.store(0xbabe_fee1 as UInt32, at: 0)
    ram.store(UInt64(counts >> 4), at: 24)
    ram.store(0x400 as UInt64, at: 40)
    ram.store(2048 as UInt32, at: 52)
    ram.store(1500 as UInt32, at: 56)
    ram.store(UInt16(feed.byte() & 31), at: 60)
    ram.store(UInt8(transmit), at: 62)
    ram.store(UInt8(receive), at: 63)
    ram.store(counts >> 2 & 1, at: 80)
    ram.store(UInt32(feed.byte()), at: 120)
    for index in 0..<(transmit + receive) {
        let place = UInt64(0x400 + 256 * index + 16)
        let rings = UInt64(0x1000 + 0x800 * index)
        for number in 0..<3 { ram.store(rings + UInt64(0x200 * number), at: place + UInt64(8 * number)) }
        let size = UInt32(feed.byte() & 7) + 1
        for offset: UInt64 in [40, 44, 48] { ram.store(size, at: place + offset) }
        ram.store(UInt8(index), at: place + 56)
        // Descriptors with the generation bits of a first round.
        for entry in 0..<16 {
            let at = rings + UInt64(16 * entry)
            let word = UInt32(feed.word())
            ram.store(UInt64(0x4000 + 256 * entry), at: at)
            ram.store(
                index < transmit ? word << 16 & ~0x3fff | word & 0xff | 1 << 14 : word & 0x47ff | 1 << 31, at: at + 8)
            ram.store(index < transmit ? feed.long() | 1 << 13 : 0, at: at + 12)
        }
    }
    function.write(region: 1, offset: 0x20, width: 4, value: 0xcafe_0002)
    for index in 0..<5 { function.write(region: 0, offset: UInt64(8 * index), width: 4, value: 0) }
    // The structure lies at address zero, which a driver would never choose.
    function.write(region: 1, offset: 0x20, width: 4, value: 0xcafe_0000)
}

func fuzzE1000(_ bytes: [UInt8]) {
    var feed = Feed(bytes)
    let choice = feed.byte()
    let model: E1000Model = choice & 2 == 0 ? .e1000 : .e1000e
    // Those with effects beyond keeping a value.
    let busy: [UInt64] = [
        0x00, 0x10, 0x14, 0x18, 0x20, 0xc0, 0xc4, 0xc8, 0xd0, 0xd8, 0xdc, 0xe0, 0xe4, 0xe8, 0x100, 0x400, 0x2170,
        0x2800,
        0x2808, 0x2810, 0x2818, 0x3800, 0x3808, 0x3810, 0x3818, 0x3900, 0x3908, 0x3918, 0x5000, 0x5008, 0x5200, 0x5400,
        0x5404, 0x5600, 0x4074, 0x40c0, 0x40c4, 0x5b50, 0x3910,
    ]
    do {
        let machine = try AdapterMachine(
            offloads: choice & 1 == 0,
            { memory, network in
                let adapter = try E1000Adapter(
                    AdapterSettings(address: MACAddress(0, 0x0c, 0x29, 0, 0, 1)), model, backend: network,
                    memory: memory, loop: nil, interrupts: TestInterrupts(5))
                return (adapter, { adapter.serve() }, { adapter.setLink(up: $0) })
            },
            registers: { feed in (0, busy[Int(feed.byte()) % busy.count]) })
        if choice & 4 == 0 { layE1000(machine.memory, &feed, machine.function) }
        machine.run(&feed)
    } catch { check(false, "the machine can be made") }
}

/// Rings that make sense but for the descriptors, which are the input's.
private func layE1000(_ memory: GuestMemory, _ feed: inout Feed, _ function: PCIFunction) {
    func write(_ register: UInt64, _ value: UInt32) {
        function.write(region: 0, offset: register, width: 4, value: UInt64(value))
    }
    for entry in 0..<16 {
        let word = UInt64(feed.long()) << 20 & ~0xffff | UInt64(feed.byte())
        memory.ram.store(
            feed.byte() & 1 == 0 ? UInt64(0x4000 + 256 * entry) : feed.wide(), at: UInt64(0x1000 + 16 * entry))
        memory.ram.store(word, at: UInt64(0x1008 + 16 * entry))
        memory.ram.store(UInt64(0x8000 + 2048 * entry), at: UInt64(0x2000 + 16 * entry))
    }
    for (register, value) in [
        (0, 0x4000_0041), (0x3800, 0x1000), (0x3808, 256), (0x2800, 0x2000), (0x2808, 256), (0x5000, 0x300),
        (0x5008, feed.byte() & 1 == 0 ? 0 : 0x8000), (0xd0, 0x1f0_00ff), (0x400, 2),
    ] as [(UInt64, UInt32)] { write(register, value) }
    write(0x100, UInt32(feed.word()) << 10 | 0x802a)
    write(0x2818, UInt32(feed.byte() & 15))
    write(0x3818, UInt32(feed.byte() & 15))
}
