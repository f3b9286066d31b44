import BlockTestSupport
import Bytes
import DeviceModel
import Testing
import Virtio
import VirtioTestSupport

@Suite("virtio-blk and power cuts")
struct VirtioBlockDurabilityTests {
    /// Writes numbered records as a journal does: the record, a flush, the commit block that counts it, a flush.
    private func journal(_ features: VirtioFeatures, flushes: Bool, seed: UInt64) throws {
        let backend = MemoryBlockBackend(capacity: 64 << 10, modelsCache: true)
        let rig = try BlockRig(backend)
        rig.start(features)
        var random = SplitMix64(seed: seed)

        /// The power goes now, and any part of what is not stable is lost.
        func check(acknowledged: UInt8) {
            for _ in 0..<4 {
                let contents = backend.contentsAfterPowerCut { Bool.random(using: &random) }
                let committed = contents[0]
                #expect(committed >= acknowledged, "an acknowledged commit is lost")
                for record in 0..<committed {
                    let start = Int(record + 1) * 512
                    #expect(
                        contents[start..<start + 512].allSatisfy { $0 == record + 1 },
                        "record \(record + 1) of \(committed) is not whole")
                }
            }
        }

        for record in 1...20 as ClosedRange<UInt8> {
            let block = [UInt8](repeating: record, count: 512)
            #expect(rig.run(BlockRig.Kind.write, sector: UInt64(record), out: block)?.status == BlockRig.done)
            check(acknowledged: record - 1)
            if flushes { #expect(rig.run(BlockRig.Kind.flush)?.status == BlockRig.done) }
            #expect(rig.run(BlockRig.Kind.write, sector: 0, out: block)?.status == BlockRig.done)
            check(acknowledged: record - 1)
            if flushes { #expect(rig.run(BlockRig.Kind.flush)?.status == BlockRig.done) }
            check(acknowledged: record)
        }
    }

    @Test("what was flushed survives, and nothing that came after stands without what came before")
    func flushing() throws {
        try journal([.blockFlush], flushes: true, seed: 1)
        try journal([.blockFlush, .blockConfigurableCache, .eventIndex], flushes: true, seed: 2)
    }

    @Test("for a driver that cannot flush, every completed write survives")
    func writeThrough() throws {
        try journal([], flushes: false, seed: 3)
    }

    @Test("a flush completes when the disk says so, not before")
    func flushWaits() throws {
        let rig = try BlockRig()
        rig.start()
        rig.backend.verdict = { $0.operation == .flush ? .hold : .carryOut }
        let flush = rig.offer(BlockRig.Kind.flush)
        rig.kick()
        let read = rig.run(BlockRig.Kind.read, in: 512)
        #expect(read?.status == BlockRig.done)
        #expect(rig.answers[flush.token] == nil)
        rig.backend.queues[0].releaseHeld()
        rig.collect()
        #expect(rig.answers[flush.token]?.status == BlockRig.done)
    }
}
