import CLinux
import Linux
import Testing

/// Why io_uring cannot be tested here, if so.
private let unavailable: String? = {
    do {
        _ = try IORing(capacity: 1, completionCapacity: 1)
        return nil
    } catch {
        return "\(error)"
    }
}()

@Suite("io_uring", .enabled(if: unavailable == nil, "io_uring is not permitted here: \(unavailable ?? "")"))
final class IORingTests {
    private let file: Descriptor

    init() throws {
        file = try Descriptor.memoryFile("io-ring-test", count: 1 << 20)
    }

    private func bytes(at offset: Int, count: Int) -> [UInt8] {
        var bytes = [UInt8](repeating: 0xee, count: count)
        #expect(pread(file.raw, &bytes, count, offset) == count)
        return bytes
    }

    private func ring(_ capacity: Int = 8) throws -> IORing {
        let ring = try IORing(capacity: capacity, completionCapacity: capacity * 2)
        try ring.enable()
        return ring
    }

    private func results(_ ring: IORing, _ count: Int) throws -> [UInt64: Int32] {
        try ring.submit(waitFor: UInt32(count))
        var results: [UInt64: Int32] = [:]
        while let completion = ring.nextCompletion() { results[completion.userData] = completion.result }
        return results
    }

    @Test("a vector has the layout of struct iovec")
    func layout() {
        #expect(MemoryLayout<IOVector>.size == MemoryLayout<iovec>.size)
        #expect(MemoryLayout<IOVector>.stride == MemoryLayout<iovec>.stride)
        #expect(MemoryLayout<IOVector>.offset(of: \.base) == MemoryLayout<iovec>.offset(of: \.iov_base))
        #expect(MemoryLayout<IOVector>.offset(of: \.count) == MemoryLayout<iovec>.offset(of: \.iov_len))
    }

    @Test("what is written can be read back, plainly and by vectors")
    func readsAndWrites() throws {
        let ring = try ring()
        let memory = UnsafeMutableRawBufferPointer.allocate(byteCount: 4096, alignment: 4096)
        defer { memory.deallocate() }
        let base = try #require(memory.baseAddress)
        for index in 0..<1024 { memory[index] = UInt8(truncatingIfNeeded: index * 7) }
        #expect(ring.prepareWrite(.descriptor(file.raw), at: 100, from: base, count: 1024, durable: true, userData: 1))
        #expect(try results(ring, 1) == [1: 1024])
        #expect(bytes(at: 100, count: 1024) == Array(memory[..<1024]))

        var vectors = [IOVector(base: base + 3000, count: 24), IOVector(base: base + 2000, count: 1000)]
        #expect(
            ring.prepareRead(.descriptor(file.raw), at: 100, into: &vectors, vectorCount: 2, userData: 2))
        #expect(ring.prepareRead(.descriptor(file.raw), at: 104, into: base + 4000, count: 4, userData: 3))
        #expect(try results(ring, 2) == [2: 1024, 3: 4])
        #expect(Array(memory[3000..<3024]) == Array(memory[..<24]))
        #expect(Array(memory[2000..<3000]) == Array(memory[24..<1024]))
        #expect(Array(memory[4000..<4004]) == Array(memory[4..<8]))

        #expect(
            ring.prepareWrite(.descriptor(file.raw), at: 0, from: &vectors, vectorCount: 2, userData: 4))
        #expect(try results(ring, 1) == [4: 1024])
        #expect(bytes(at: 0, count: 1024) == Array(memory[..<1024]))
    }

    @Test("no more is prepared than there is room for, and one submission takes all of it")
    func capacity() throws {
        let ring = try ring(4)
        for round in 0..<10 {
            for index in 0..<4 { #expect(ring.prepareNothing(userData: UInt64(round * 4 + index))) }
            #expect(!ring.prepareNothing(userData: 99))
            #expect(ring.preparedCount == 4)
            #expect(try ring.submit() == 4)
            #expect(ring.preparedCount == 0)
            var seen: [UInt64] = []
            while let completion = ring.nextCompletion() { seen.append(completion.userData) }
            #expect(seen == (0..<4).map { UInt64(round * 4 + $0) })
        }
    }

    @Test("errors come back as negated numbers, and the ring goes on")
    func errors() throws {
        let ring = try ring()
        var byte: UInt8 = 0
        #expect(ring.prepareRead(.descriptor(-1), at: 0, into: &byte, count: 1, userData: 1))
        #expect(ring.prepareDataSync(.descriptor(file.raw), userData: 2))
        #expect(try results(ring, 2) == [1: -EBADF, 2: 0])
    }

    @Test("holes are punched and ranges zeroed")
    func allocation() throws {
        let ring = try ring()
        var ones = [UInt8](repeating: 1, count: 12288)
        #expect(pwrite(file.raw, &ones, 12288, 0) == 12288)
        #expect(ring.supports(.allocate))
        #expect(
            ring.prepareAllocate(
                .descriptor(file.raw), [.punchHole, .keepSize], at: 4096, count: 4096, userData: 5))
        #expect(try results(ring, 1) == [5: 0])
        #expect(bytes(at: 4095, count: 2) == [1, 0])
        #expect(bytes(at: 8191, count: 2) == [0, 1])
    }

    @Test("registered files and buffers serve like plain ones")
    func registered() throws {
        let ring = try ring()
        let memory = UnsafeMutableRawBufferPointer.allocate(byteCount: 4096, alignment: 4096)
        defer { memory.deallocate() }
        let base = try #require(memory.baseAddress)
        memory.copyBytes(from: [1, 2, 3, 4])
        try ring.registerFiles([file.raw])
        try ring.registerBuffers([IOVector(base: base, count: 4096)])
        #expect(ring.prepareWriteFixed(.registered(0), at: 0, from: base, count: 4, index: 0, userData: 1))
        #expect(try results(ring, 1) == [1: 4])
        #expect(ring.prepareReadFixed(.registered(0), at: 1, into: base + 8, count: 3, index: 0, userData: 2))
        #expect(ring.prepareReadFixed(.registered(0), at: 1, into: base + 4096, count: 3, index: 0, userData: 3))
        #expect(try results(ring, 2) == [2: 3, 3: -EFAULT])
        #expect(Array(memory[8..<11]) == [2, 3, 4])
    }

    @Test("a completion that nobody looks for signals the event; one that is looked for does not")
    func events() throws {
        let ring = try ring()
        let bell = try EventFD()
        let done = try EventFD()
        try ring.registerEvent(done)
        #expect(ring.preparePoll(.descriptor(bell.raw), userData: 7))
        try ring.submit()
        #expect(!ring.hasCompletions)
        #expect(!done.isSignalled)
        bell.signal()
        // Signalled from within another event's signal, so a moment later.
        var signal = pollfd(fd: done.raw, events: Int16(POLLIN), revents: 0)
        #expect(CLinux.poll(&signal, 1, 10_000) == 1)
        #expect(ring.hasDeferredWork || ring.hasCompletions)
        #expect(try results(ring, 0) == [7: 1])
        done.drain()

        ring.disableEvent()
        #expect(ring.prepareNothing(userData: 8))
        try ring.submit()
        #expect(!done.isSignalled)
        #expect(ring.enableEvent())
        #expect(try results(ring, 0) == [8: 0])
        #expect(!ring.enableEvent())
    }

    @Test("only the thread that enabled the ring may submit")
    func otherThread() throws {
        let ring = try ring()
        #expect(ring.prepareNothing(userData: 1))
        let refused = Semaphore()
        let thread = try Thread(name: "other") {
            do throws(SystemError) {
                try ring.submit()
            } catch {
                if error.number == EEXIST { refused.signal() }
            }
        }
        refused.wait()
        thread.join()
        #expect(try results(ring, 1) == [1: 0])
    }
}
