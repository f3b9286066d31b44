import GuestMemory
import Linux
import NetEngine
import NetTestSupport
import Testing
import Virtio
import VirtioTestSupport

@Suite("virtio-net receives")
struct NetReceiveTests {
    @Test(
        "a packet arrives in one buffer, whatever its pieces", arguments: RingKind.all,
        [[2048], [12, 2000], [5, 6, 7, 100, 2000]])
    func single(kind: RingKind, pieces: [Int]) throws {
        let machine = try NetMachine(kind: kind)
        machine.start([])
        for round in 0..<100 {
            let frame = NetMachine.frame(60 + round * 13, fill: UInt8(round))
            #expect(machine.offerBuffer(pieces))
            machine.kick(0, machine.receive[0])
            machine.peers[0].send(frame)
            machine.serve(0)
            let packets = machine.collect()
            #expect(packets.count == 1)
            #expect(packets.first?.frame == frame)
            #expect(packets.first?.header.bufferCount == 1)
        }
        #expect(machine.net.statistics.received.packets == 100)
    }

    @Test("a large packet is spread over mergeable buffers", arguments: RingKind.all)
    func merged(kind: RingKind) throws {
        let machine = try NetMachine(kind: kind)
        machine.start([.netMergeableBuffers, .netGuestChecksum, .netGuestTCP4], size: 128)
        for _ in 0..<60 { machine.offerBuffer([1536]) }
        machine.kick(0, machine.receive[0])
        var header = NetHeader()
        header.flags = NetHeader.Flag.needsChecksum
        header.segmentation = NetHeader.Segmentation.tcp4
        header.segmentSize = 1448
        header.checksumStart = 34
        header.checksumOffset = 16
        let large = NetMachine.frame(65000)
        let small = NetMachine.frame(60)
        machine.peers[0].send(large, header)
        machine.peers[0].send(small)
        machine.serve(0)
        let packets = machine.collect()
        #expect(packets.map(\.frame.count) == [65000, 60])
        #expect(packets.first?.frame == large)
        #expect(packets.first?.header.segmentation == header.segmentation)
        #expect(packets.first?.header.segmentSize == 1448)
        #expect(packets.first?.header.bufferCount == UInt16((65012 + 1535) / 1536))
        #expect(packets.last?.frame == small)
        #expect(packets.last?.header.bufferCount == 1)
    }

    @Test("a packet beyond the offered buffers waits for more and is not lost", arguments: RingKind.all)
    func waits(kind: RingKind) throws {
        let machine = try NetMachine(kind: kind)
        machine.start([.netMergeableBuffers])
        machine.offerBuffer([1000])
        machine.kick(0, machine.receive[0])
        let large = NetMachine.frame(5000)
        machine.peers[0].send(large)
        machine.peers[0].send(NetMachine.frame(61))
        machine.serve(0)
        #expect(machine.collect().isEmpty)
        for _ in 0..<2 { machine.offerBuffer([7, 1500]) }
        machine.kick(0, machine.receive[0])
        #expect(machine.collect().isEmpty)
        for _ in 0..<4 { machine.offerBuffer([7, 1500]) }
        machine.kick(0, machine.receive[0])
        let packets = machine.collect()
        #expect(packets.map(\.frame.count) == [5000, 61])
        #expect(packets.first?.frame == large)
        #expect(machine.net.statistics.received.drops == 0)
    }

    @Test("a packet that no number of buffers could hold is dropped; the next one arrives")
    func tooLarge() throws {
        let machine = try NetMachine()
        machine.start([.netMergeableBuffers], size: 4)
        for _ in 0..<4 { machine.offerBuffer([1000]) }
        machine.peers[0].send(NetMachine.frame(8000))
        machine.peers[0].send(NetMachine.frame(3000))
        machine.serve(0)
        #expect(machine.collect().map(\.frame) == [NetMachine.frame(3000)])
        #expect(machine.net.statistics.received.drops == 1)
    }

    @Test("without mergeable buffers a packet that exceeds the first is dropped")
    func tooLargeForOne() throws {
        let machine = try NetMachine()
        machine.start([])
        for _ in 0..<3 { machine.offerBuffer([1000]) }
        machine.peers[0].send(NetMachine.frame(1500))
        machine.peers[0].send(NetMachine.frame(988))
        machine.peers[0].send(NetMachine.frame(989))
        machine.serve(0)
        #expect(machine.collect().map(\.frame.count) == [988])
        #expect(machine.net.statistics.received.drops == 2)
    }

    @Test("buffers that cannot be written to and packets that are no frames do no harm")
    func hostile() throws {
        let machine = try NetMachine()
        machine.start([.netMergeableBuffers])
        _ = machine.receive[0].offer([Buffer(machine.heap.allocate(64), 64, writable: false)])
        for _ in 0..<3 { machine.offerBuffer([1]) }
        machine.offerBuffer([2000])
        machine.peers[0].send([1, 2, 3])
        machine.peers[0].send(NetMachine.frame(99))
        machine.serve(0)
        let packets = machine.receive[0].collect()
        #expect(packets.map(\.written) == [0, 1, 1, 1, 108])
        #expect(machine.net.statistics.received == NetStatistics(packets: 1, bytes: 99, drops: 0, errors: 2))
    }

    @Test("pages that packets were written to are noted for migration")
    func dirty() throws {
        let machine = try NetMachine()
        machine.start([.netMergeableBuffers])
        _ = machine.heap.allocate(1, alignment: 0x10_0000)
        let page = machine.heap.allocate(8192, alignment: 4096) >> 12
        _ = machine.receive[0].offer([
            Buffer(page << 12, 4096, writable: true), Buffer((page + 1) << 12, 4096, writable: true),
        ])
        machine.memory.trackHostWrites(true)
        machine.peers[0].send(NetMachine.frame(5000))
        machine.serve(0)
        let bits = machine.memory.takeHostWrites(word: Int(page >> 6)) >> (page & 63)
        #expect(bits & 3 == 3)
    }

    @Test("a pause puts unused buffers back; after it they are used in order", arguments: RingKind.all)
    func pause(kind: RingKind) throws {
        let machine = try NetMachine(kind: kind)
        machine.start([.netMergeableBuffers])
        for _ in 0..<8 { machine.offerBuffer([300, 300]) }
        machine.peers[0].send(NetMachine.frame(100))
        machine.serve(0)
        machine.function.pause()
        #expect(machine.net.queues[0].ring.inFlight == 0)
        machine.peers[0].send(NetMachine.frame(700))
        machine.peers[0].send(NetMachine.frame(101))
        machine.function.resume()
        #expect(machine.collect().map(\.frame) == [100, 700, 101].map { NetMachine.frame($0) })
    }

    @Test("a reset in the middle of everything leaves a device that works again")
    func reset() throws {
        let machine = try NetMachine()
        machine.start([.netMergeableBuffers])
        machine.offerBuffer([100])
        machine.peers[0].send(NetMachine.frame(3000))
        machine.serve(0)
        machine.driver.status = 0
        let second = machine.driver
        second.negotiate([])
        let ring = second.setUpQueue(0, size: 16, vector: 0)
        second.start()
        let place = machine.heap.allocate(2048)
        _ = ring.offer([Buffer(place, 2048, writable: true)])
        machine.peers[0].send(NetMachine.frame(77))
        machine.serve(0)
        #expect(ring.collect().map(\.written) == [89])
        #expect(machine.heap.bytes(77, at: place + 12) == NetMachine.frame(77))
    }
}
