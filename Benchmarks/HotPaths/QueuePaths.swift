import DeviceModel
import GuestMemory
import Linux
import NetEngine
import Virtio
import VirtioTestSupport

/// Finds a function's MSI-X capability and turns it on with all vectors unmasked, as every driver does.
private func enableMessageInterrupts(_ function: VirtioPCIFunction) throws {
    let windows = PCIWindows(
        ports: 0xc000...0xfeff, memory32: 0xc000_0000...0xfebf_ffff, memory64: 32 << 30...(64 << 30) - 1)
    let pci = PCIRoot(ports: .ports(), memory: .memory(), windows: windows, interruptLines: [])
    let base = UInt64(try pci.plug(function).device) << 15
    func read(_ offset: UInt64, _ width: Int) -> UInt64 {
        pci.read(region: PCIRoot.ecamRegion, offset: base + offset, width: width)
    }
    var offset = read(0x34, 1)
    while offset != 0, read(offset, 1) != 0x11 { offset = read(offset + 1, 1) }
    precondition(offset != 0, "the function has no MSI-X")
    pci.write(region: PCIRoot.ecamRegion, offset: base + offset + 2, width: 2, value: 0x8000)
    for vector in 0...(read(offset + 2, 2) & 0x7ff) {
        function.write(region: 1, offset: 16 * vector + 12, width: 4, value: 0)
    }
}

/// A virtio device whose driver is `FeedRing`s.
final class FedDevice {
    let memory: GuestMemory
    let function: VirtioPCIFunction
    let driver: VirtioDriver
    let interrupts: TestInterrupts
    var rings: [FeedRing] = []

    /// - Parameters:
    ///   - loop: on which the device is started and stopped, if its queues have loops.
    ///   - chains: for each queue to set up, what its chains look like.
    init(
        _ memory: GuestMemory, _ device: VirtioDevice, loop: EventLoop?, _ features: VirtioFeatures, size: Int,
        queues: [(GuestHeap, Int) -> [Buffer]]
    ) throws {
        self.memory = memory
        interrupts = try TestInterrupts(device.queues.count + 1)
        function = VirtioPCIFunction(device, interrupts: interrupts, binder: nil, control: loop, log: { _ in })
        let heap = GuestHeap(memory)
        driver = VirtioDriver(function, heap)
        try enableMessageInterrupts(function)
        driver.negotiate(features)
        for (index, chain) in queues.enumerated() {
            let ring = FeedRing(heap, size: size) { chain(heap, $0) }
            driver.enableQueue(index, ring.places, vector: UInt16(index))
            rings.append(ring)
        }
        driver.start()
    }

    /// Offers chains of a queue, lets the device serve them on the calling thread, until `count` came back.
    func run(_ index: Int, _ count: Int, batch: Int, each: () -> Void = {}) {
        let queue = function.device.queues[index]
        var left = count
        while left > 0 {
            rings[index].offer(min(batch, left))
            while rings[index].outstanding > 0 {
                queue.process()
                each()
                left -= rings[index].collect()
            }
        }
    }

    /// The same with the device on its own thread, told by its doorbell.
    func runThreaded(_ index: Int, _ count: Int, batch: Int, each: () -> Void = {}) {
        var left = count
        while left > 0 {
            rings[index].offer(min(batch, left))
            driver.kick(index)
            while rings[index].outstanding > 0 {
                each()
                left -= rings[index].collect()
            }
        }
    }
}

/// The far end of a packet socket, with a buffer of its own.
private final class PacketPeer {
    private let socket: Descriptor
    private let buffer = UnsafeMutableRawPointer.allocate(byteCount: 1 << 16, alignment: 16)

    init(_ socket: consuming Descriptor) { self.socket = socket }

    /// Takes all packets that wait.
    func drain() {
        var piece = IOVector(base: buffer, count: 1 << 16)
        while case .done(let count) = readRecord(socket.raw, &piece, 1), count > 0 {}
    }

    /// Sends a frame to everybody.
    func send(_ count: Int) {
        buffer.initializeMemory(as: UInt8.self, repeating: 0, count: 12 + count)
        (buffer + 12).initializeMemory(as: UInt8.self, repeating: 0xff, count: 6)
        var piece = IOVector(base: buffer, count: 12 + count)
        _ = writeRecord(socket.raw, &piece, 1)
    }
}

/// A network card on a packet socket, and the socket's other end.
private func networkCard(_ loop: EventLoop?) throws -> (FedDevice, PacketPeer) {
    let memory = try GuestMemory(count: 8 << 20)
    let sockets = try Descriptor.packetPair()
    let (backend, peer) = sockets.split { near, far in
        (SocketBackend([SocketBackend.Queue(near)]), PacketPeer(far))
    }
    let net = try VirtioNet(
        .init(address: benchAddress), backend: backend, memory: memory, loops: loop.map { [$0] } ?? [])
    let fed = try FedDevice(
        memory, net, loop: loop, [.netMergeableBuffers, .netStatus], size: 128,
        queues: [
            { heap, _ in [Buffer(heap.allocate(2048), 2048, writable: true)] },
            { heap, _ in
                // A header of zeros, and a frame to everybody.
                let frame = heap.place([UInt8](repeating: 0, count: 12) + [UInt8](repeating: 0xff, count: 1500))
                return [Buffer(frame, 12, writable: false), Buffer(frame + 12, 1500, writable: false)]
            },
        ])
    return (fed, peer)
}

/// virtio-net in user space, its queues served on the calling thread.
func netPaths() throws -> [HotPath] {
    let (card, peer) = try networkCard(nil)
    // Of its own: a packet that another path left would take a buffer, and then the batch would not come out even.
    let (merging, bulk) = try networkCard(nil)
    return [
        HotPath("virtio-net: transmit, 8 at a time", operations: 10_000) {
            card.run(1, $0, batch: 8) { peer.drain() }
        },
        HotPath("virtio-net: receive", operations: 10_000) {
            card.run(0, $0, batch: 1) { peer.send(1500) }
        },
        // An operation is a buffer of the packet's 25.
        HotPath("virtio-net: receive into merged buffers", operations: 10_000) {
            merging.run(0, $0, batch: 25) { bulk.send(25 * 2048 - 12) }
        },
    ]
}

/// The same with the queues on a thread of their own, from the doorbell's register to the driver's seeing the result.
func netThreadPaths() throws -> [HotPath] {
    let loop = try EventLoop(name: "net")
    try loop.start()
    let (card, peer) = try networkCard(loop)
    return [
        HotPath("virtio-net: transmit, by doorbell and thread", operations: 5_000) {
            card.runThreaded(1, $0, batch: 4) { peer.drain() }
        },
        HotPath("virtio-net: receive, by doorbell and thread", operations: 5_000) { count in
            var left = count
            while left > 0 {
                card.rings[0].offer(1)
                card.driver.kick(0)
                peer.send(1500)
                while card.rings[0].outstanding > 0 { left -= card.rings[0].collect() }
            }
        },
    ]
}

/// All of them, in the order of the table. Each makes its devices when its turn comes.
let allPaths: [@Sendable () throws -> [HotPath]] = [
    busPaths, machinePaths, ringPaths, smallDevicePaths, netPaths, netThreadPaths, diskPaths, diskThreadPaths,
]
