import Linux
import NetEngine
import NetTestSupport
import Testing
import Virtio
import VirtioTestSupport

@Suite("virtio-net transmits")
struct NetTransmitTests {
    @Test(
        "a packet goes out whole, however it is cut into buffers",
        arguments: RingKind.all, [[], [12], [1, 5, 11, 12, 13], [14, 200]])
    func whole(kind: RingKind, cuts: [Int]) throws {
        let machine = try NetMachine(kind: kind)
        machine.start([])
        for round in 0..<100 {
            let frame = NetMachine.frame(to: .broadcast, 60 + round * 7, fill: UInt8(round))
            #expect(machine.send(frame, cuts: cuts))
            machine.kick(1, machine.transmit[0])
            let sent = try #require(machine.peers[0].receive())
            #expect(sent.header == NetHeader())
            #expect(sent.frame == frame)
            #expect(machine.transmit[0].collect().map(\.written) == [0])
        }
        #expect(machine.net.statistics.transmitted.packets == 100)
        #expect(machine.net.statistics.transmitted.errors == 0)
    }

    @Test("a header with segmentation passes as it is when that was negotiated")
    func segmentation() throws {
        let machine = try NetMachine()
        machine.start(.hostOffloads)
        var header = NetHeader()
        header.flags = NetHeader.Flag.needsChecksum
        header.segmentation = NetHeader.Segmentation.tcp4 | NetHeader.Segmentation.ecn
        header.segmentSize = 1448
        header.headerLength = 66
        header.checksumStart = 34
        header.checksumOffset = 16
        let frame = NetMachine.frame(to: .broadcast, 65549)
        machine.send(frame, header, cuts: [12, 4096, 20000, 40000])
        machine.kick(1, machine.transmit[0])
        let sent = try #require(machine.peers[0].receive())
        #expect(sent.header == header)
        #expect(sent.frame == frame)
    }

    @Test("packets that make no sense are dropped and counted; the next one goes out")
    func malformed() throws {
        let machine = try NetMachine()
        machine.start([])
        var unwanted = NetHeader()
        unwanted.segmentation = NetHeader.Segmentation.tcp4
        unwanted.segmentSize = 100
        machine.sendRaw([1, 2, 3])
        machine.sendRaw([UInt8](repeating: 0, count: 12))
        machine.send([UInt8](repeating: 0, count: 13))
        machine.send(NetMachine.frame(), unwanted)
        machine.send([UInt8](repeating: 0, count: 70000))
        machine.send(NetMachine.frame())
        // Only writable buffers: there is nothing to send.
        _ = machine.transmit[0].offer([Buffer(machine.heap.allocate(64), 64, writable: true)])
        machine.kick(1, machine.transmit[0])
        #expect(machine.peers[0].receive()?.frame == NetMachine.frame())
        #expect(machine.peers[0].receive() == nil)
        #expect(machine.transmit[0].collect().count == 7)
        #expect(machine.net.statistics.transmitted == NetStatistics(packets: 1, bytes: 60, drops: 0, errors: 6))
    }

    @Test("a descriptor outside memory breaks the device until it is reset")
    func hostileDescriptor() throws {
        let machine = try NetMachine()
        machine.start([])
        _ = machine.transmit[0].offer([Buffer(0xffff_ffff_0000, 64, writable: false)])
        machine.kick(1, machine.transmit[0])
        #expect(machine.driver.status & 0x40 != 0)
        #expect(machine.log.lines.contains { $0.contains("virtio-net") && $0.contains("queue 1") })
    }

    @Test("a full back end holds packets up in order and loses none")
    func backPressure() throws {
        let machine = try NetMachine(bytes: 64 << 20)
        machine.start([.eventIndex], size: 256)
        var offered = 0
        var received: [[UInt8]] = []
        func frame(_ number: Int) -> [UInt8] { NetMachine.frame(to: .broadcast, 9000, fill: UInt8(number & 0xff)) }
        for _ in 0..<120 where machine.send(frame(offered)) { offered += 1 }
        machine.kick(1, machine.transmit[0])
        let early = machine.transmit[0].collect().count
        #expect(early < offered, "the socket takes everything: the test shows nothing")
        while let packet = machine.peers[0].receive() {
            received.append(packet.frame)
            // What the port does when the socket says it has room.
            machine.serve(1)
        }
        #expect(received.count == offered)
        for (number, bytes) in received.enumerated() { #expect(bytes == frame(number)) }
        #expect(early + machine.transmit[0].collect().count == offered)
    }

    @Test("a pause while the back end is full keeps the held packet for later")
    func pausedWhileFull() throws {
        let machine = try NetMachine(bytes: 64 << 20)
        machine.start([], size: 256)
        for number in 0..<100 { machine.send(NetMachine.frame(to: .broadcast, 9000, fill: UInt8(number))) }
        machine.kick(1, machine.transmit[0])
        machine.function.pause()
        #expect(machine.net.queues[1].ring.inFlight == 0)
        var count = 0
        while let packet = machine.peers[0].receive() {
            #expect(packet.frame == NetMachine.frame(to: .broadcast, 9000, fill: UInt8(count)))
            count += 1
        }
        #expect(count < 100)
        machine.function.resume()
        while let packet = machine.peers[0].receive() {
            #expect(packet.frame == NetMachine.frame(to: .broadcast, 9000, fill: UInt8(count)))
            count += 1
            machine.serve(1)
        }
        #expect(count == 100)
    }

    @Test("with the cable out, packets vanish")
    func linkDown() throws {
        let machine = try NetMachine()
        machine.start([.netStatus])
        machine.net.setLink(up: false)
        machine.send(NetMachine.frame())
        machine.kick(1, machine.transmit[0])
        #expect(machine.peers[0].receive() == nil)
        #expect(machine.transmit[0].collect().count == 1)
        #expect(machine.net.statistics.transmitted.drops == 1)
    }
}
