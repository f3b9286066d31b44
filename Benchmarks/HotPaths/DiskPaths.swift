import BlockEngine
import DeviceModel
import GuestMemory
import Linux
import Virtio
import VirtioTestSupport

/// A disk that has done everything as soon as it is asked: what is counted is the controller.
private final class InstantDisk: BlockBackend {
    let geometry = BlockGeometry(capacity: 1 << 24, identity: "instant")
    func makeQueue(on loop: EventLoop?, depth: Int) -> any BlockQueue { InstantQueue(depth: depth) }
    func observeGeometry(_ changed: (@Sendable (BlockGeometry) -> Void)?) {}
}

private final class InstantQueue: BlockQueue {
    let depth: Int
    let counters = BlockCounters()
    private var client: Unmanaged<BlockClient>?
    private let tags: UnsafeMutablePointer<UInt32>
    private var count = 0

    init(depth: Int) {
        self.depth = depth
        tags = .allocate(capacity: depth)
    }

    deinit { tags.deallocate() }

    func attach(_ client: BlockClient) { self.client = .passUnretained(client) }
    func resume() {}
    func suspend() -> Int { 0 }
    func abandonWaiting() {}
    func close() {}

    func submit(_ request: BlockRequest) -> Bool {
        guard count < depth else { return false }
        tags[count] = request.tag
        count += 1
        return true
    }

    func commit() {
        while count > 0 {
            count -= 1
            client?._withUnsafeGuaranteedRef { $0.blockRequestDone(tags[count], .done) }
        }
        client?._withUnsafeGuaranteedRef { $0.blockBatchDone() }
        client?._withUnsafeGuaranteedRef { $0.blockBatchesDone() }
    }
}

/// A disk of 4 KiB requests: a header of two words and a sector number, the data, and a status byte.
private func fedDisk(_ backend: any BlockBackend, _ loop: EventLoop?, type: UInt32) throws -> FedDevice {
    let memory = try GuestMemory(count: 8 << 20)
    let device = try VirtioBlock(backend, ram: memory.ram, loops: [loop])
    return try FedDevice(
        memory, device, loop: loop, [.eventIndex], size: 256,
        queues: [
            { heap, number in
                let header = heap.allocate(16)
                heap.ram.store(type, at: header)
                heap.ram.store(UInt64(number * 8), at: header + 8)
                return [
                    Buffer(header, 16, writable: false),
                    Buffer(heap.allocate(4096, alignment: 4096), 4096, writable: type == 0),
                    Buffer(heap.allocate(1), 1, writable: true),
                ]
            }
        ])
}

/// virtio-blk: the controller alone, and with io_uring on a file.
func diskPaths() throws -> [HotPath] {
    let instant = try fedDisk(InstantDisk(), nil, type: 0)
    func file() throws -> any BlockBackend {
        let path = "/tmp/hotpaths-\(processIdentifier())"
        let made = try Descriptor(opening: path, [.readWrite, .create, .truncate])
        defer { removeFile(path) }
        let megabyte = [UInt8](repeating: 0x5a, count: 1 << 20)
        for _ in 0..<2 { _ = made.writeAll(megabyte) }
        return try FileBlockBackend([.whole(try BlockFile(of: made, name: path, writable: true, keeping: nil))])
    }
    let read = try fedDisk(file(), nil, type: 0)
    let write = try fedDisk(file(), nil, type: 1)
    return [
        HotPath("virtio-blk: read 4 KiB, an instant disk", operations: 20_000) { instant.run(0, $0, batch: 16) },
        HotPath("virtio-blk: read 4 KiB, io_uring", operations: 10_000) { read.run(0, $0, batch: 16) },
        HotPath("virtio-blk: write 4 KiB, io_uring", operations: 5_000) { write.run(0, $0, batch: 16) },
    ]
}

/// The same with the queue on a thread of its own.
func diskThreadPaths() throws -> [HotPath] {
    let loop = try EventLoop(name: "io-0")
    try loop.start()
    let path = "/tmp/hotpaths-\(processIdentifier())"
    let made = try Descriptor(opening: path, [.readWrite, .create, .truncate])
    defer { removeFile(path) }
    _ = made.writeAll([UInt8](repeating: 0x5a, count: 2 << 20))
    let file = try BlockFile(of: made, name: path, writable: true, keeping: nil)
    let disk = try fedDisk(try FileBlockBackend([.whole(file)]), loop, type: 0)
    return [
        HotPath("virtio-blk: read 4 KiB, io_uring, doorbell and thread", operations: 5_000) {
            disk.runThreaded(0, $0, batch: 16)
        }
    ]
}
