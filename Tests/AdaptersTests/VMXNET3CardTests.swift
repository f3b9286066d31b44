import Adapters
import DeviceModel
import GuestMemory
import Linux
import NetEngine
import NetTestSupport
import Testing
import VirtioTestSupport

@Suite("vmxnet3's card")
struct VMXNET3CardTests {
    @Test("an activation that makes no sense fails with a word in the log, and a sensible one works afterwards")
    func badActivation() throws {
        let rig = try VMXNET3Rig()
        let breakages: [(VMXNET3Rig) -> Void] = [
            { $0.store(1 as UInt32, 0) },
            { $0.store(0 as UInt8, 62) },
            { $0.store(9 as UInt8, 62) },
            { $0.store(17 as UInt8, 63) },
            { $0.store(0xffff_ffff_f000 as UInt64, 40) },
            { $0.store(100 as UInt32, 52) },
            { $0.ram.store(0xffff_ffff_f000 as UInt64, at: $0.queues + 16) },
            { $0.ram.store(5000 as UInt32, at: $0.queues + 16 + 40) },
            { $0.ram.store(0 as UInt32, at: $0.queues + 16 + 48) },
            { $0.ram.store(1 as UInt64, at: $0.queues + 256 + 16) },
            { $0.ram.store(200 as UInt8, at: $0.queues + 16 + 56) },
        ]
        for breakage in breakages {
            rig.lay()
            breakage(rig)
            rig.write(0x10, UInt32(truncatingIfNeeded: rig.shared))
            rig.write(0x18, 0)
            #expect(rig.command(0xcafe_0000) == 1)
            rig.ring()
        }
        rig.write(0x10, 0xffff_f000)
        #expect(rig.command(0xcafe_0000) == 1)
        #expect(rig.log.all.count == breakages.count + 1)
        #expect(rig.start() == 0)
        rig.offer(TestFrame.plain())
        rig.ring()
        #expect(rig.peers[0].receive()?.frame == TestFrame.plain())
    }

    @Test("a broken transmit ring stops the queue, tells the driver and leaves the rest alone")
    func brokenTransmit() throws {
        let rig = try VMXNET3Rig()
        rig.start()
        rig.describe(0xffff_ffff_0000, 64, 3 << 12)
        rig.ring()
        #expect(rig.ram.load(UInt8.self, at: rig.queues + 80) == 1)
        #expect(rig.ram.load(UInt32.self, at: rig.shared + 696) == 2)
        #expect(rig.taken(rig.eventInterrupt) == 1)
        rig.write(0x40, 2)
        #expect(rig.ram.load(UInt32.self, at: rig.shared + 696) == 0)
        rig.peers[0].send(TestFrame.plain())
        rig.adapter.serve()
        #expect(rig.received().count == 1)
        #expect(rig.log.all.count == 1)
        // What Linux does then.
        rig.command(0xcafe_0001)
        rig.command(0xcafe_0002)
        #expect(rig.start() == 0)
        rig.offer(TestFrame.plain())
        rig.ring()
        #expect(rig.peers[0].receive() != nil)
    }

    @Test("a transmit ring without an end is broken, and a packet that is not whole yet waits")
    func noEnd() throws {
        let rig = try VMXNET3Rig()
        rig.start()
        let place = rig.heap.allocate(64)
        rig.describe(place, 64, 0)
        rig.ring()
        #expect(rig.log.all.isEmpty)
        for _ in 1..<32 { rig.describe(place, 64, 0) }
        rig.ring()
        #expect(rig.ram.load(UInt32.self, at: rig.queues + 84) == 0x8000_0000)
    }

    @Test("a receive descriptor that is no memory stops the queue")
    func brokenReceive() throws {
        let rig = try VMXNET3Rig()
        rig.lay()
        let ring = try #require(rig.ram.load(UInt64.self, at: rig.queues + 256 + 16))
        rig.ram.store(0xffff_ffff_0000 as UInt64, at: ring)
        rig.write(0x10, UInt32(truncatingIfNeeded: rig.shared))
        #expect(rig.command(0xcafe_0000) == 0)
        #expect(rig.ram.load(UInt32.self, at: rig.shared + 696) == 1)
        #expect(rig.ram.load(UInt8.self, at: rig.queues + 256 + 80) == 1)
    }

    @Test("an interrupt masks itself until the driver unmasks it, and what came meanwhile is told then")
    func autoMask() throws {
        let rig = try VMXNET3Rig()
        rig.start()
        _ = rig.taken(0)
        for _ in 0..<3 {
            rig.peers[0].send(TestFrame.plain())
            rig.adapter.serve()
        }
        #expect(rig.taken(0) == 1)
        #expect(rig.adapter.read(region: 0, offset: 0, width: 4) == 1)
        rig.unmask(0)
        #expect(rig.taken(0) == 1)
        rig.unmask(0)
        #expect(rig.taken(0) == 0)
    }

    @Test("without messages the wire is up until the driver asks for the cause")
    func wire() throws {
        var options = VMXNET3Rig.Options()
        options.usesMessages = false
        let rig = try VMXNET3Rig(options)
        rig.start()
        #expect(!rig.bus.wire.isRaised)
        #expect(rig.read(0x38) == 0)
        rig.peers[0].send(TestFrame.plain())
        rig.adapter.serve()
        #expect(rig.bus.wire.isRaised)
        #expect(rig.read(0x38) == 1)
        #expect(!rig.bus.wire.isRaised)
        #expect(rig.read(0x38) == 0)
    }

    @Test("a cable that is pulled is an event; packets are dropped until it is back")
    func link() throws {
        let rig = try VMXNET3Rig()
        rig.start()
        #expect(rig.command(0xf00d_0002) == 10000 << 16 | 1)
        rig.adapter.setLink(up: false)
        #expect(rig.taken(rig.eventInterrupt) == 1)
        #expect(rig.ram.load(UInt32.self, at: rig.shared + 696) == 4)
        rig.write(0x40, 4)
        #expect(rig.command(0xf00d_0002) == 0)
        rig.offer(TestFrame.plain())
        rig.ring()
        rig.peers[0].send(TestFrame.plain())
        rig.adapter.serve()
        #expect(rig.peers[0].receive() == nil)
        #expect(rig.completions().count == 1)
        #expect(rig.received().isEmpty)
        rig.unmask(rig.eventInterrupt)
        rig.adapter.setLink(up: true)
        #expect(rig.taken(rig.eventInterrupt) == 1)
        rig.offer(TestFrame.plain())
        rig.ring()
        #expect(rig.peers[0].receive() != nil)
    }

    @Test("a full back end holds packets up in order and loses none; a reset in between lets them go")
    func backPressure() throws {
        let rig = try VMXNET3Rig()
        rig.start()
        var sent = 0
        var got: [[UInt8]] = []
        while sent < 200 {
            for _ in 0..<16 {
                rig.offer(TestFrame.plain(to: .broadcast, 9000, fill: UInt8(sent & 0xff)))
                sent += 1
            }
            rig.ring()
            if rig.completions().count < 16 { break }
        }
        #expect(sent < 200, "the socket takes everything: the test shows nothing")
        while let packet = rig.peers[0].receive() {
            got.append(packet.frame)
            rig.adapter.serve()
        }
        #expect(got == (0..<sent).map { TestFrame.plain(to: .broadcast, 9000, fill: UInt8($0 & 0xff)) })
        // Fill it again and reset with a packet held up.
        for _ in 0..<12 {
            for _ in 0..<2 { rig.offer(TestFrame.plain(to: .broadcast, 16000)) }
            rig.ring()
            _ = rig.completions()
        }
        rig.command(0xcafe_0002)
        while rig.peers[0].receive() != nil {}
        rig.adapter.serve()
        #expect(rig.peers[0].receive() == nil)
        #expect(rig.start() == 0)
        rig.offer(TestFrame.plain())
        rig.ring()
        #expect(rig.peers[0].receive()?.frame == TestFrame.plain())
    }

    @Test("statistics are written where the driver reads them, and survive resets for the host")
    func statistics() throws {
        let rig = try VMXNET3Rig()
        rig.start()
        rig.offer(TestFrame.plain(to: .broadcast, 100))
        rig.offer(TestFrame.plain(to: TestFrame.other, 80))
        rig.ring()
        rig.peers[0].send(TestFrame.plain(70))
        rig.adapter.serve()
        rig.command(0xf00d_0001)
        func number(_ queue: Int, _ index: Int) -> UInt64? {
            rig.ram.load(UInt64.self, at: rig.queues + UInt64(256 * queue + 88 + 8 * index))
        }
        #expect([2, 3, 6, 7].map { number(0, $0) } == [1, 80, 1, 100])
        #expect([2, 3].map { number(1, $0) } == [1, 70])
        rig.command(0xcafe_0002)
        #expect(rig.adapter.statistics.transmitted == NetStatistics(packets: 2, bytes: 180))
    }

    @Test("several queues are spread over the back end's, as many as it has")
    func queues() throws {
        var options = VMXNET3Rig.Options()
        options.transmitQueues = 4
        options.receiveQueues = 4
        let rig = try VMXNET3Rig(options, pairs: 2)
        #expect(rig.start() == 0)
        for queue in 0..<4 {
            rig.offer(TestFrame.plain(60 + queue), queue: queue)
            rig.ring(queue)
            #expect(rig.peers[queue % 2].receive()?.frame == TestFrame.plain(60 + queue))
            #expect(rig.completions(queue).count == 1)
        }
        for pair in 0..<2 {
            rig.peers[pair].send(TestFrame.plain(90 + pair))
            rig.adapter.serve()
            #expect(rig.received(pair).map(\.frame) == [TestFrame.plain(90 + pair)])
        }
        #expect(rig.received(2).isEmpty)
    }

    @Test("doorbells are bound while the card is active, and follow the BAR")
    func doorbells() throws {
        let rig = try VMXNET3Rig()
        #expect(rig.binder.places.isEmpty)
        rig.start()
        let base = rig.bus.read(0x10, 4)
        #expect(rig.binder.places == Set([0x600, 0x800, 0xa00].map { DoorbellPlace.memory(base + $0) }))
        rig.bus.write(0x10, 4, 0xc080_0000)
        #expect(rig.binder.places == Set([0x600, 0x800, 0xa00].map { DoorbellPlace.memory(0xc080_0000 + $0) }))
        rig.command(0xcafe_0002)
        #expect(rig.binder.places.isEmpty)
    }

    @Test("on threads of its own it moves packets both ways while the driver resets it")
    func threads() throws {
        let loop = try EventLoop(name: "io")
        let control = try EventLoop(name: "control")
        try loop.start()
        try control.start()
        defer {
            control.stop()
            loop.stop()
        }
        let rig = try VMXNET3Rig(loops: [loop], control: control)
        for round in 0..<20 {
            #expect(rig.start() == 0)
            for number in 0..<10 { rig.offer(TestFrame.plain(60 + number + round)) }
            rig.adapter.write(region: 0, offset: 0x600, width: 4, value: 0)
            for number in 0..<10 {
                _ = try poll([.init(rig.peers[0].descriptor, .readable)], milliseconds: 5000)
                #expect(rig.peers[0].receive()?.frame == TestFrame.plain(60 + number + round))
            }
            rig.peers[0].send(TestFrame.plain(100 + round))
            _ = try poll([.init(rig.interrupts.event(0).raw, .readable)], milliseconds: 5000)
            rig.command(0xcafe_0002)
            for index in 0..<3 { _ = rig.taken(index) }
            while rig.peers[0].receive() != nil {}
        }
        rig.adapter.close()
    }
}
