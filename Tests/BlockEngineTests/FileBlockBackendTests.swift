import BlockEngine
import BlockTestSupport
import CLinux
import DeviceModel
import Linux
import TestFiles
import Testing

@Suite("Disk on files", .ring)
struct FileBlockBackendTests {
    @Test("what is written can be read back, with and without the page cache", arguments: [DiskCache.direct, .host])
    func roundTrip(_ cache: DiskCache) throws {
        try withTemporaryDirectory { directory in
            let path = directory + "/disk.img"
            try makeFile(path, count: 1 << 20)
            let disk = try FileDisk([.whole(BlockFile(opening: path, writable: true, cache: cache))])
            #expect(disk.backend.geometry.capacity == 1 << 20)
            let buffer = BlockBuffer(count: 65536)
            buffer[0..<16384] = pattern(16384, seed: 1)
            #expect(
                try disk.run(
                    buffer.request(.write, tag: 1, at: 4096, [0..<4096, 8192..<16384]),
                    buffer.request(.write, tag: 2, at: 65536, [4096..<8192], options: .durable)) == [.done, .done])
            #expect(try disk.run(BlockRequest(.flush, tag: 3)) == [.done])
            #expect(try contents(path, at: 4096, count: 12288) == buffer[0..<4096] + buffer[8192..<16384])
            #expect(
                try disk.run(
                    buffer.request(.read, tag: 4, at: 8192, [32768..<36864, 20480..<24576]),
                    buffer.request(.read, tag: 5, at: 65536, [40960..<45056])) == [.done, .done])
            #expect(buffer[32768..<36864] == buffer[8192..<12288])
            #expect(buffer[20480..<24576] == buffer[12288..<16384])
            #expect(buffer[40960..<45056] == buffer[4096..<8192])
        }
    }

    @Test("memory and lengths of any alignment work", arguments: [1, 4, 100, 512, 513])
    func unalignedMemory(_ shift: Int) throws {
        try withTemporaryDirectory { directory in
            let path = directory + "/disk.img"
            try makeFile(path, count: 4 << 20)
            let disk = try FileDisk([.whole(BlockFile(opening: path, writable: true))])
            // 300 KiB: several bounce buffers one after the other.
            let count = 300 << 10
            let buffer = BlockBuffer(count: 1 << 20)
            let data = pattern(count, seed: shift)
            buffer[shift..<shift + count] = data
            let cut = 12345
            #expect(
                try disk.run(
                    buffer.request(.write, tag: 1, at: 1024, [shift..<shift + cut, shift + cut..<shift + count]))
                    == [.done])
            #expect(try contents(path, at: 1024, count: count) == data)
            let target = 512 << 10
            #expect(
                try disk.run(
                    buffer.request(
                        .read, tag: 2, at: 1024,
                        [target + shift..<target + shift + 7, target + shift + 7..<target + shift + count])) == [.done])
            #expect(buffer[target + shift..<target + shift + count] == data)
        }
    }

    @Test("more unaligned requests than bounce buffers wait for one another")
    func bounceBuffersRunOut() throws {
        try withTemporaryDirectory { directory in
            let path = directory + "/disk.img"
            try makeFile(path, count: 16 << 20)
            let disk = try FileDisk([.whole(BlockFile(opening: path, writable: true))], depth: 128)
            let buffer = BlockBuffer(count: 1 << 20)
            buffer[0..<1 << 20] = pattern(1 << 20, seed: 9)
            for tag in 0..<100 {
                let start = tag * 1000 + 1
                #expect(
                    disk.queue.submit(
                        buffer.request(.write, tag: UInt32(tag), at: UInt64(tag) << 17, [start..<start + 131072])))
            }
            disk.queue.commit()
            #expect(disk.queue.suspend() == 0)
            #expect(disk.collector.statuses.count == 100)
            #expect(disk.collector.statuses.values.allSatisfy { $0 == .done })
            for tag in [0, 57, 99] {
                let start = tag * 1000 + 1
                #expect(try contents(path, at: tag << 17, count: 131072) == buffer[start..<start + 131072])
            }
        }
    }

    @Test("thousands of small segments make one request")
    func manySegments() throws {
        try withTemporaryDirectory { directory in
            let path = directory + "/disk.img"
            try makeFile(path, count: 4 << 20)
            let disk = try FileDisk([.whole(BlockFile(opening: path, writable: true))])
            let buffer = BlockBuffer(count: 4 << 20)
            buffer[0..<4 << 20] = pattern(4 << 20, seed: 4)
            // Every other 512 bytes: 3000 segments, more than one system call takes.
            let ranges = (0..<3000).map { $0 * 1024..<$0 * 1024 + 512 }
            #expect(try disk.run(buffer.request(.write, tag: 1, at: 512, ranges)) == [.done])
            let written = try contents(path, at: 512, count: 3000 * 512)
            #expect(written == ranges.flatMap { buffer[$0] })
        }
    }

    @Test("a request is split where extents meet; extents of zeros read as zeros and refuse writes")
    func extents() throws {
        try withTemporaryDirectory { directory in
            let first = directory + "/disk-f001.vmdk"
            let second = directory + "/disk-f002.vmdk"
            try makeFile(first, count: 8192, filledWith: 1)
            try makeFile(second, count: 16384, filledWith: 2)
            let files = try [first, second].map { try BlockFile(opening: $0, writable: true) }
            let disk = try FileDisk([
                DiskExtent(count: 8192, source: .file(files[0], offset: 0)),
                DiskExtent(count: 1024, source: .zeros),
                DiskExtent(count: 8192, source: .file(files[1], offset: 4096)),
                DiskExtent(count: 512, source: .file(files[0], offset: 512)),
            ])
            #expect(disk.backend.geometry.capacity == 8192 + 1024 + 8192 + 512)
            let buffer = BlockBuffer(count: 65536, filledWith: 9)
            let all = 8192 + 1024 + 8192 + 512
            #expect(try disk.run(buffer.request(.read, tag: 1, at: 0, [0..<5000, 6000..<1000 + all])) == [.done])
            let read = buffer[0..<5000] + buffer[6000..<1000 + all]
            var expected = [UInt8](repeating: 1, count: 8192) + [UInt8](repeating: 0, count: 1024)
            expected += [UInt8](repeating: 2, count: 8192) + [UInt8](repeating: 1, count: 512)
            #expect(read == expected)

            buffer[32768..<33792] = pattern(1024, seed: 3)
            #expect(
                try disk.run(buffer.request(.write, tag: 2, at: 9216 + 8192 - 512, [32768..<33792])) == [.done])
            #expect(try contents(second, at: 4096 + 8192 - 512, count: 512) == buffer[32768..<33280])
            #expect(try contents(first, at: 512, count: 512) == buffer[33280..<33792])
            #expect(try contents(second, at: 4096 + 8192, count: 4096) == [UInt8](repeating: 2, count: 4096))

            #expect(try disk.run(buffer.request(.write, tag: 3, at: 8192, [0..<512])) == [.readOnly])
            #expect(
                try disk.run(
                    BlockRequest(.flush, tag: 4), BlockRequest(.discard, tag: 5, offset: 0, count: UInt64(all)))
                    == [.done, .done])
        }
    }

    @Test("holes read as zeros; discarding and zeroing give zeros and touch nothing else")
    func holes() throws {
        try withTemporaryDirectory { directory in
            let path = directory + "/disk.img"
            try makeFile(path, count: 1 << 20)
            let disk = try FileDisk([.whole(BlockFile(opening: path, writable: true))])
            let buffer = BlockBuffer(count: 1 << 20, filledWith: 5)
            #expect(try disk.run(buffer.request(.read, tag: 1, at: 0, [0..<65536])) == [.done])
            #expect(buffer[0..<65536] == [UInt8](repeating: 0, count: 65536))

            #expect(try disk.run(buffer.request(.write, tag: 2, at: 0, [65536..<327680])) == [.done])
            let before = try Descriptor(opening: path, .readOnly).properties().allocated
            #expect(
                try disk.run(
                    BlockRequest(.discard, tag: 3, offset: 65536, count: 65536),
                    BlockRequest(.writeZeroes, tag: 4, offset: 512, count: 1024),
                    BlockRequest(.writeZeroes, tag: 5, offset: 196608, count: 8192, options: [.mayUnmap, .durable]))
                    == [.done, .done, .done])
            let after = try contents(path, count: 262144)
            let zeros = [512..<1536, 65536..<131072, 196608..<204800]
            for index in after.indices {
                let isZero = zeros.contains { $0.contains(index) }
                if after[index] != (isZero ? 0 : 5) {
                    Issue.record("byte \(index) is \(after[index])")
                    break
                }
            }
            let freed = try Descriptor(opening: path, .readOnly).properties().allocated
            #expect(freed < before)
        }
    }

    @Test("zeros are written where the file system cannot zero ranges")
    func zerosOnTmpfs() throws {
        // A memory file punches holes, but does not zero ranges.
        let memory = try Descriptor.memoryFile("disk", count: 4 << 20)
        let file = try BlockFile(adopting: memory.duplicate(), cached: nil, name: "memory")
        let disk = try FileDisk([.whole(file)])
        let buffer = BlockBuffer(count: 4 << 20, filledWith: 5)
        #expect(try disk.run(buffer.request(.write, tag: 1, at: 0, [0..<4 << 20])) == [.done])
        // Longer than one write of zeros.
        #expect(try disk.run(BlockRequest(.writeZeroes, tag: 2, offset: 1024, count: 3 << 20)) == [.done])
        #expect(try disk.run(buffer.request(.read, tag: 3, at: 0, [0..<4 << 20])) == [.done])
        #expect(buffer[0..<1024] == [UInt8](repeating: 5, count: 1024))
        #expect(buffer[1024..<1024 + (3 << 20)] == [UInt8](repeating: 0, count: 3 << 20))
        #expect(buffer[1024 + (3 << 20)..<4 << 20] == [UInt8](repeating: 5, count: (1 << 20) - 1024))
    }

    @Test("the incomplete last block of a file reads as zeros past its end and can be written")
    func incompleteLastBlock() throws {
        try withTemporaryDirectory { directory in
            let path = directory + "/disk.img"
            try makeFile(path, count: 4096 + 100, filledWith: 7)
            let disk = try FileDisk([.whole(BlockFile(opening: path, writable: true))])
            #expect(disk.backend.geometry.capacity == 4608)
            let buffer = BlockBuffer(count: 16384, filledWith: 9)
            #expect(try disk.run(buffer.request(.read, tag: 1, at: 0, [0..<4608])) == [.done])
            #expect(buffer[0..<4196] == [UInt8](repeating: 7, count: 4196))
            #expect(buffer[4196..<4608] == [UInt8](repeating: 0, count: 412))
            buffer[8192..<8704] = pattern(512, seed: 2)
            #expect(try disk.run(buffer.request(.write, tag: 2, at: 4096, [8192..<8704])) == [.done])
            #expect(try contents(path, at: 4096, count: 1000) == pattern(512, seed: 2))
        }
    }

    @Test("a file that was cut off meanwhile gives an error, not zeros")
    func cutOff() throws {
        try withTemporaryDirectory { directory in
            let path = directory + "/disk.img"
            try makeFile(path, count: 65536, filledWith: 7)
            let disk = try FileDisk([.whole(BlockFile(opening: path, writable: true))])
            #expect(truncate(path, 8192) == 0)
            let buffer = BlockBuffer(count: 16384)
            #expect(try disk.run(buffer.request(.read, tag: 1, at: 4096, [0..<8192])) == [.failed])
            #expect(disk.backend.lastError?.subject == path)
            #expect(try disk.run(buffer.request(.read, tag: 2, at: 0, [0..<8192])) == [.done])
            #expect(disk.queue.counters.errors == 1)
        }
    }

    @Test("requests that are wrong in themselves are refused, and change nothing")
    func refusals() throws {
        try withTemporaryDirectory { directory in
            let path = directory + "/disk.img"
            try makeFile(path, count: 65536, filledWith: 7)
            let disk = try FileDisk([.whole(BlockFile(opening: path, writable: true))])
            let buffer = BlockBuffer(count: 131072)
            #expect(
                try disk.run(
                    buffer.request(.read, tag: 1, at: 65536, [0..<512]),
                    buffer.request(.read, tag: 2, at: 65024, [0..<1024]),
                    buffer.request(.write, tag: 3, at: UInt64.max - 511, [0..<1024]),
                    buffer.request(.write, tag: 4, at: 100, [0..<512]),
                    buffer.request(.write, tag: 5, at: 0, [0..<100]),
                    BlockRequest(.discard, tag: 6, offset: 0, count: 1 << 40),
                    BlockRequest(.writeZeroes, tag: 7, offset: UInt64.max & ~511, count: UInt64.max & ~511),
                    BlockRequest(.read, tag: 8, offset: 0, count: 512)
                ) == [BlockStatus?](repeating: .outOfRange, count: 8))
            #expect(try disk.run(buffer.request(.read, tag: 9, at: 0, [0..<0])) == [.done])
            #expect(try contents(path, count: 65536) == [UInt8](repeating: 7, count: 65536))
        }
    }

    @Test("a read-only disk refuses every change")
    func readOnly() throws {
        try withTemporaryDirectory { directory in
            let path = directory + "/disk.iso"
            try makeFile(path, count: 65536, filledWith: 7)
            var options = FileBlockOptions()
            options.isReadOnly = true
            let file = try BlockFile(opening: path, writable: false)
            let disk = try FileDisk([.whole(file)], options)
            #expect(disk.backend.geometry.isReadOnly)
            let buffer = BlockBuffer(count: 4096)
            #expect(
                try disk.run(
                    buffer.request(.write, tag: 1, at: 0, [0..<512]),
                    BlockRequest(.discard, tag: 2, offset: 0, count: 512),
                    BlockRequest(.writeZeroes, tag: 3, offset: 0, count: 512),
                    BlockRequest(.flush, tag: 4),
                    buffer.request(.read, tag: 5, at: 0, [0..<512])
                ) == [.readOnly, .readOnly, .readOnly, .done, .done])
            #expect(throws: DiskLayoutError.fileReadOnly(name: path)) { try FileBlockBackend([.whole(file)]) }
        }
    }

    @Test("no more than the depth is in flight")
    func depth() throws {
        try withTemporaryDirectory { directory in
            let path = directory + "/disk.img"
            try makeFile(path, count: 65536)
            let disk = try FileDisk([.whole(BlockFile(opening: path, writable: true))], depth: 2)
            #expect(disk.queue.submit(BlockRequest(.flush, tag: 1)))
            #expect(disk.queue.submit(BlockRequest(.flush, tag: 2)))
            #expect(!disk.queue.submit(BlockRequest(.flush, tag: 3)))
            disk.queue.commit()
            #expect(disk.queue.suspend() == 0)
            #expect(Set(disk.collector.order) == [1, 2])
            try disk.queue.resume()
            // From within a completion there is room again.
            disk.collector.forget()
            var next: UInt32 = 10
            disk.collector.onDone = { _ in
                guard next < 110 else { return }
                next += 1
                #expect(disk.queue.submit(BlockRequest(.flush, tag: next)))
            }
            #expect(disk.queue.submit(BlockRequest(.flush, tag: 10)))
            disk.queue.commit()
            disk.queue.suspend()
            #expect(disk.collector.order == Array(10...110))
        }
    }

    @Test("an extent that must not be written refuses writes, next to one that takes them")
    func readOnlyExtent() throws {
        try withTemporaryDirectory { directory in
            let path = directory + "/disk.img"
            try makeFile(path, count: 65536, filledWith: 7)
            let file = try BlockFile(opening: path, writable: true)
            let disk = try FileDisk([
                DiskExtent(count: 32768, source: .file(file, offset: 0)),
                DiskExtent(count: 32768, source: .file(file, offset: 32768), isWritable: false),
            ])
            let buffer = BlockBuffer(count: 8192, filledWith: 1)
            #expect(
                try disk.run(
                    buffer.request(.write, tag: 1, at: 28672, [0..<4096]),
                    buffer.request(.write, tag: 2, at: 32768, [0..<4096]),
                    BlockRequest(.writeZeroes, tag: 3, offset: 32768, count: 4096),
                    buffer.request(.read, tag: 4, at: 32768, [4096..<8192])) == [.done, .readOnly, .readOnly, .done])
            #expect(buffer[4096..<8192] == [UInt8](repeating: 7, count: 4096))
            #expect(try contents(path, at: 32768, count: 32768) == [UInt8](repeating: 7, count: 32768))
        }
    }

    @Test("a file that is open already can be opened anew, and its owner lives on")
    func openedAnew() throws {
        final class Owner: Sendable {}
        try withTemporaryDirectory { directory in
            let path = directory + "/disk.img"
            try makeFile(path, count: 65536, filledWith: 7)
            let descriptor = try Descriptor(opening: path, .readWrite)
            weak var seen: Owner?
            do {
                var owner: Owner? = Owner()
                seen = owner
                let file = try BlockFile(of: descriptor, name: path, writable: true, keeping: owner)
                owner = nil
                #expect(seen != nil)
                let disk = try FileDisk([.whole(file)])
                let buffer = BlockBuffer(count: 4096)
                #expect(try disk.run(buffer.request(.read, tag: 1, at: 0, [0..<4096])) == [.done])
                #expect(buffer[0..<4096] == [UInt8](repeating: 7, count: 4096))
            }
            #expect(seen == nil)
        }
    }

    @Test("a disk grows while it is in use")
    func growth() throws {
        try withTemporaryDirectory { directory in
            let path = directory + "/disk.img"
            let more = directory + "/more.img"
            try makeFile(path, count: 65536)
            try makeFile(more, count: 65536, filledWith: 3)
            let file = try BlockFile(opening: path, writable: true)
            let disk = try FileDisk([.whole(file)])
            let seen = SeenCapacity()
            disk.backend.observeGeometry { seen.capacity = $0.capacity }
            let buffer = BlockBuffer(count: 4096)
            #expect(try disk.run(buffer.request(.read, tag: 1, at: 65536, [0..<4096])) == [.outOfRange])
            try disk.backend.grow([.whole(file), .whole(BlockFile(opening: more, writable: true))])
            #expect(seen.capacity == 131072)
            #expect(try disk.run(buffer.request(.read, tag: 2, at: 65536, [0..<4096])) == [.done])
            #expect(buffer[0..<4096] == [UInt8](repeating: 3, count: 4096))
        }
    }

    private final class SeenCapacity: @unchecked Sendable {  // one thread
        var capacity: UInt64 = 0
    }

    @Test("a write-through disk works like any other")
    func writeThrough() throws {
        try withTemporaryDirectory { directory in
            let path = directory + "/disk.img"
            try makeFile(path, count: 65536)
            var options = FileBlockOptions()
            options.isWriteThrough = true
            let disk = try FileDisk([.whole(BlockFile(opening: path, writable: true))], options)
            let buffer = BlockBuffer(count: 8192, filledWith: 3)
            #expect(
                try disk.run(
                    buffer.request(.write, tag: 1, at: 0, [0..<4096]),
                    BlockRequest(.writeZeroes, tag: 2, offset: 4096, count: 4096),
                    BlockRequest(.discard, tag: 3, offset: 8192, count: 4096),
                    buffer.request(.read, tag: 4, at: 16384, [4096..<8192])) == [.done, .done, .done, .done])
            #expect(try contents(path, count: 4096) == [UInt8](repeating: 3, count: 4096))
        }
    }

    @Test("requests are counted with their bytes")
    func counters() throws {
        try withTemporaryDirectory { directory in
            let path = directory + "/disk.img"
            try makeFile(path, count: 65536)
            let disk = try FileDisk([.whole(BlockFile(opening: path, writable: true))])
            let buffer = BlockBuffer(count: 8192)
            _ = try disk.run(
                buffer.request(.write, tag: 1, at: 0, [0..<4096]), buffer.request(.write, tag: 2, at: 4096, [0..<512]),
                buffer.request(.read, tag: 3, at: 65536, [0..<512]), BlockRequest(.flush, tag: 4))
            let counters = disk.queue.counters
            #expect(counters.sum(.write).requests == 2)
            #expect(counters.sum(.write).bytes == 4608)
            #expect(counters.sum(.write).nanoseconds > 0)
            #expect(counters.sum(.read).requests == 1)
            #expect(counters.sum(.read).bytes == 0)
            #expect(counters.sum(.flush).requests == 1)
            #expect(counters.errors == 1)
        }
    }
}
