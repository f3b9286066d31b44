import Linux
import NetEngine
import Synchronization
import Testing
import Virtio
import VirtioTestSupport

@Suite("virtio-net on event loops")
struct NetThreadTests {
    @Test(
        "packets go both ways between threads that sleep, and none is lost", .timeLimit(.minutes(1)),
        arguments: RingKind.all)
    func echo(kind: RingKind) throws {
        let loops = try ["net-0", "net-1", "control", "guest"].map { try EventLoop(name: $0) }
        for loop in loops { try loop.start() }
        let machine = try NetMachine(
            pairs: 2, kind: kind, loops: Array(loops[0...1]), control: loops[2], bytes: 128 << 20)
        try machine.enableMessages()
        machine.start([.netMergeableBuffers, .netControlQueue, .netMultiQueue], size: 32, pairs: 2)
        let guests = (0..<2).map { EchoGuest(machine, pair: $0) }
        loops[3].performAndWait {
            for guest in guests { guest.start(on: loops[3]) }
        }

        let host = try EventLoop(name: "peers")
        let sources = (0..<2).map { EchoPeer(machine.peers[$0], seed: UInt64($0 + 1)) }
        for source in sources {
            source.finished = { if sources.allSatisfy(\.isDone) { host.stop() } }
            try host.watch(source.peer.descriptor, for: .readable, source)
        }
        host.perform { for source in sources { source.start() } }
        host.run()
        for source in sources { #expect(source.mismatches == 0) }
        #expect(machine.log.lines == [])
        machine.close()
        for loop in loops.reversed() { loop.stop() }
        let statistics = machine.net.statistics
        #expect(statistics.received.packets == UInt64(2 * EchoPeer.total))
        #expect(statistics.received.drops + statistics.received.errors == 0)
        #expect(statistics.transmitted.packets == UInt64(2 * EchoPeer.total))
    }

    /// A guest that sends back what it receives, and sleeps in between.
    final class EchoGuest: EventHandler, @unchecked Sendable {
        private let machine: NetMachine
        private let pair: Int

        init(_ machine: NetMachine, pair: Int) {
            self.machine = machine
            self.pair = pair
        }

        func start(on loop: EventLoop) {
            for vector in [2 * pair, 2 * pair + 1] {
                try? loop.watch(machine.interrupts.events[vector].raw, for: .readable, self)
            }
            for _ in 0..<24 { machine.offerBuffer([700], pair: pair) }
            kick()
        }

        private func kick() {
            machine.kick(2 * pair, machine.receive[pair])
            machine.kick(2 * pair + 1, machine.transmit[pair])
        }

        override func ready(_ events: Readiness) {
            machine.interrupts.events[2 * pair].drain()
            machine.interrupts.events[2 * pair + 1].drain()
            var isBusy = true
            while isBusy {
                machine.receive[pair].setInterrupts(false)
                machine.transmit[pair].setInterrupts(false)
                isBusy = work()
                kick()
                // The wish must be seen before looking again, as in the device.
                machine.receive[pair].setInterrupts(true)
                machine.transmit[pair].setInterrupts(true)
                atomicMemoryFence(ordering: .sequentiallyConsistent)
                if work() {
                    isBusy = true
                    kick()
                }
            }
        }

        private func work() -> Bool {
            let sent = machine.transmit[pair].collect().count
            let packets = machine.collect(pair: pair)
            for packet in packets {
                for _ in 0..<max(Int(packet.header.bufferCount), 1) { machine.offerBuffer([700], pair: pair) }
                machine.send(packet.frame, pair: pair)
            }
            return sent + packets.count > 0
        }
    }

    /// The network: keeps a few packets under way and checks that they come back in order.
    final class EchoPeer: EventHandler, @unchecked Sendable {
        static let total = 1000
        let peer: Peer
        var finished: () -> Void = {}
        private(set) var mismatches = 0
        private var expected: [[UInt8]] = []
        private var sent = 0
        private var received = 0
        private var random: SeededRandom

        var isDone: Bool { received == Self.total }

        init(_ peer: Peer, seed: UInt64) {
            self.peer = peer
            random = SeededRandom(seed)
        }

        func start() { fill() }

        private func fill() {
            while sent < Self.total, expected.count < 6 {
                let count = Int.random(in: 60...2500, using: &random)
                let frame = NetMachine.frame(count, fill: UInt8(truncatingIfNeeded: sent))
                guard case .done = peer.send(frame) else { return }
                expected.append(frame)
                sent += 1
            }
        }

        override func ready(_ events: Readiness) {
            while let packet = peer.receive() {
                if expected.isEmpty || expected.removeFirst() != packet.frame { mismatches += 1 }
                received += 1
            }
            fill()
            if isDone { finished() }
        }
    }

    /// The same numbers each run.
    struct SeededRandom: RandomNumberGenerator {
        private var state: UInt64
        init(_ seed: UInt64) { state = seed &* 0x9e37_79b9_7f4a_7c15 }
        mutating func next() -> UInt64 {
            state ^= state << 13
            state ^= state >> 7
            state ^= state << 17
            return state
        }
    }
}
