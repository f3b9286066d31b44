import Linux
import NetEngine
import TestNetwork
import Testing

@Suite("Socket back end")
struct SocketBackendTests {
    @Test("a packet keeps its boundaries; an empty queue and a closed peer give nothing")
    func packets() throws {
        try Descriptor.packetPair().split { near, far in
            let queue = SocketBackend([SocketBackend.Queue(near)]).queue(0)
            let buffer = UnsafeMutableRawPointer.allocate(byteCount: 256, alignment: 16)
            defer { buffer.deallocate() }
            for index in 0..<256 { buffer.storeBytes(of: UInt8(index), toByteOffset: index, as: UInt8.self) }
            var out = IOVector(base: buffer, count: 100)
            #expect(writeRecord(far.raw, &out, 1) == .done(100))
            out.count = 60
            #expect(writeRecord(far.raw, &out, 1) == .done(60))

            var pieces = [IOVector(base: buffer + 128, count: 4), IOVector(base: buffer + 140, count: 100)]
            #expect(queue.receive(&pieces, 2) == .done(100))
            #expect((buffer + 139).load(as: UInt8.self) == 139)
            #expect((buffer + 140).load(as: UInt8.self) == 4)
            #expect(queue.receive(&pieces, 2) == .done(60))
            #expect(queue.receive(&pieces, 2) == .wouldBlock)
            #expect(queue.send(&pieces, 2) == .done(104))
            _ = consume far
        }
    }
}

@Suite("Tap back end", .enabled(if: networkUnavailable == nil, Comment(rawValue: networkUnavailable ?? "")))
struct TapBackendTests {
    @Test("offers what the kernel offers and takes settings in any order")
    func settings() throws {
        try inOwnNetwork {
            let backend = try TapBackend("tap%d", queueCount: 1)
            #expect(backend.name == "tap0")
            #expect(backend.queue(0).tap?.name == "tap0")
            #expect(backend.offloads.isSuperset(of: [.checksum, .tcp4, .tcp6]))
            try backend.setGuestOffloads(.all)
            try backend.setGuestOffloads([.tcp4])
            try backend.setActiveQueues(1)
            var filter = NetFilter(MACAddress(0, 0x0c, 0x29, 0, 0, 1))
            backend.setFilter(filter)
            filter.isPromiscuous = false
            filter.setAddresses((0..<60).map { MACAddress(rawValue: 0x0200_0000_0000 | UInt64($0)) })
            backend.setFilter(filter)
        }
    }

    @Test("several queues are one interface, of which the active ones are attached")
    func queues() throws {
        try inOwnNetwork {
            let backend = try TapBackend("mq0", queueCount: 4)
            #expect(backend.queueCount == 4)
            try backend.setActiveQueues(3)
            try backend.setActiveQueues(1)
            try backend.setActiveQueues(4)
            let other = try TapQueue("other0")
            let one = try TapQueue("mq1")
            #expect(throws: SystemError.self) { try TapBackend([one, other]) }
            #expect(throws: SystemError.self) { try TapBackend([]) }
        }
    }
}
