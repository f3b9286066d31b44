import BlockEngine
import BlockTestSupport
import CLinux
import DeviceModel
import Linux
import Synchronization
import TestFiles
import Testing

/// Runs `body` with the path of a file system of 1 MiB.
private func withSmallFileSystem(_ body: (String) throws -> Void) throws {
    try withTemporaryDirectory { directory in
        try #require(mount("wafer-test", directory, "tmpfs", 0, "size=1m") == 0)
        defer { #expect(umount2(directory, CInt(MNT_DETACH)) == 0) }
        try body(directory)
    }
}

@Suite("Disk on storage that fails", .ring)
struct FailureQuestionTests {
    @Test("an error of the storage waits for an answer, if that is wanted")
    func asksOnAnyError() throws {
        try withTemporaryDirectory { directory in
            let path = directory + "/disk.img"
            try makeFile(path, count: 65536, filledWith: 7)
            let questions = Mutex<[BlockQuestion]>([])
            var options = FileBlockOptions()
            options.onQuestion = { question in questions.withLock { $0.append(question) } }
            options.asksOnAnyError = true
            let disk = try FileDisk([.whole(BlockFile(opening: path, writable: true))], options)
            let buffer = BlockBuffer(count: 8192)
            // Somebody cuts the file off, and puts it right again.
            #expect(truncate(path, 4096) == 0)
            #expect(try disk.run(buffer.request(.read, tag: 1, at: 8192, [0..<4096])) == [nil])
            #expect(questions.withLock { $0.map(\.error.number) } == [EIO])
            #expect(truncate(path, 65536) == 0)
            disk.backend.answer(.retry)
            #expect(disk.queue.suspend() == 0)
            #expect(disk.collector.statuses == [1: .done])

            try disk.queue.resume()
            #expect(truncate(path, 4096) == 0)
            #expect(try disk.run(buffer.request(.read, tag: 2, at: 8192, [0..<4096])) == [nil])
            disk.backend.answer(.fail)
            #expect(disk.collector.statuses == [2: .failed])
        }
    }
}

@Suite("Disk on full storage", .ring, .enabled(if: geteuid() == 0, "only root may mount a small file system"))
struct QuestionTests {
    @Test("without anybody to ask, a write to full storage fails and the next ones go on")
    func reports() throws {
        try withSmallFileSystem { directory in
            let path = directory + "/disk.img"
            try makeFile(path, count: 8 << 20)
            let disk = try FileDisk([.whole(BlockFile(opening: path, writable: true))])
            let buffer = BlockBuffer(count: 2 << 20, filledWith: 1)
            // The storage takes the first part of it.
            #expect(try disk.run(buffer.request(.write, tag: 1, at: 0, [0..<2 << 20])) == [.noSpace])
            #expect(disk.backend.lastError?.number == ENOSPC)
            #expect(try disk.run(buffer.request(.write, tag: 2, at: 0, [0..<4096])) == [.done])
            #expect(!disk.backend.isAsking)
        }
    }

    @Test("with somebody to ask, writes wait for the answer, and one question is enough")
    func asks() throws {
        try withSmallFileSystem { directory in
            let path = directory + "/disk.img"
            let ballast = directory + "/ballast"
            try makeFile(path, count: 8 << 20)
            try makeFile(ballast, count: 900 << 10, filledWith: 1)
            let questions = Mutex<[BlockQuestion]>([])
            var options = FileBlockOptions()
            options.onQuestion = { question in questions.withLock { $0.append(question) } }
            let disk = try FileDisk([.whole(BlockFile(opening: path, writable: true))], options)
            let buffer = BlockBuffer(count: 1 << 20)
            let data = pattern(512 << 10, seed: 8)
            buffer[0..<512 << 10] = data
            let half = 256 << 10
            #expect(
                try disk.run(
                    buffer.request(.write, tag: 1, at: 4096, [0..<half]),
                    buffer.request(.write, tag: 2, at: UInt64(4096 + half), [half..<2 * half]),
                    buffer.request(.read, tag: 3, at: 4 << 20, [1 << 19..<1 << 20])) == [nil, nil, .done])
            #expect(disk.queue.suspend() == 2)
            #expect(disk.backend.isAsking)
            #expect(questions.withLock { $0.map(\.file) } == [path])
            #expect(questions.withLock { $0.first?.error.number } == ENOSPC)

            // Too soon: nothing was freed, so the question comes again.
            try disk.queue.resume()
            disk.backend.answer(.retry)
            #expect(disk.queue.suspend() == 2)
            #expect(questions.withLock { $0.count } == 2)

            // An answer that comes while suspended holds until the queue goes on.
            #expect(unlink(ballast) == 0)
            disk.backend.answer(.retry)
            #expect(disk.collector.statuses[1] == nil)
            try disk.queue.resume()
            #expect(disk.queue.suspend() == 0)
            #expect(disk.collector.statuses == [1: .done, 2: .done, 3: .done])
            #expect(try contents(path, at: 4096, count: 512 << 10) == data)
        }
    }

    @Test("the answer can be to fail, or the guest can be reset meanwhile")
    func failsOrAbandons() throws {
        try withSmallFileSystem { directory in
            let path = directory + "/disk.img"
            try makeFile(path, count: 8 << 20)
            var options = FileBlockOptions()
            let asked = Atomic(0)
            let withdrawn = Atomic(0)
            options.onQuestion = { _ in asked.add(1, ordering: .relaxed) }
            options.onWithdrawal = { withdrawn.add(1, ordering: .relaxed) }
            let disk = try FileDisk([.whole(BlockFile(opening: path, writable: true))], options, depth: 2)
            let buffer = BlockBuffer(count: 2 << 20, filledWith: 1)
            #expect(try disk.run(buffer.request(.write, tag: 1, at: 0, [0..<2 << 20])) == [nil])
            disk.backend.answer(.fail)
            #expect(disk.collector.statuses == [1: .noSpace])
            #expect(withdrawn.load(ordering: .relaxed) == 0)

            #expect(try disk.run(buffer.request(.write, tag: 2, at: 0, [0..<2 << 20])) == [nil])
            #expect(asked.load(ordering: .relaxed) == 2)
            #expect(disk.queue.suspend() == 1)
            disk.queue.abandonWaiting()
            #expect(disk.queue.suspend() == 0)
            #expect(withdrawn.load(ordering: .relaxed) == 1)
            #expect(!disk.backend.isAsking)
            try disk.queue.resume()

            // The guest that starts anew meets the full storage again, and so must its administrator.
            #expect(try disk.run(buffer.request(.write, tag: 2, at: 0, [0..<2 << 20])) == [nil])
            #expect(asked.load(ordering: .relaxed) == 3)
            #expect(disk.queue.suspend() == 1)
            disk.queue.abandonWaiting()
            try disk.queue.resume()
            disk.backend.answer(.retry)
            #expect(disk.collector.statuses == [:])
            #expect(
                try disk.run(
                    buffer.request(.read, tag: 3, at: 0, [0..<512]), buffer.request(.read, tag: 4, at: 0, [0..<512]))
                    == [.done, .done])
        }
    }
}
