import NetEngine
import Testing

@Suite("Packet headers")
struct NetHeaderTests {
    func header(_ change: (inout NetHeader) -> Void) -> NetHeader {
        var header = NetHeader()
        change(&header)
        return header
    }

    @Test("bytes are those of virtio_net_hdr_v1, both ways")
    func layout() {
        let bytes: InlineArray<12, UInt8> = [1, 0x81, 0x36, 0, 0xb4, 0x05, 0x22, 0, 0x10, 0, 3, 0]
        let header = NetHeader(bytes)
        #expect(header.flags == 1)
        #expect(header.segmentation == 0x81)
        #expect(header.headerLength == 54)
        #expect(header.segmentSize == 1460)
        #expect(header.checksumStart == 34)
        #expect(header.checksumOffset == 16)
        #expect(header.bufferCount == 3)
        let back = header.bytes
        for index in 0..<12 { #expect(back[index] == bytes[index]) }
    }

    @Test("a plain frame passes; flags and counts of the receive side are wiped")
    func plain() {
        let guest = header {
            $0.flags = 2 | 4
            $0.bufferCount = 7
            $0.headerLength = 9
            $0.checksumStart = 65535
        }
        #expect(guest.sanitized(frameLength: 60, offloads: []) == NetHeader())
    }

    @Test("a frame shorter than its Ethernet header or longer than any packet is dropped", arguments: [0, 13, 65594])
    func lengths(length: Int) {
        #expect(NetHeader().sanitized(frameLength: length, offloads: .all) == nil)
    }

    @Test("a checksum must lie in the frame and have been negotiated")
    func checksum() {
        func guest(_ start: UInt16, _ offset: UInt16) -> NetHeader {
            header {
                $0.flags = 1
                $0.checksumStart = start
                $0.checksumOffset = offset
            }
        }
        #expect(guest(34, 6).sanitized(frameLength: 42, offloads: [.checksum]) == guest(34, 6))
        #expect(guest(34, 7).sanitized(frameLength: 42, offloads: [.checksum]) == nil)
        #expect(guest(65535, 65535).sanitized(frameLength: 65535, offloads: [.checksum]) == nil)
        #expect(guest(34, 6).sanitized(frameLength: 42, offloads: [.tcp4]) == nil)
    }

    @Test("segmentation must be known, negotiated, have a size and a checksum")
    func segmentation() {
        func guest(_ kind: UInt8, size: UInt16 = 1448, flags: UInt8 = 1, length: UInt16 = 66) -> NetHeader {
            header {
                $0.flags = flags
                $0.segmentation = kind
                $0.segmentSize = size
                $0.headerLength = length
                $0.checksumStart = 34
                $0.checksumOffset = 16
            }
        }
        func passes(_ header: NetHeader, _ offloads: NetOffloads) -> Bool {
            header.sanitized(frameLength: 4000, offloads: offloads) != nil
        }
        #expect(passes(guest(1), [.checksum, .tcp4]))
        #expect(!passes(guest(1), [.checksum, .tcp6]))
        #expect(passes(guest(4), [.checksum, .tcp6]))
        #expect(passes(guest(3), [.checksum, .udp]))
        #expect(passes(guest(0x81), [.checksum, .tcp4, .ecn]))
        #expect(!passes(guest(0x81), [.checksum, .tcp4]))
        #expect(!passes(guest(0x83), .all))
        #expect(!passes(guest(1, size: 0), .all))
        #expect(!passes(guest(1, flags: 0), .all))
        for kind: UInt8 in [2, 5, 6, 0x7f, 0x80, 0xff] { #expect(!passes(guest(kind), .all)) }
        #expect(guest(1, length: 5000).sanitized(frameLength: 4000, offloads: .all)?.headerLength == 0)
    }
}
