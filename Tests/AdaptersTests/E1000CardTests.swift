import Adapters
import DeviceModel
import GuestMemory
import Linux
import NetEngine
import NetTestSupport
import Testing
import VirtioTestSupport

@Suite("Intel's cards")
struct E1000CardTests {
    private func arrives(_ rig: E1000Rig, _ frame: [UInt8]) -> Bool {
        rig.peer.send(frame)
        rig.adapter.serve()
        defer { rig.refill() }
        return rig.received().map(\.frame) == [frame]
    }

    @Test("the non-volatile memory adds up and holds the address, by either way of reading")
    func nvm() throws {
        let old = try E1000Rig(.e1000)
        var words: [UInt16] = []
        for index in 0..<UInt32(64) {
            old.write(0x14, 1 | index << 8)
            #expect(old.read(0x14) & 1 << 4 != 0)
            words.append(UInt16(old.read(0x14) >> 16))
        }
        #expect(words.reduce(0, &+) == 0xbaba)
        #expect(words[..<3] == [0x0c00, 0x0129, 0x0302])
        // Microwire, bit by bit, as Linux's e1000 does it.
        for index in 0..<64 {
            old.write(0x10, 1 << 6)
            #expect(old.read(0x10) & 1 << 7 != 0)
            old.write(0x10, 1 << 6 | 1 << 1)
            let command = 0b110 << 6 | index
            for bit in (0..<9).reversed() {
                let data: UInt32 = command >> bit & 1 != 0 ? 1 << 2 : 0
                old.write(0x10, 1 << 6 | 1 << 1 | data)
                old.write(0x10, 1 << 6 | 1 << 1 | data | 1)
                old.write(0x10, 1 << 6 | 1 << 1 | data)
            }
            var word: UInt16 = 0
            for _ in 0..<16 {
                old.write(0x10, 1 << 6 | 1 << 1 | 1)
                word = word << 1 | (old.read(0x10) & 1 << 3 != 0 ? 1 : 0)
                old.write(0x10, 1 << 6 | 1 << 1)
            }
            old.write(0x10, 0)
            #expect(word == words[index])
        }
        let new = try E1000Rig(.e1000e)
        var sum: UInt16 = 0
        for index in 0..<UInt32(64) {
            new.write(0x14, 1 | index << 2)
            #expect(new.read(0x14) & 2 != 0)
            sum &+= UInt16(new.read(0x14) >> 16)
        }
        #expect(sum == 0xbaba)
        #expect(new.adapter.address == TestFrame.address)
        #expect(new.read(0x5400) == 0x0129_0c00)
        #expect(new.read(0x5404) == 0x8000_0302)
    }

    @Test("the cable is told by status, PHY and interrupt", arguments: E1000Model.allCases)
    func link(model: E1000Model) throws {
        let rig = try E1000Rig(model)
        rig.start()
        #expect(rig.readPHY(2) == 0x0141)
        #expect(rig.readPHY(3) == (model == .e1000 ? 0x0c20 : 0x0cb1))
        #expect(rig.read(8) & 0xc3 == 0x83)
        #expect(rig.readPHY(1) & 0x24 == 0x24)
        rig.adapter.setLink(up: false)
        #expect(rig.bus.wire.isRaised)
        #expect(rig.read(0xc0) & 4 != 0)
        #expect(!rig.bus.wire.isRaised)
        #expect(rig.read(8) & 2 == 0)
        #expect(rig.readPHY(1) & 0x24 == 0)
        #expect(!arrives(rig, TestFrame.plain()))
        rig.offer(TestFrame.plain())
        rig.ring()
        #expect(rig.completed() == 1)
        #expect(rig.peer.receive() == nil)
        _ = rig.read(0xc0)
        rig.adapter.setLink(up: true)
        #expect(rig.read(0xc0) & 4 != 0)
        #expect(arrives(rig, TestFrame.plain()))
        // Negotiating again ends at once.
        rig.writePHY(0, 0x1340)
        #expect(rig.read(0xc0) & 4 != 0)
        #expect(rig.readPHY(0) & 0x0200 == 0)
        // No other PHY is there.
        rig.write(0x20, 2 << 26 | 2 << 21 | 1 << 16)
        #expect(rig.read(0x20) & 1 << 30 != 0)
    }

    @Test("addresses, hashes and modes choose what arrives", arguments: E1000Model.allCases)
    func filters(model: E1000Model) throws {
        let rig = try E1000Rig(model)
        rig.start(receive: 0)
        let group = MACAddress(0x01, 0, 0x5e, 0, 0x12, 0x34)
        let frames = [
            TestFrame.plain(), TestFrame.plain(to: TestFrame.other), TestFrame.plain(to: .broadcast),
            TestFrame.plain(to: group),
        ]
        func results() -> [Bool] { frames.map { arrives(rig, $0) } }
        func control(_ bits: UInt32) { rig.write(0x100, bits | 1 << 1 | 1 << 26) }
        #expect(results() == [true, false, false, false])
        control(1 << 15)
        #expect(results() == [true, false, true, false])
        control(1 << 3)
        #expect(results() == [true, true, false, false])
        control(1 << 4)
        #expect(results() == [true, false, true, true])
        control(0)
        // Bits 47:36 of the address: 0x341 in the last two bytes' order.
        let hash = (0x12 | 0x34 << 8) >> 4
        rig.write(0x5200 + UInt64(hash >> 5) * 4, 1 << UInt32(hash & 31))
        #expect(results() == [true, false, false, true])
        rig.write(0x5408, 0x0929_0c00)
        rig.write(0x540c, 0x8000_0909)
        #expect(results() == [true, true, false, true])
        rig.write(0x5404, 0)
        #expect(results() == [false, true, false, true])
        control(0)
        rig.write(0x100, 0)
        #expect(!arrives(rig, frames[1]))
    }

    @Test("tagged frames pass if their VLAN is listed, and lose the tag if the driver asked", arguments: [false, true])
    func vlans(strips: Bool) throws {
        let rig = try E1000Rig(.e1000e)
        rig.format = .extended
        rig.start(control: strips ? 1 << 30 : 0, receive: 1 << 15 | 1 << 18)
        let frame = TestFrame.plain(100, vlan: 37)
        #expect(!arrives(rig, frame))
        rig.write(0x5604, 1 << 5)
        rig.peer.send(frame)
        rig.adapter.serve()
        let packets = rig.received()
        #expect(packets.map(\.tag) == [strips ? 37 : nil])
        #expect(packets.map(\.frame) == [strips ? Array(frame[..<12] + frame[16...]) : frame])
    }

    @Test("a checksum that the sender left out is filled in and called good", arguments: E1000Rig.Format.allCases)
    func checksum(format: E1000Rig.Format) throws {
        let rig = try E1000Rig(format == .legacy ? .e1000 : .e1000e)
        rig.format = format
        rig.start()
        var header = NetHeader()
        header.flags = NetHeader.Flag.needsChecksum
        header.checksumStart = 34
        header.checksumOffset = 16
        rig.peer.send(TestFrame.tcp(1301, sums: .partial), header)
        rig.adapter.serve()
        var packet = try #require(rig.received().first)
        #expect(packet.frame == TestFrame.tcp(1301, sums: .complete))
        #expect(packet.status & 0x64 == 0x60)
        rig.peer.send(TestFrame.tcp(1301, sums: .complete))
        rig.adapter.serve()
        packet = try #require(rig.received().first)
        #expect(packet.status & 0x60 == 0)
    }

    @Test("long frames take several descriptors, if the driver wants them at all; the check sequence counts")
    func long() throws {
        let rig = try E1000Rig()
        rig.start(receive: 1 << 15)
        let frame = TestFrame.plain(9000)
        #expect(!arrives(rig, frame))
        #expect(rig.read(0x4010) == 1)
        rig.write(0x100, 1 << 15 | 1 << 5 | 1 << 1 | 1 << 26)
        rig.peer.send(frame)
        rig.adapter.serve()
        let packet = try #require(rig.received().first)
        #expect(packet.frame == frame)
        #expect(packet.descriptors == 5)
        rig.refill()
        rig.write(0x100, 1 << 15 | 1 << 1)
        rig.peer.send(TestFrame.plain(100))
        rig.adapter.serve()
        #expect(rig.received().first?.frame.count == 104)
    }

    @Test("the wire follows causes and mask; reading the cause clears it", arguments: E1000Model.allCases)
    func wire(model: E1000Model) throws {
        let rig = try E1000Rig(model)
        rig.start(mask: 0x80)
        rig.offer(TestFrame.plain())
        rig.ring()
        #expect(!rig.bus.wire.isRaised)
        rig.peer.send(TestFrame.plain())
        rig.adapter.serve()
        #expect(rig.bus.wire.isRaised)
        rig.write(0xd8, 0x80)
        #expect(!rig.bus.wire.isRaised)
        rig.write(0xd0, 0x81)
        #expect(rig.bus.wire.isRaised)
        let cause = rig.read(0xc0)
        #expect(cause & 0x81 == 0x81)
        #expect(cause & 1 << 31 != 0)
        #expect(!rig.bus.wire.isRaised)
        #expect(rig.read(0xc0) & 0x7fff_ffff == 0)
        rig.write(0xc8, 1)
        #expect(rig.bus.wire.isRaised)
    }

    @Test("each cause has its vector, is told once, and clears and masks itself as the driver chose")
    func vectors() throws {
        let rig = try E1000Rig(.e1000e, messages: true)
        rig.write(0x18, 1 << 24)
        rig.start(mask: 0)
        // As Linux: receive 0, transmit 1, the rest 2.
        rig.write(0xe4, 8 | 9 << 8 | 10 << 16 | 1 << 31)
        rig.write(0xdc, 0x0050_0000)
        rig.write(0xd0, 0x0150_0004)
        func taken() -> [UInt64] { (0..<3).map { rig.interrupts.event($0).drain() } }
        #expect(taken() == [0, 0, 0])
        for _ in 0..<2 {
            rig.peer.send(TestFrame.plain())
            rig.adapter.serve()
        }
        #expect(taken() == [1, 0, 0], "the vector masked itself")
        rig.write(0xd0, 1 << 20)
        #expect(taken() == [1, 0, 0])
        rig.offer(TestFrame.plain())
        rig.ring()
        #expect(taken() == [0, 1, 0])
        rig.adapter.setLink(up: false)
        #expect(taken() == [0, 0, 1])
        #expect(rig.read(0xc0) & 4 != 0)
        rig.adapter.setLink(up: true)
        #expect(taken() == [0, 0, 1])
    }

    @Test("interrupts keep their distance on a loop")
    func throttle() throws {
        let loop = try EventLoop(name: "io")
        try loop.start()
        defer { loop.stop() }
        let rig = try E1000Rig(loop: loop)
        rig.start(mask: 0x80)
        // A quarter of a second in units of 256 ns is more than the register holds: 16 ms is what it takes at most.
        rig.write(0xc4, 0xffff)
        rig.write(0xc8, 0x80)
        #expect(rig.bus.wire.isRaised)
        _ = rig.read(0xc0)
        let start = monotonicNanoseconds()
        rig.write(0xc8, 0x80)
        while !rig.bus.wire.isRaised, monotonicNanoseconds() - start < 5_000_000_000 { pause(nanoseconds: 500_000) }
        #expect(rig.bus.wire.isRaised)
        #expect(monotonicNanoseconds() - start > 5_000_000)
        rig.adapter.close()
    }

    @Test("counters are zero once read, and count on")
    func statistics() throws {
        let rig = try E1000Rig()
        rig.start()
        rig.peer.send(TestFrame.plain(to: .broadcast, 100))
        rig.peer.send(TestFrame.plain(60))
        rig.adapter.serve()
        rig.offer(TestFrame.plain(200))
        rig.ring()
        #expect(rig.read(0x4074) == 2)
        #expect(rig.read(0x4074) == 0)
        #expect(rig.read(0x4078) == 1)
        #expect(rig.read(0x4088) == 168)
        #expect(rig.read(0x408c) == 0)
        #expect(rig.read(0x4088) == 0)
        #expect(rig.read(0x405c) == 1)
        #expect(rig.read(0x4080) == 1)
        #expect(rig.read(0x40c8) == 204)
    }

    @Test("a ring without buffers holds packets until the driver moves the tail, and says so")
    func starving() throws {
        let rig = try E1000Rig()
        rig.start(mask: 0)
        let frames = (0..<80).map { TestFrame.plain(60 + $0, fill: UInt8($0)) }
        for frame in frames { rig.peer.send(frame) }
        rig.adapter.serve()
        var got = rig.received().map(\.frame)
        #expect(got.count == E1000Rig.size - 1)
        #expect(rig.read(0xc0) & 1 << 4 != 0)
        while got.count < frames.count {
            let before = got.count
            rig.refill()
            rig.adapter.serve()
            got += rig.received().map(\.frame)
            guard got.count > before else { break }
        }
        #expect(got == frames)
    }

    @Test("hostile rings and descriptors hurt nobody, and a reset mends all", arguments: E1000Model.allCases)
    func hostile(model: E1000Model) throws {
        let rig = try E1000Rig(model)
        rig.start()
        rig.describe(0xffff_ffff_0000, 64 | 1 << 24 | 1 << 27)
        rig.offer(TestFrame.plain())
        rig.ring()
        #expect(rig.completed() == 2)
        #expect(rig.peer.receive()?.frame == TestFrame.plain())
        #expect(rig.adapter.statistics.transmitted.errors == 1)
        // No end anywhere.
        for _ in 0..<(E1000Rig.size - 1) { rig.describe(rig.heap.allocate(64), 64) }
        rig.ring()
        #expect(rig.read(0x3810) == rig.read(0x3818))
        for (register, value) in [
            (0x3800, 0xffff_f000), (0x3808, 0xffff_ffff), (0x3810, 0xffff), (0x3818, 0xffff), (0x2800, 0xffff_fff0),
            (0x2808, 0xffff_ffff), (0x2810, 0xffff), (0x2818, 0xfffe),
        ] as [(UInt64, UInt32)] {
            rig.write(register, value)
            rig.peer.send(TestFrame.plain())
            rig.adapter.serve()
        }
        rig.start()
        // What waited while there was no ring comes first.
        rig.adapter.serve()
        #expect(!rig.received().isEmpty)
        rig.refill()
        rig.offer(TestFrame.plain(77))
        rig.ring()
        #expect(rig.peer.receive()?.frame == TestFrame.plain(77))
        #expect(arrives(rig, TestFrame.plain(99)))
    }

    @Test("a full back end holds packets up in order and loses none; a reset in between lets them go")
    func backPressure() throws {
        let rig = try E1000Rig()
        rig.start()
        var sent = 0
        var done = 0
        while sent - done < 16, sent < 400 {
            for _ in 0..<8 {
                rig.offer(TestFrame.plain(to: .broadcast, 9000, fill: UInt8(sent & 0xff)))
                sent += 1
            }
            rig.ring()
            done += rig.completed()
        }
        #expect(sent < 400, "the socket takes everything: the test shows nothing")
        var got: [[UInt8]] = []
        while let packet = rig.peer.receive() {
            got.append(packet.frame)
            rig.adapter.serve()
        }
        #expect(got == (0..<sent).map { TestFrame.plain(to: .broadcast, 9000, fill: UInt8($0 & 0xff)) })
        rig.start()
        for _ in 0..<25 { rig.offer(TestFrame.plain(to: .broadcast, 16000)) }
        rig.ring()
        rig.start()
        while rig.peer.receive() != nil {}
        rig.adapter.serve()
        #expect(rig.peer.receive() == nil)
        rig.offer(TestFrame.plain())
        rig.ring()
        #expect(rig.peer.receive()?.frame == TestFrame.plain())
    }

    @Test(
        "on a thread of its own it moves packets both ways while the driver resets it", arguments: E1000Model.allCases)
    func threads(model: E1000Model) throws {
        let loop = try EventLoop(name: "io")
        try loop.start()
        defer { loop.stop() }
        let rig = try E1000Rig(model, loop: loop)
        for round in 0..<20 {
            rig.start()
            for number in 0..<10 {
                rig.offer(TestFrame.plain(60 + number + round))
                rig.write(0x3818, UInt32(rig.transmitTail))
            }
            for number in 0..<10 {
                _ = try poll([.init(rig.peer.descriptor, .readable)], milliseconds: 5000)
                #expect(rig.peer.receive()?.frame == TestFrame.plain(60 + number + round))
            }
            rig.peer.send(TestFrame.plain(100 + round))
            var packets: [E1000Rig.Received] = []
            let start = monotonicNanoseconds()
            while packets.isEmpty, monotonicNanoseconds() - start < 5_000_000_000 {
                packets = rig.received()
                if packets.isEmpty { pause(nanoseconds: 100_000) }
            }
            #expect(packets.map(\.frame) == [TestFrame.plain(100 + round)])
        }
        rig.adapter.close()
    }
}
