import Linux
import NetEngine
import NetTestSupport
import Synchronization
import TestNetwork
import Testing
import Virtio
import VirtioTestSupport

private let kernelUnavailable: String? = {
    if let networkUnavailable { return networkUnavailable }
    do {
        _ = try VhostDevice(VhostDevice.netPath)
        return nil
    } catch {
        return "\(error)"
    }
}()

/// A card on a tap, and another tap on the same bridge as its peer, in a network of their own.
@Suite("virtio-net on a bridge", .enabled(if: networkUnavailable == nil, Comment(rawValue: networkUnavailable ?? "")))
struct NetTapTests {
    /// Runs `body` with a bridge of two taps.
    static func onBridge(_ body: @escaping @Sendable (TapBackend, Peer) throws -> Void) throws {
        try inOwnNetwork {
            let backend = try TapBackend("card0")
            let peer = try TapQueue("peer0")
            var network = try NetworkConfiguration()
            try network.addBridge("br0")
            for link in ["card0", "peer0"] {
                try network.setMaster(of: link, to: "br0")
                try network.setUp(link)
            }
            try network.setUp("br0")
            try body(backend, Peer(peer))
        }
    }

    @Test("packets cross the bridge both ways", .timeLimit(.minutes(1)), arguments: RingKind.all)
    func userSpace(kind: RingKind) throws {
        try Self.onBridge { backend, peer in
            let loops = try EchoLoops()
            let machine = try NetMachine(
                backend, [peer], kind: kind, loops: [loops.all[0]], control: loops.all[2], bytes: 64 << 20)
            try machine.plug(messages: true)
            machine.start([.netMergeableBuffers], size: 32)
            let sources = try loops.run(machine, pairs: 1, total: 300, longest: 1500)
            #expect(sources[0].mismatches == 0)
            #expect(!machine.net.isInKernel)
            loops.end(machine)
            #expect(machine.net.statistics.transmitted.packets == 300)
            #expect(machine.net.statistics.transmitted.errors == 0)
            #expect(machine.log.lines == [])
        }
    }

    @Test("the tap passes only what the guest's filter wants", .timeLimit(.minutes(1)))
    func filter() throws {
        try Self.onBridge { backend, peer in
            let machine = try NetMachine(
                backend, [peer], kind: RingKind(features: []), loops: [], control: nil, bytes: 16 << 20)
            machine.start(.controls)
            #expect(machine.command(0, 0, [0]) == 0)
            for _ in 0..<16 { machine.offerBuffer([2048]) }
            // What the kernel said before the filter was set.
            machine.serve(0)
            let drops = machine.net.statistics.received.drops
            peer.send(NetMachine.frame(to: NetMachine.other, 61))
            peer.send(NetMachine.frame(to: .broadcast, 62))
            peer.send(NetMachine.frame(63))
            machine.serve(0)
            #expect(machine.collect().map(\.frame).filter(NetMachine.isTestFrame).map(\.count) == [62, 63])
            // What the kernel filtered was never read: the card itself had nothing to drop.
            #expect(machine.net.statistics.received.drops == drops)
        }
    }

    @Test(
        "the kernel moves packets both ways, also after a pause, a pulled cable and without message vectors",
        .enabled(if: kernelUnavailable == nil, Comment(rawValue: kernelUnavailable ?? "")), .timeLimit(.minutes(2)),
        arguments: [false, true])
    func inKernel(messages: Bool) throws {
        try Self.onBridge { backend, peer in
            let loops = try EchoLoops()
            let machine = try NetMachine(
                backend, [peer], kind: RingKind(features: [.eventIndex]), loops: [loops.all[0]],
                control: loops.all[2], kernel: [VhostDevice(VhostDevice.netPath)], bytes: 64 << 20)
            #expect(!machine.driver.offered.contains(.packedRing))
            try machine.plug(messages: messages)
            machine.start([.netMergeableBuffers], size: 32)
            for round in 0..<3 {
                let sources = try loops.run(machine, pairs: 1, total: 300, longest: 1500, messages: messages)
                #expect(sources[0].mismatches == 0)
                #expect(machine.net.isInKernel)
                machine.net.setLink(up: false)
                machine.function.pause()
                #expect(machine.net.queues[0].ring.currentPosition.available > UInt16(round))
                machine.function.resume()
                machine.net.setLink(up: true)
            }
            #expect(machine.net.statistics.transmitted.packets == 0, "no packet passed through here")
            machine.driver.status = 0
            #expect(!machine.net.isInKernel)
            loops.end(machine)
            #expect(machine.log.lines == [])
        }
    }
}
