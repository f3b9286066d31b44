import BlockEngine
import BlockTestSupport
import DeviceModel
import Linux
import TestFiles
import Testing

@Suite("Disk on an event loop", .ring)
struct LoopTests {
    /// Keeps reading and checking until it has done so often enough.
    private final class Reader: BlockClient, @unchecked Sendable {  // belongs to the loop
        let queue: any BlockQueue
        let buffer = BlockBuffer(count: 65536)
        let done = Semaphore()
        var left = 2000
        var failures = 0

        init(_ queue: any BlockQueue) { self.queue = queue }

        func start() {
            for tag in 0..<8 { submit(UInt32(tag)) }
            queue.commit()
        }

        private func submit(_ tag: UInt32) {
            let start = Int(tag) * 4096
            let place = UInt64((left * 7 + Int(tag)) % 256) * 4096
            if !queue.submit(buffer.request(.read, tag: tag, at: place, [start..<start + 4096])) { failures += 1 }
        }

        override func blockRequestDone(_ tag: UInt32, _ status: BlockStatus) {
            if status != .done { failures += 1 }
            left -= 1
            if left >= 8 { submit(tag) }  // 8 are always under way, until the end
            if left == 0 { done.signal() }
        }
    }

    @Test("two queues on two loops work side by side, and close with requests under way")
    func sideBySide() throws {
        try withTemporaryDirectory { directory in
            let path = directory + "/disk.img"
            try makeFile(path, count: 1 << 20, filledWith: 6)
            let backend = try FileBlockBackend([.whole(BlockFile(opening: path, writable: true))])
            let loops = try [EventLoop(name: "one"), EventLoop(name: "two")]
            var readers: [Reader] = []
            for loop in loops {
                try loop.start()
                let reader = Reader(try backend.makeQueue(on: loop, depth: 8))
                reader.queue.attach(reader)
                readers.append(reader)
                loop.performAndWait {
                    do { try reader.queue.resume() } catch { reader.failures += 1 }
                    reader.start()
                }
            }
            for reader in readers {
                reader.done.wait()
                #expect(reader.failures == 0)
            }
            for (loop, reader) in zip(loops, readers) {
                loop.performAndWait {
                    reader.left = 1_000_000
                    reader.start()
                    reader.queue.close()
                }
                loop.stop()
            }
        }
    }
}
