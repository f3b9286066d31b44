import Adapters
import DeviceModel
import GuestMemory
import Linux
import NetEngine
import NetTestSupport
import Testing
import VirtioTestSupport

@Suite("vmxnet3 receives")
struct VMXNET3ReceiveTests {
    @Test("packets arrive in order, each in one buffer, round and round")
    func order() throws {
        let rig = try VMXNET3Rig()
        #expect(rig.start() == 0)
        for round in 0..<100 {
            let frame = TestFrame.plain(60 + round * 14, fill: UInt8(round))
            rig.peers[0].send(frame)
            rig.adapter.serve()
            #expect(
                rig.received() == [
                    VMXNET3Rig.Received(frame: frame, flags: 1 << 23, hasNoChecksum: true, pieces: 1)
                ])
            rig.refill()
        }
        #expect(rig.adapter.statistics.received.packets == 100)
    }
}

@Suite("vmxnet3's driver chooses what it receives")
struct VMXNET3FilterTests {
    private static let multicast = MACAddress(0x01, 0, 0x5e, 0, 0, 0x42)

    private func arrives(_ rig: VMXNET3Rig, _ frame: [UInt8]) -> Bool {
        rig.peers[0].send(frame)
        rig.adapter.serve()
        defer { rig.refill() }
        return rig.received().map(\.frame) == [frame]
    }

    private func setMode(_ rig: VMXNET3Rig, _ mode: UInt32) {
        rig.store(mode, 120)
        rig.command(0xcafe_0003)
    }

    @Test("each kind of address passes only if it is wanted")
    func kinds() throws {
        let rig = try VMXNET3Rig()
        rig.start()
        let own = TestFrame.plain()
        let foreign = TestFrame.plain(to: TestFrame.other)
        let all = TestFrame.plain(to: .broadcast)
        let group = TestFrame.plain(to: Self.multicast)
        setMode(rig, 0)
        for frame in [own, foreign, all, group] { #expect(!arrives(rig, frame)) }
        setMode(rig, 1)
        #expect([own, foreign, all, group].map { arrives(rig, $0) } == [true, false, false, false])
        setMode(rig, 5)
        #expect([own, foreign, all, group].map { arrives(rig, $0) } == [true, false, true, false])
        setMode(rig, 8)
        #expect([own, foreign, all, group].map { arrives(rig, $0) } == [false, false, false, true])
        setMode(rig, 16)
        #expect([own, foreign, all, group].map { arrives(rig, $0) } == [true, true, true, true])
        #expect(rig.adapter.statistics.received.drops == 12)
    }

    @Test("listed multicast addresses pass, others do not; a list that is too long lets all pass")
    func multicastList() throws {
        let rig = try VMXNET3Rig()
        rig.start()
        let table = rig.heap.place(Self.multicast.bytes + MACAddress(0x33, 0x33, 0, 0, 0, 1).bytes)
        rig.store(12 as UInt16, 124)
        rig.store(table, 128)
        setMode(rig, 7)
        #expect(arrives(rig, TestFrame.plain(to: Self.multicast)))
        #expect(arrives(rig, TestFrame.plain(to: MACAddress(0x33, 0x33, 0, 0, 0, 1))))
        #expect(!arrives(rig, TestFrame.plain(to: MACAddress(0x33, 0x33, 0, 0, 0, 2))))
        rig.store(UInt16(6 * 70), 124)
        rig.store(rig.heap.allocate(6 * 70), 128)
        rig.command(0xcafe_0004)
        #expect(arrives(rig, TestFrame.plain(to: MACAddress(0x33, 0x33, 0, 0, 0, 2))))
    }

    @Test("tagged frames pass if their VLAN is listed, and lose the tag if the driver asked for that")
    func vlans() throws {
        for strips in [true, false] {
            var options = VMXNET3Rig.Options()
            options.features = strips ? 0xf : 0xb
            let rig = try VMXNET3Rig(options)
            rig.start()
            let frame = TestFrame.plain(100, vlan: 37)
            #expect(!arrives(rig, frame))
            rig.store(1 << 5 as UInt32, 136 + 4)
            rig.command(0xcafe_0005)
            rig.peers[0].send(frame)
            rig.adapter.serve()
            let packets = rig.received()
            #expect(packets.map(\.tag) == [strips ? 37 : nil])
            #expect(packets.map(\.frame) == [strips ? Array(frame[..<12] + frame[16...]) : frame])
        }
    }

    @Test("the driver's own address replaces the card's until a reset")
    func address() throws {
        let rig = try VMXNET3Rig()
        rig.start()
        #expect(rig.command(0xf00d_0003) == 0x0129_0c00)
        #expect(rig.command(0xf00d_0004) == 0x0302)
        rig.write(0x28, 0x0929_0c00)
        rig.write(0x30, 0x0909)
        #expect(rig.adapter.address == TestFrame.other)
        #expect(!arrives(rig, TestFrame.plain()))
        #expect(arrives(rig, TestFrame.plain(to: TestFrame.other)))
        rig.command(0xcafe_0002)
        #expect(rig.adapter.address == TestFrame.address)
    }
}

@Suite("vmxnet3 delivers packets with work done or undone")
struct VMXNET3OffloadTests {
    private func header(partial: Bool, segment: UInt16 = 0) -> NetHeader {
        var header = NetHeader()
        header.flags = partial ? NetHeader.Flag.needsChecksum : NetHeader.Flag.dataValid
        if partial {
            header.checksumStart = 34
            header.checksumOffset = 16
        }
        if segment > 0 {
            header.segmentation = NetHeader.Segmentation.tcp4
            header.segmentSize = segment
        }
        return header
    }

    private static let good: UInt32 = 1 << 16 | 1 << 18 | 1 << 19 | 1 << 21 | 1 << 23

    @Test("a checksum that the sender left out is filled in, and called good", arguments: [0, 1, 301])
    func partial(count: Int) throws {
        let rig = try VMXNET3Rig()
        rig.start()
        rig.peers[0].send(TestFrame.tcp(count, sums: .partial), header(partial: true))
        rig.adapter.serve()
        let packet = try #require(rig.received().first)
        let whole = TestFrame.tcp(count, sums: .complete)
        #expect(Array(packet.frame.prefix(whole.count)) == whole)
        #expect(packet.frame.count == max(60, whole.count))
        #expect(packet.flags == Self.good)
        #expect(!packet.hasNoChecksum)
    }

    @Test("what the back end verified is called good; what nobody verified is not; nor if nobody asked")
    func verified() throws {
        var options = VMXNET3Rig.Options()
        for (features, header, expected) in [
            (0xf, header(partial: false), Self.good), (0xf, NetHeader(), 1 << 23),
            (0xe, header(partial: false), 1 << 23),
        ] {
            options.features = UInt64(features)
            let rig = try VMXNET3Rig(options)
            rig.start()
            rig.peers[0].send(TestFrame.tcp(100, sums: .complete), header)
            rig.adapter.serve()
            let packet = try #require(rig.received().first)
            #expect(packet.flags == expected)
            #expect(packet.hasNoChecksum == (expected == 1 << 23))
        }
    }

    @Test("a large packet takes one head and as many bodies as it needs", arguments: [0, 2])
    func large(bodiesInFirstRing: Int) throws {
        var options = VMXNET3Rig.Options()
        options.bodiesInFirstRing = bodiesInFirstRing
        let rig = try VMXNET3Rig(options)
        rig.start()
        for round in 0..<5 {
            let frame = TestFrame.tcp(40000 + round, sums: .partial)
            rig.peers[0].send(frame, header(partial: true, segment: 1448))
            rig.adapter.serve()
            let packets = rig.received()
            #expect(packets.map(\.frame) == [frame])
            #expect(packets.first?.pieces == 11)
            #expect(packets.first?.flags == Self.good)
            rig.refill()
        }
    }

    @Test("a tag is taken out of a packet that lies in several buffers")
    func largeTagged() throws {
        var options = VMXNET3Rig.Options()
        options.bufferSize = 64
        options.bodySize = 1000
        let rig = try VMXNET3Rig(options)
        rig.start()
        rig.store(1 << 5 as UInt32, 136 + 4)
        rig.command(0xcafe_0005)
        var header = header(partial: true, segment: 1448)
        header.checksumStart = 38
        rig.peers[0].send(TestFrame.tcp(9000, vlan: 37, sums: .partial), header)
        rig.adapter.serve()
        let packet = try #require(rig.received().first)
        #expect(packet.frame == TestFrame.tcp(9000, sums: .partial))
        #expect(packet.tag == 37)
    }

    @Test("without buffers packets wait, and come when the driver refills and rings")
    func starving() throws {
        let rig = try VMXNET3Rig()
        rig.start()
        let frames = (0..<60).map { TestFrame.plain(60 + $0 * 10, fill: UInt8($0)) }
        for frame in frames { rig.peers[0].send(frame) }
        rig.adapter.serve()
        var got = rig.received().map(\.frame)
        #expect(got.count < frames.count)
        let descriptor = rig.queues + 256
        #expect(rig.ram.load(UInt8.self, at: descriptor) == 1, "the driver is asked to ring")
        while got.count < frames.count {
            let before = got.count
            rig.refill()
            rig.adapter.write(region: 0, offset: 0x800, width: 4, value: 0)
            rig.adapter.serve()
            got += rig.received().map(\.frame)
            guard got.count > before else { break }
        }
        #expect(got == frames)
        #expect(rig.ram.load(UInt8.self, at: descriptor) == 0)
    }
}
