import BlockTestSupport
import DeviceModel
import GuestMemory
import Linux
import NetEngine
import SavedState
import StateFixtures
import Testing
import VirtioTestSupport

@testable import Virtio

@Suite("Saved state of virtio devices")
struct SavedStateTests {
    private func function(
        _ device: VirtioDevice, _ interrupts: TestInterrupts? = nil, _ binder: TestBinder? = nil
    ) -> VirtioPCIFunction {
        VirtioPCIFunction(device, interrupts: interrupts, binder: binder, control: nil, log: { _ in })
    }

    private func sections(_ function: PCIFunction) throws -> [StateSection] {
        try function.stateParts.map { try StateSection("x" + $0.suffix, of: $0.part) }
    }

    private func restore(_ sections: [StateSection], _ function: PCIFunction) throws {
        for ((_, part), section) in zip(function.stateParts, sections) { try section.restore(to: part) }
    }

    private func serve(_ device: VirtioDevice) {
        for queue in device.queues where queue.doorbell.drain() > 0 { queue.ready(.readable) }
    }

    private static let rings: [VirtioFeatures] = [[], [.eventIndex], [.packedRing], [.packedRing, .eventIndex]]

    @Test("a disk goes on in the middle of its rings, and serves what was offered but not rung for", arguments: rings)
    func block(_ extra: VirtioFeatures) throws {
        let backend = MemoryBlockBackend(capacity: 1 << 20)
        let rig = try BlockRig(backend)
        rig.start(extra.union([.blockFlush, .blockConfigurableCache]), size: 8)
        // More than a lap of the ring.
        for round in 0..<11 {
            let answer = rig.run(BlockRig.Kind.write, sector: UInt64(round), out: blockPattern(512, seed: round))
            #expect(answer?.status == BlockRig.done)
        }
        rig.rig.driver.write(VirtioDriver.Register.configuration + 32, 1, 0)
        rig.rig.function.pause()
        let waiting = rig.offer(BlockRig.Kind.read, sector: 10, in: 512)
        let saved = try sections(rig.rig.function)

        let device = try VirtioBlock(
            MemoryBlockBackend(capacity: 1 << 20), ram: rig.rig.memory.ram, loops: [nil], queueSize: 64)
        let copy = function(device)
        copy.pause()
        try restore(saved, copy)
        #expect(!device.queues[0].isRunning)
        #expect(try sections(copy) == saved)
        #expect(!device.isWriteback)
        copy.resume()
        serve(device)
        rig.collect()
        #expect(rig.answers[waiting.token]?.status == BlockRig.done)
        copy.close()
    }

    @Test("a disk whose storage is full cannot be saved, and one of another size not be gone on with")
    func blockRefusals() throws {
        let backend = MemoryBlockBackend(capacity: 1 << 20)
        let rig = try BlockRig(backend)
        rig.start()
        backend.verdict = { _ in .stall }
        rig.offer(BlockRig.Kind.write, sector: 1, out: blockPattern(512, seed: 1))
        rig.kick()
        rig.rig.function.pause()
        #expect(
            throws: StateError.cannotSave(
                section: "x.virtio", "queue 0: \(rig.rig.device.queues[0].ring.inFlight) requests are not finished")
        ) {
            _ = try sections(rig.rig.function)
        }
        let section = try StateSection("disk", of: rig.rig.device)
        let other = try VirtioBlock(
            MemoryBlockBackend(capacity: 2 << 20), ram: rig.rig.memory.ram, loops: [nil], queueSize: 64)
        let error = StateError.badField(
            section: "disk", "capacity: the disk had 1048576 bytes and has 2097152 now at byte 8")
        #expect(throws: error) { try section.restore(to: other) }
        backend.queues.forEach { $0.releaseStalled() }
    }

    @Test("interrupts that wait behind a mask come when it falls, in the new machine")
    func pendingInterrupts() throws {
        let rig = try BlockRig()
        let (before, after) = (try TestInterrupts(3), try TestInterrupts(3))
        func make(_ interrupts: TestInterrupts) throws -> VirtioPCIFunction {
            function(
                try VirtioBlock(MemoryBlockBackend(capacity: 1 << 20), ram: rig.rig.memory.ram, loops: [nil]),
                interrupts)
        }
        let original = try make(before)
        // Vector 1: a message, not masked. Vector 2: masked.
        original.write(region: 1, offset: 16, width: 8, value: 0xfee0_0000)
        original.write(region: 1, offset: 24, width: 8, value: 0x41)
        before.event(2).signal()
        original.pause()
        let saved = try sections(original)
        let copy = try make(after)
        try restore(saved, copy)
        #expect(after.event(2).isSignalled && !after.event(1).isSignalled)
        #expect(copy.read(region: 1, offset: 24, width: 8) == 0x41)
        #expect(try sections(copy) == saved)
        // Fewer vectors are another function.
        #expect(throws: StateError.self) { try restore(saved, make(TestInterrupts(2))) }
    }

    @Test("the transport's state is one that a driver can have made")
    func transport() throws {
        let rig = try BlockRig()
        rig.start(size: 16)
        #expect(rig.run(BlockRig.Kind.flush)?.status == BlockRig.done)
        rig.rig.function.pause()
        let memory = rig.rig.memory
        func fresh(_ queues: Int = 1) throws -> VirtioPCIFunction {
            function(
                try VirtioBlock(
                    MemoryBlockBackend(capacity: 1 << 20), ram: memory.ram, loops: [nil], queueCount: queues,
                    queueSize: 64))
        }
        try StateFixtures.check("virtio", rig.rig.function) { try fresh() }
        try StateFixtures.check("virtio.pci", rig.rig.function.pciState) { try fresh().pciState }
        try StateFixtures.check("virtioBlock", rig.rig.device) {
            try VirtioBlock(MemoryBlockBackend(capacity: 1 << 20), ram: memory.ram, loops: [nil], queueSize: 64)
        }
        let saved = try StateSection("virtio", of: rig.rig.function)
        #expect(throws: StateError.badField(section: "virtio", "queues: 1 queues, this machine has 2 at byte 25")) {
            try saved.restore(to: fresh(2))
        }
    }

    @Test("a balloon keeps its sizes, a console its screen and what was typed")
    func balloonAndConsole() throws {
        let memory = try GuestMemory(count: 1 << 20)
        let balloon = try VirtioBalloon(memory, loop: nil)
        balloon.target = 3 << 12
        balloon.writeConfiguration(4, width: 4, value: 2)
        try StateFixtures.check("virtioBalloon", balloon) { try VirtioBalloon(memory, loop: nil) }
        let copy = try VirtioBalloon(memory, loop: nil)
        try StateSection("balloon", of: balloon).restore(to: copy)
        #expect(copy.target == 3 << 12 && copy.actual == 2 << 12)

        final class Outside: CharacterBackend {
            nonisolated(unsafe) var receiver: (any CharacterReceiver)?  // on the test's thread
            func transmit(_ bytes: Span<UInt8>) {}
            func setReceiver(_ receiver: (any CharacterReceiver)?) { self.receiver = receiver }
            func receiverHasRoom() {}
        }
        let outside = Outside()
        let console = try VirtioConsole(ram: memory.ram, loop: nil, backend: outside, columns: 100, rows: 40)
        _ = outside.receiver?.receive([7, 8, 9].span)
        try StateFixtures.check("virtioConsole", console) {
            try VirtioConsole(ram: memory.ram, loop: nil, backend: Outside())
        }
    }

    @Test("a network card keeps its address, its filter and its offloads")
    func network() throws {
        let memory = try GuestMemory(count: 4 << 20)
        func make(_ peer: Peer) throws -> VirtioNet {
            try VirtioNet(
                .init(address: NetEngine.MACAddress(rawValue: 0x5056_0000_0001)), backend: peer, memory: memory,
                loops: [])
        }
        let net = try make(Peer())
        net.setAddress(NetEngine.MACAddress(rawValue: 0x5056_0000_0002))
        net.updateFilter { filter in
            filter.isPromiscuous = false
            filter.setAddresses([NetEngine.MACAddress(rawValue: 0x3333_0000_0001)], multicastOverflow: true)
            filter.setVLAN(77, true)
        }
        try StateFixtures.check("virtioNet", net) { try make(Peer()) }
        let peer = Peer()
        let copy = try make(peer)
        try StateSection("net", of: net).restore(to: copy)
        #expect(copy.address == NetEngine.MACAddress(rawValue: 0x5056_0000_0002))
        #expect(peer.filter?.hasVLAN(77) == true && peer.filter?.isPromiscuous == false)
    }

    /// A back end that carries nothing.
    private final class Peer: NetBackend, NetQueue {
        nonisolated(unsafe) var filter: NetFilter?  // on the test's thread
        private let event = try? EventFD()

        var queueCount: Int { 1 }
        var offloads: NetOffloads { .all }
        func queue(_ index: Int) -> any NetQueue { self }
        func setGuestOffloads(_ offloads: NetOffloads) {}
        func setActiveQueues(_ count: Int) {}
        func setFilter(_ filter: NetFilter) { self.filter = filter }
        func setLink(up: Bool) {}
        var descriptor: CInt { event?.raw ?? -1 }
        func send(_ pieces: UnsafePointer<IOVector>, _ count: Int) -> TransferResult { .wouldBlock }
        func receive(_ pieces: UnsafePointer<IOVector>, _ count: Int) -> TransferResult { .wouldBlock }
    }
}
