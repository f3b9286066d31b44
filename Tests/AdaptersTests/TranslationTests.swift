import Adapters
import Linux
import NetEngine
import NetTestSupport
import Testing

/// What a card asks of a back end for what drivers leave undone; the same for all cards.
@Suite("A driver's offloads are translated for the back end")
struct TranslationTests {
    /// A card that sends one frame with some work undone.
    enum Card: CaseIterable, Sendable { case vmxnet3, e1000, e1000e }

    private static func send(
        _ card: Card, _ frame: [UInt8], start: Int, place: Int, segment: Int = 0, headers: Int = 0, tag: UInt16? = nil,
        offloads: NetOffloads = .all, cuts: [Int] = []
    ) throws -> (header: NetHeader, frame: [UInt8])? {
        if card == .vmxnet3 {
            let rig = try VMXNET3Rig(offloads: offloads)
            rig.start()
            var third: UInt32 = tag.map { 1 << 15 | UInt32($0) << 16 } ?? 0
            var second: UInt32 = 0
            if segment > 0 {
                third |= 3 << 10 | UInt32(headers)
                second = UInt32(segment) << 18
            } else if place > 0 {
                third |= 2 << 10 | UInt32(start)
                second = UInt32(place) << 18
            }
            rig.offer(frame, cuts: cuts, second: second, third: third)
            rig.ring()
            #expect(rig.completions().count == 1)
            return rig.peers[0].receive()
        }
        let rig = try E1000Rig(card == .e1000 ? .e1000 : .e1000e, offloads: offloads)
        rig.start(control: 1 << 30)
        var word: UInt64 = 1 << 29 | 1 << 20
        if place > 0 {
            // A context: sums from 14 to 33 go to 24, from `start` on to `place`.
            let first = UInt64(14) | 24 << 8 | 33 << 16 | UInt64(start) << 32 | UInt64(place) << 40
            var second: UInt64 = 1 << 29 | 1 << 27 | 1 << 24 | UInt64(headers) << 40 | UInt64(segment) << 48
            if segment > 0 { second |= 1 << 26 }
            rig.describe(first, second)
            word |= 1 << 41
            if segment > 0 { word |= 1 << 26 | 1 << 40 }
        }
        if let tag { word |= 1 << 30 | UInt64(tag) << 48 }
        rig.offer(frame, cuts: cuts, word: word)
        rig.ring()
        #expect(rig.completed() > 0)
        return rig.peer.receive()
    }

    @Test("a checksum is left to the back end, with the tag counted in", arguments: Card.allCases, [nil, 7 as UInt16])
    func checksum(card: Card, tag: UInt16?) throws {
        let frame = TestFrame.tcp(300, sums: .partial)
        let sent = try #require(try Self.send(card, frame, start: 34, place: 50, tag: tag))
        #expect(sent.header.flags == NetHeader.Flag.needsChecksum)
        #expect(sent.header.checksumStart == (tag == nil ? 34 : 38))
        #expect(sent.header.checksumOffset == 16)
        #expect(sent.frame == TestFrame.tcp(300, vlan: tag, sums: .partial))
    }

    @Test("a back end that computes no checksums gets complete packets", arguments: Card.allCases, [[], [40, 77]])
    func software(card: Card, cuts: [Int]) throws {
        // An odd count: the sum's last word is half a word.
        for count in [0, 1, 301] {
            let frame = TestFrame.tcp(count, sums: .partial)
            let sent = try #require(try Self.send(card, frame, start: 34, place: 50, offloads: [], cuts: cuts))
            #expect(sent.header == NetHeader())
            #expect(sent.frame == TestFrame.tcp(count, sums: .complete))
        }
    }

    @Test(
        "segmentation gets the lengths and sums that drivers leave out", arguments: Card.allCases,
        [(false, nil), (true, nil), (false, 9), (true, 9)] as [(Bool, UInt16?)])
    func segmentation(card: Card, _ kind: (ipv6: Bool, tag: UInt16?)) throws {
        let (ipv6, tag) = kind
        let start = ipv6 ? 54 : 34
        let frame = TestFrame.tcp(20000, ipv6: ipv6, sums: .segmentation)
        let sent = try #require(
            try Self.send(
                card, frame, start: start, place: start + 16, segment: 1448, headers: start + 20, tag: tag,
                cuts: [start + 20, 9000, 16000]))
        let shift: UInt16 = tag == nil ? 0 : 4
        #expect(sent.header.flags == NetHeader.Flag.needsChecksum)
        #expect(sent.header.segmentation == (ipv6 ? NetHeader.Segmentation.tcp6 : NetHeader.Segmentation.tcp4))
        #expect(sent.header.segmentSize == 1448)
        #expect(sent.header.headerLength == UInt16(start + 20) + shift)
        #expect(sent.header.checksumStart == UInt16(start) + shift)
        #expect(sent.header.checksumOffset == 16)
        #expect(sent.frame == TestFrame.tcp(20000, ipv6: ipv6, vlan: tag, sums: .partial))
    }

    @Test("what fits into one segment is not cut", arguments: Card.allCases)
    func oneSegment(card: Card) throws {
        let frame = TestFrame.tcp(1000, sums: .segmentation)
        let sent = try #require(try Self.send(card, frame, start: 34, place: 50, segment: 1448, headers: 54))
        #expect(sent.header.segmentation == NetHeader.Segmentation.none)
        #expect(sent.header.flags == NetHeader.Flag.needsChecksum)
        #expect(sent.frame == TestFrame.tcp(1000, sums: .partial))
    }

    @Test("wishes that make no sense drop the packet, and the next one goes out", arguments: Card.allCases)
    func nonsense(card: Card) throws {
        let frame = TestFrame.tcp(3000, sums: .segmentation)
        #expect(try Self.send(card, frame, start: 34, place: 50, segment: 1448, headers: 20) == nil)
        #expect(try Self.send(card, Array(frame.prefix(60)), start: 34, place: 200, segment: 0) == nil)
        #expect(
            try Self.send(card, TestFrame.plain(to: .broadcast, 3000), start: 34, place: 50, segment: 100, headers: 54)
                == nil)
        // A back end that cannot cut gets nothing to cut.
        #expect(
            try Self.send(card, frame, start: 34, place: 50, segment: 1448, headers: 54, offloads: .checksum) == nil)
    }
}
