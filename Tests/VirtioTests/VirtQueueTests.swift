import GuestMemory
import Testing
import Virtio
import VirtioTestSupport

@Suite("Virtqueue")
struct VirtQueueTests {
    static let kinds: [VirtioFeatures] = [
        [], [.eventIndex], [.indirectDescriptors], [.packedRing], [.packedRing, .eventIndex],
        [.packedRing, .eventIndex, .indirectDescriptors], [.eventIndex, .indirectDescriptors],
    ]

    @Test("requests of every shape pass through, over many laps of the ring", arguments: kinds)
    func roundTrips(features: VirtioFeatures) throws {
        let machine = try EchoMachine(bytes: 64 << 20)
        let ring = machine.start(features, size: 8)
        let heap = machine.driver.heap
        var random = SystemRandomNumberGenerator()
        for round in 0..<200 {
            var expected: [UInt16: (target: [Buffer], bytes: [UInt8])] = [:]
            for _ in 0..<Int.random(in: 1...8, using: &random) {
                let source = (0..<Int.random(in: 0...2, using: &random)).map { _ in
                    (0..<Int.random(in: 1...40, using: &random)).map { UInt8(truncatingIfNeeded: $0 + round) }
                }
                let total = source.joined().count
                var target: [Buffer] = []
                for _ in 0..<Int.random(in: (source.isEmpty ? 1 : 0)...2, using: &random) {
                    let count = Int.random(in: 1...40, using: &random)
                    target.append(Buffer(heap.allocate(count, alignment: 1), count, writable: true))
                }
                let readable = source.map { Buffer(heap.place($0, alignment: 1), $0.count, writable: false) }
                let indirect = features.contains(.indirectDescriptors) && Bool.random(using: &random)
                guard let token = ring.offer(readable + target, indirect: indirect) else { break }
                let room = target.reduce(0) { $0 + Int($1.count) }
                expected[token] = (target, source.joined().prefix(min(total, room)).map { ~$0 })
            }
            if ring.shouldKick() { machine.queues[0].process() }
            let completions = ring.collect()
            #expect(completions.count == expected.count)
            for completion in completions {
                let request = expected.removeValue(forKey: completion.token)
                let (target, bytes) = try #require(request)
                #expect(Int(completion.written) == bytes.count)
                let all = target.flatMap { heap.bytes(Int($0.count), at: $0.address) }
                #expect(Array(all.prefix(bytes.count)) == bytes)
            }
        }
        #expect(machine.log.lines == [])
    }
}
