import Linux
import TestNetwork
import Testing

@Suite("Tap queues", .enabled(if: networkUnavailable == nil, Comment(rawValue: networkUnavailable ?? "")))
struct TapTests {
    @Test("opening makes the interface; further queues and hand-overs join it; the last to close ends it")
    func open() throws {
        try inOwnNetwork {
            let first = try TapQueue("tap%d", multiQueue: true)
            #expect(first.name == "tap0")
            let second = try TapQueue("tap0", multiQueue: true)
            #expect(second.name == "tap0")
            #expect(throws: SystemError.self) { try TapQueue("tap0", multiQueue: true, mustBeNew: true) }
            #expect(throws: SystemError.self) { try TapQueue("tap0", multiQueue: false) }

            let handedOver = try TapQueue(adopting: Descriptor(adopting: first.raw).keeping())
            #expect(handedOver.name == "tap0")
            #expect(handedOver.isMultiQueue)
        }
    }

    @Test("a name that is empty or too long is refused, with the name in the error")
    func names() throws {
        let error = #expect(throws: SystemError.self) { try TapQueue("a-name-of-16-byte") }
        #expect(error?.description.contains("a-name-of-16-byte") == true)
        #expect(throws: SystemError.self) { try TapQueue("") }
    }

    @Test("a descriptor that is no tap cannot be adopted")
    func adoptForeign() throws {
        #expect(throws: SystemError.self) { try TapQueue(adopting: Descriptor(opening: "/dev/null", .readWrite)) }
    }

    @Test("offloads, filters, carrier and queues can be set and set again")
    func settings() throws {
        try inOwnNetwork {
            let tap = try TapQueue("t0", multiQueue: true)
            let all: TapOffloads = [.checksum, .tcp4, .tcp6, .ecn, .udp]
            let supported = tap.supportedOffloads(of: all)
            #expect(supported.isSuperset(of: [.checksum, .tcp4, .tcp6]))
            try tap.setOffloads(supported)
            try tap.setOffloads([])
            #expect(throws: SystemError.self) { try tap.setOffloads([.tcp4]) }
            let many = (0..<40).map { [0x01, 0, 0, 0, 0, UInt8($0)] }
            try tap.setReceiveFilter(many, allMulticast: false)
            try tap.setReceiveFilter([[0x02, 0, 0, 0, 0, 1]], allMulticast: true)
            try tap.setReceiveFilter(nil, allMulticast: false)
            try tap.setCarrier(false)
            try tap.setCarrier(true)
            try tap.setAttached(true)
            try tap.setAttached(false)
            try tap.setAttached(false)
            try tap.setAttached(true)
        }
    }

    @Test("an interface's counters are read, and what is none has none")
    func counters() throws {
        let loopback = try #require(LinkCounters(of: "lo"))
        let later = try #require(LinkCounters(of: "lo"))
        #expect(later.receivedPackets >= loopback.receivedPackets)
        #expect(later.since(later) == LinkCounters())
        #expect(LinkCounters(of: "no-such-link") == nil)
        #expect(LinkCounters(of: "../lo") == nil)
    }

    @Test("reading an idle tap does not block; writing while its link is down fails")
    func idle() throws {
        try inOwnNetwork {
            let tap = try TapQueue("t0")
            let buffer = UnsafeMutableRawPointer.allocate(byteCount: 2048, alignment: 16)
            defer { buffer.deallocate() }
            var piece = IOVector(base: buffer, count: 2048)
            #expect(readRecord(tap.raw, &piece, 1) == .wouldBlock)
            buffer.initializeMemory(as: UInt8.self, repeating: 0, count: 2048)
            piece.count = 76
            #expect(writeRecord(tap.raw, &piece, 1) == .failed(5))
        }
    }
}

extension Descriptor {
    /// A duplicate; the original number stays with whoever owned it.
    fileprivate consuming func keeping() throws -> Descriptor {
        let copy = try duplicate()
        _ = release()
        return copy
    }
}
