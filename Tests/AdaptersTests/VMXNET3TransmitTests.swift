import Adapters
import Linux
import NetEngine
import NetTestSupport
import Testing

@Suite("vmxnet3 transmits")
struct VMXNET3TransmitTests {
    @Test(
        "a packet goes out whole, however it is cut, and is given back once", arguments: [[], [1, 13, 14], [14, 200]])
    func whole(cuts: [Int]) throws {
        let rig = try VMXNET3Rig()
        #expect(rig.start() == 0)
        var last = -1
        for round in 0..<100 {
            let frame = TestFrame.plain(to: .broadcast, 60 + round * 14, fill: UInt8(round))
            rig.offer(frame, cuts: cuts)
            rig.ring()
            let sent = try #require(rig.peers[0].receive())
            #expect(sent.header == NetHeader())
            #expect(sent.frame == frame)
            last = (last + 1 + cuts.filter { $0 < frame.count }.count) % 32
            #expect(rig.completions() == [last])
        }
        #expect(rig.adapter.statistics.transmitted.packets == 100)
        #expect(rig.taken(0) == 1, "the interrupt masks itself until the driver takes it")
    }
}
