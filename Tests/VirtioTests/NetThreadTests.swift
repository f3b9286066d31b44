import Linux
import NetEngine
import NetTestSupport
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
        let loops = try EchoLoops()
        let machine = try NetMachine(
            pairs: 2, kind: kind, loops: Array(loops.all[0...1]), control: loops.all[2], bytes: 128 << 20)
        try machine.plug(messages: true)
        machine.start([.netMergeableBuffers, .netControlQueue, .netMultiQueue], size: 32, pairs: 2)
        let sources = try loops.run(machine, pairs: 2, total: 1000, longest: 2500)
        for source in sources { #expect(source.mismatches == 0) }
        #expect(machine.log.lines == [])
        loops.end(machine)
        let statistics = machine.net.statistics
        #expect(statistics.received.packets == 2000)
        #expect(statistics.received.drops + statistics.received.errors == 0)
        #expect(statistics.transmitted.packets == 2000)
    }
}

/// The threads of an echo test: two for queues, one for control, one that is the guest.
final class EchoLoops {
    let all: [EventLoop]
    private var guests: [EchoGuest] = []

    init() throws {
        all = try ["net-0", "net-1", "control", "guest"].map { try EventLoop(name: $0) }
        for loop in all { try loop.start() }
    }

    /// Lets the guest send back what its peers send to it, until each has `total` packets back.
    func run(
        _ machine: NetMachine, pairs: Int, total: Int, longest: Int, messages: Bool = true
    ) throws -> [EchoPeer] {
        if guests.isEmpty {
            guests = (0..<pairs).map { EchoGuest(machine, pair: $0, messages: messages) }
            let guests = guests
            let loop = all[3]
            loop.performAndWait { for guest in guests { guest.start(on: loop) } }
        }
        let host = try EventLoop(name: "peers")
        let sources = (0..<pairs).map {
            EchoPeer(machine.peers[$0], total: total, longest: longest, seed: UInt64($0 + 1))
        }
        for source in sources {
            source.finished = { if sources.allSatisfy(\.isDone) { host.stop() } }
            try host.watch(source.peer.descriptor, for: .readable, source)
        }
        host.perform { for source in sources { source.start() } }
        host.run()
        return sources
    }

    func end(_ machine: NetMachine) {
        machine.close()
        for loop in all.reversed() { loop.stop() }
    }
}

/// A guest that sends back what it receives, and sleeps in between.
final class EchoGuest: EventHandler, @unchecked Sendable {
    private let machine: NetMachine
    private let pair: Int

    private let messages: Bool

    init(_ machine: NetMachine, pair: Int, messages: Bool) {
        self.machine = machine
        self.pair = pair
        self.messages = messages
    }

    func start(on loop: EventLoop) {
        for event in interrupts { try? loop.watch(event.raw, for: .readable, self) }
        for _ in 0..<24 { machine.offerBuffer([700], pair: pair) }
        kick()
    }

    private var interrupts: [EventFD] {
        if !messages { return [machine.wire.event].compactMap(\.self) }
        return [machine.interrupts.events[2 * pair], machine.interrupts.events[2 * pair + 1]]
    }

    private func kick() {
        machine.kick(2 * pair, machine.receive[pair])
        machine.kick(2 * pair + 1, machine.transmit[pair])
    }

    override func ready(_ events: Readiness) {
        for event in interrupts { event.drain() }
        if !messages { _ = machine.driver.read(VirtioDriver.Register.interruptStatus, 1) }
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
            // On a real network the kernel has something to say too.
            let isOurs = NetMachine.isTestFrame(packet.frame)
            for _ in 0..<max(Int(packet.header.bufferCount), 1) { machine.offerBuffer([700], pair: pair) }
            if isOurs { machine.send(packet.frame, pair: pair) }
        }
        return sent + packets.count > 0
    }
}

/// The network: keeps a few packets under way and checks that they come back in order.
final class EchoPeer: EventHandler, @unchecked Sendable {
    let peer: Peer
    private let total: Int
    private let longest: Int
    var finished: () -> Void = {}
    private(set) var mismatches = 0
    private var expected: [[UInt8]] = []
    private var sent = 0
    private var received = 0
    private var random: SeededRandom

    var isDone: Bool { received == total }

    init(_ peer: Peer, total: Int, longest: Int, seed: UInt64) {
        self.peer = peer
        self.total = total
        self.longest = longest
        random = SeededRandom(seed)
    }

    func start() { fill() }

    private func fill() {
        while sent < total, expected.count < 6 {
            let count = Int.random(in: 60...longest, using: &random)
            let frame = NetMachine.frame(count, fill: UInt8(truncatingIfNeeded: sent))
            guard case .done = peer.send(frame) else { return }
            expected.append(frame)
            sent += 1
        }
    }

    override func ready(_ events: Readiness) {
        while let packet = peer.receive() {
            guard NetMachine.isTestFrame(packet.frame) else { continue }
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
