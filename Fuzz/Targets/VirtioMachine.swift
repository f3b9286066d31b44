import DeviceModel
import GuestMemory
import Linux
import Virtio
import VirtioTestSupport

/// Takes an input apart; at its end everything is zero.
struct Feed {
    private let bytes: [UInt8]
    private var offset = 0

    init(_ bytes: [UInt8]) { self.bytes = bytes }

    var isAtEnd: Bool { offset >= bytes.count }

    mutating func byte() -> UInt8 {
        guard offset < bytes.count else { return 0 }
        offset += 1
        return bytes[offset - 1]
    }

    mutating func word() -> UInt16 { UInt16(byte()) | UInt16(byte()) << 8 }

    mutating func long() -> UInt32 { UInt32(word()) | UInt32(word()) << 16 }

    mutating func wide() -> UInt64 { UInt64(long()) | UInt64(long()) << 32 }

    mutating func width() -> Int { 1 << Int(byte() & 3) }
}

/// A guest whose every move comes from the input: registers, configuration space, rings, memory. The queues are served in
/// place, so an input does the same each time.
///
/// An input is three or four bytes of features and queue size, then commands: a byte that says which, and its parameters.
struct VirtioMachine {
    static let memorySize = 64 << 10
    /// Each queue's ring has its place, so that commands can speak of "descriptor 3 of queue 1" in a few bytes.
    static let ringSpace: UInt64 = 0x800

    let memory: GuestMemory
    let device: VirtioDevice
    let function: VirtioPCIFunction
    let driver: VirtioDriver
    let root: PCIRoot
    /// What only this kind of device has: something that happens on the host.
    let event: (UInt8) -> Void
    private var paused = false

    init(_ memory: GuestMemory, _ device: VirtioDevice, event: @escaping (UInt8) -> Void = { _ in }) throws {
        self.memory = memory
        self.device = device
        self.event = event
        let interrupts = try TestInterrupts(min(device.queues.count + 1, 4))
        function = VirtioPCIFunction(
            device, interrupts: interrupts, binder: TestBinder(), control: nil, log: { _ in })
        driver = VirtioDriver(function, GuestHeap(memory))
        root = PCIRoot(
            ports: .ports(), memory: .memory(),
            windows: PCIWindows(
                ports: 0xc000...0xcfff, memory32: 0xc000_0000...0xc0ff_ffff, memory64: 0x2_0000_0000...0x2_00ff_ffff),
            interruptLines: (0..<8).map { _ in SharedInterruptLine(TestLine()) })
        try root.plug(function)
    }

    /// Fresh memory, zeroed.
    static func memory() throws -> GuestMemory {
        try GuestMemory(count: memorySize)
    }

    mutating func run(_ bytes: [UInt8]) {
        var feed = Feed(bytes)
        start(&feed)
        goOn(&feed)
    }

    /// Carries the input's commands out, and ends the device.
    mutating func goOn(_ feed: inout Feed) {
        while !feed.isAtEnd {
            step(&feed)
            checkPromises()
        }
        serve()
        checkPromises()
        driver.status = 0
        check(driver.status == 0, "a reset device has status zero")
        checkPromises()
        function.close()
        check(device.queues.allSatisfy { !$0.isRunning }, "a closed device serves no queue")
    }

    mutating func start(_ feed: inout Feed) {
        let choice = feed.byte()
        var features = VirtioFeatures(rawValue: UInt64(feed.word()))
        if choice & 1 != 0 { features.insert(.packedRing) }
        if choice & 2 != 0 { features.insert(.eventIndex) }
        if choice & 4 != 0 { features.insert(.indirectDescriptors) }
        if choice & 8 != 0 { features.insert(.ringReset) }
        if choice & 0x40 != 0 { features.formUnion(VirtioFeatures(rawValue: UInt64(feed.byte()) << 16)) }
        driver.negotiate(features.intersection(device.features))
        let size = 1 << Int(choice >> 4 & 3 + 1)
        for queue in device.queues {
            let base = UInt64(queue.index) * Self.ringSpace
            driver.enableQueue(
                queue.index,
                RingPlaces(size: size, descriptors: base, driver: base + 0x200, device: base + 0x400),
                vector: UInt16(queue.index))
        }
        driver.start()
    }

    private mutating func step(_ feed: inout Feed) {
        switch feed.byte() & 15 {
        case 0: describe(&feed)
        case 1: offer(&feed)
        case 2:
            let address = UInt64(feed.word())
            for index in 0..<UInt64(feed.byte() & 31) { memory.ram.store(feed.byte(), at: address + index) }
        case 3:
            driver.kick(Int(feed.byte()) % max(device.queues.count, 1))
            serve()
        case 4: serve()
        case 5: driver.write(UInt64(feed.byte() & 0x3f), feed.width(), UInt64(feed.long()))
        case 6: _ = driver.read(UInt64(feed.byte() & 0x7f), feed.width())
        case 7: driver.write(0x2000 + UInt64(feed.byte()), feed.width(), UInt64(feed.long()))
        case 8: _ = driver.read(0x2000 + UInt64(feed.byte()), feed.width())
        case 9:
            let (register, width) = (UInt64(feed.byte()), feed.width())
            root.write(region: PCIRoot.ecamRegion, offset: 1 << 15 | register, width: width, value: UInt64(feed.long()))
        case 10:
            _ = root.read(region: PCIRoot.ecamRegion, offset: 1 << 15 | UInt64(feed.byte()), width: feed.width())
        case 11:
            let (register, width) = (UInt64(feed.byte()), feed.width())
            function.write(region: 1, offset: register, width: width, value: UInt64(feed.long()))
        case 12:
            if paused { function.resume() } else { function.pause() }
            paused.toggle()
            check(!paused || device.queues.allSatisfy { !$0.isRunning }, "a paused device serves no queue")
        case 13: event(feed.byte())
        case 14: start(&feed)
        default: driver.write(UInt64(feed.word() & 0x7fff), feed.width(), feed.wide())
        }
    }

    /// Writes a descriptor: queue and index, address, length, flags, link.
    private func describe(_ feed: inout Feed) {
        let place = feed.byte()
        let entry = UInt64(place >> 5) % UInt64(max(device.queues.count, 1)) * Self.ringSpace + UInt64(place & 31) * 16
        let address = UInt64(feed.word())
        let count = UInt32(feed.word())
        let flags = feed.byte()
        let link = UInt16(feed.byte())
        memory.ram.store(address, at: entry)
        memory.ram.store(count, at: entry + 8)
        let shared = UInt16(flags & 7)
        if driver.features.contains(.packedRing) {
            memory.ram.store(link, at: entry + 12)
            memory.ram.store(shared | UInt16(flags & 0x40) << 1 | UInt16(flags & 0x80) << 8, at: entry + 14)
        } else {
            memory.ram.store(shared, at: entry + 12)
            memory.ram.store(link, at: entry + 14)
        }
    }

    /// Puts a chain into a split queue's available ring.
    private func offer(_ feed: inout Feed) {
        let place = feed.byte()
        let queue = Int(place >> 5) % max(device.queues.count, 1)
        let ring = UInt64(queue) * Self.ringSpace + 0x200
        let size = UInt64(max(device.queues[queue].ring.layout.size, 1))
        let index = memory.ram.load(UInt16.self, at: ring + 2) ?? 0
        memory.ram.store(UInt16(place & 31), at: ring + 4 + 2 * (UInt64(index) % size))
        memory.ram.store(index &+ 1, at: ring + 2)
    }

    /// Serves the queues whose doorbells rang, a few times over: what a device writes may look like new work.
    private func serve() {
        for _ in 0..<4 {
            for queue in device.queues where queue.doorbell.drain() > 0 { queue.ready(.readable) }
        }
    }

    private func checkPromises() {
        let status = driver.status
        for queue in device.queues {
            check(queue.ring.inFlight <= Int(queue.ring.layout.size), "no more is in flight than the ring holds")
            if queue.isRunning {
                check(status & 4 != 0, "queues run only once the driver is ready")
                check(queue.ring.isConfigured, "a running queue has a ring")
                check(queue.ring.fault == nil || status & 0x40 != 0, "a broken ring asks for a reset")
            }
        }
    }
}
