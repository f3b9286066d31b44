import Adapters
import Linux
import NetEngine
import NetTestSupport
import Testing

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
