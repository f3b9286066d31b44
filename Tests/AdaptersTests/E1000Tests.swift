import Adapters
import Linux
import NetEngine
import NetTestSupport
import Testing

@Suite("Intel's cards carry packets")
struct E1000Tests {
    @Test("a packet goes out whole, however it is cut", arguments: E1000Model.allCases, [[], [1, 13, 14], [14, 200]])
    func transmit(model: E1000Model, cuts: [Int]) throws {
        let rig = try E1000Rig(model)
        rig.start()
        for round in 0..<100 {
            let frame = TestFrame.plain(to: .broadcast, 60 + round * 14, fill: UInt8(round))
            rig.offer(frame, cuts: cuts, word: round & 1 == 0 ? 0 : 1 << 29 | 1 << 20)
            rig.ring()
            let sent = try #require(rig.peer.receive())
            #expect(sent.header == NetHeader())
            #expect(sent.frame == frame)
            #expect(rig.completed() == 1 + cuts.filter { $0 < frame.count }.count)
            #expect(rig.read(0x3810) == rig.read(0x3818))
        }
        #expect(rig.adapter.statistics.transmitted.packets == 100)
    }

    @Test("packets arrive in order", arguments: E1000Rig.Format.allCases)
    func receive(format: E1000Rig.Format) throws {
        let rig = try E1000Rig(format == .legacy ? .e1000 : .e1000e)
        rig.format = format
        rig.start()
        for round in 0..<100 {
            let frame = TestFrame.plain(60 + round * 14, fill: UInt8(round))
            rig.peer.send(frame)
            rig.adapter.serve()
            let packets = rig.received()
            #expect(packets.map(\.frame) == [frame])
            rig.refill()
        }
        #expect(rig.adapter.statistics.received.packets == 100)
    }
}
