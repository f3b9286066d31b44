import DeviceModel
import GuestMemory
import Linux
import Virtio
import VirtioTestSupport

extension VirtQueueLayout {
    init(_ places: RingPlaces) {
        self.init()
        size = UInt16(places.size)
        (descriptors, driver, device) = (places.descriptors, places.driver, places.device)
    }
}

/// Ring work without a device: every chain is taken and given back, and both sides tell each other as they should.
func ringPaths() throws -> [HotPath] {
    let memory = try GuestMemory(count: 8 << 20)
    let heap = GuestHeap(memory)
    var split = FeedRing(heap, size: 256) { _ in
        [Buffer(heap.allocate(16), 16, writable: false), Buffer(heap.allocate(512), 512, writable: true)]
    }
    let splitQueue = VirtQueue(index: 0, sizeMax: 256, ram: memory.ram)
    try splitQueue.configure(VirtQueueLayout(split.places), features: [.version1, .eventIndex])
    var packed = PackedFeed(heap, size: 256)
    let packedQueue = VirtQueue(index: 1, sizeMax: 256, ram: memory.ram)
    try packedQueue.configure(
        VirtQueueLayout(packed.places), features: [.version1, .eventIndex, .packedRing, .indirectDescriptors])
    return [
        HotPath("ring: split, 16 at a time", operations: 100_000) { count in
            var chain = DescriptorChain(memory.ram)
            var left = count
            while left > 0 {
                split.offer(min(16, left))
                takeAll(splitQueue, &chain)
                left -= split.collect()
            }
        },
        HotPath("ring: packed and indirect, 16 at a time", operations: 100_000) { count in
            var chain = DescriptorChain(memory.ram)
            var left = count
            while left > 0 {
                packed.offer(min(16, left))
                takeAll(packedQueue, &chain)
                left -= packed.collect()
            }
        },
        HotPath("ring: packed, while host writes are noted", operations: 20_000) { count in
            memory.trackHostWrites(true)
            defer { memory.trackHostWrites(false) }
            var chain = DescriptorChain(memory.ram)
            var left = count
            while left > 0 {
                packed.offer(min(16, left))
                takeAll(packedQueue, &chain)
                left -= packed.collect()
            }
        },
    ]
}

private func takeAll(_ queue: VirtQueue, _ chain: inout DescriptorChain) {
    repeat {
        queue.disableNotifications()
        while queue.next(into: &chain) == .chain {
            let header = chain.load(UInt64.self) ?? 0
            chain.store(header)
            chain.dropReadable(first: 8)
            queue.push(chain, written: 8)
        }
        queue.publish()
        _ = queue.shouldNotify()
    } while queue.enableNotifications()
}

/// Throws away what it is given.
private final class Silence: CharacterBackend {
    func transmit(_ bytes: Span<UInt8>) {}
    func setReceiver(_ receiver: (any CharacterReceiver)?) {}
    func receiverHasRoom() {}
}

/// The small devices.
func smallDevicePaths() throws -> [HotPath] {
    let memory = try GuestMemory(count: 4 << 20)
    let entropy = try FedDevice(
        memory, try VirtioRNG(ram: memory.ram, loop: nil), loop: nil, [.eventIndex], size: 64,
        queues: [{ heap, _ in [Buffer(heap.allocate(64), 64, writable: true)] }])
    let consoleMemory = try GuestMemory(count: 4 << 20)
    let text: (GuestHeap, Int) -> [Buffer] = { heap, _ in [Buffer(heap.allocate(80), 80, writable: false)] }
    let console = try FedDevice(
        consoleMemory, try VirtioConsole(ram: consoleMemory.ram, loop: nil, backend: Silence()), loop: nil,
        [.eventIndex], size: 64, queues: [text, text])
    let balloonMemory = try GuestMemory(count: 16 << 20)
    let numbers: (GuestHeap, Int) -> [Buffer] = { heap, _ in
        // Sixteen pages in a row, far from everything else.
        let bytes: [UInt8] = (0..<16).flatMap { [UInt8($0), 0x08, 0, 0] }
        return [Buffer(heap.place(bytes), bytes.count, writable: false)]
    }
    let balloon = try FedDevice(
        balloonMemory, try VirtioBalloon(balloonMemory, loop: nil), loop: nil, [.eventIndex], size: 64,
        queues: [numbers])
    return [
        HotPath("virtio-rng: 64 bytes", operations: 20_000) { entropy.run(0, $0, batch: 4) },
        HotPath("virtio-console: a line out", operations: 20_000) { console.run(1, $0, batch: 4) },
        HotPath("virtio-balloon: 16 pages in a row", operations: 5_000) { balloon.run(0, $0, batch: 4) },
    ]
}
