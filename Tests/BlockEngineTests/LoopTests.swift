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

    /// Notes what it is told, and after each batch but the last asks for another that the disk refuses at once.
    private final class Chain: BlockClient, @unchecked Sendable {  // one thread
        let queue: any BlockQueue
        var left: Int
        var said = ""

        init(_ queue: any BlockQueue, _ count: Int) {
            self.queue = queue
            left = count
        }

        func submit() { #expect(queue.submit(BlockRequest(.read, tag: 1, offset: .max & ~0xfff, count: 4096))) }

        override func blockBatchDone() {
            said += "b"
            left -= 1
            if left > 0 { submit() }
        }
        override func blockBatchesDone() { said += "|" }
    }

    @Test(
        "the guest is interrupted after all that could be done at once, but at least every four batches",
        arguments: [(1, "b|"), (3, "bbb|"), (6, "bbbb|bb|")])
    func interruptsComeLast(_ count: Int, _ expected: String) throws {
        try withTemporaryDirectory { directory in
            let path = directory + "/disk.img"
            try makeFile(path, count: 1 << 20)
            let backend = try FileBlockBackend([.whole(BlockFile(opening: path, writable: true))])
            let queue = try backend.makeQueue(on: nil, depth: 8)
            defer { queue.close() }
            let chain = Chain(queue, count)
            queue.attach(chain)
            try queue.resume()
            chain.submit()
            queue.commit()
            #expect(chain.said == expected)
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
