import GuestMemory
import Linux
import Testing
import Virtio
import VirtioTestSupport

@Suite("Balloon")
struct VirtioBalloonTests {
    static let statistics = VirtioFeatures(bit: 1)
    static let poison = VirtioFeatures(bit: 4)
    static let reporting = VirtioFeatures(bit: 5)

    func rig() throws -> (DeviceRig, VirtioBalloon) {
        let rig = try DeviceRig(bytes: 16 << 20) { try VirtioBalloon($0, loop: nil) }
        return (rig, try #require(rig.device as? VirtioBalloon))
    }

    /// Fills pages and says which of them read as zeros.
    func isZero(_ rig: DeviceRig, _ page: UInt64) -> Bool { rig.memory.ram.load(UInt8.self, at: page << 12) == 0 }

    func words(_ values: [UInt32]) -> [UInt8] {
        values.flatMap { value in (0..<4).map { UInt8(truncatingIfNeeded: value >> (8 * UInt32($0))) } }
    }

    @Test("inflated pages go back to the host; numbers outside memory are ignored; target and actual are told")
    func inflates() throws {
        let (rig, balloon) = try rig()
        let rings = rig.start([], queues: 2)
        for page in UInt64(0x800)..<0x900 { rig.memory.ram.store(UInt8(1), at: page << 12) }
        let numbers = words([0x810, 0x811, 0x812, 0x820, 0x81f, 0x81e, 0x830, 0xffff_ffff, 0x10_0000])
        // In two pieces that cut through a number.
        _ = rings[0].offer([
            Buffer(rig.heap.place(Array(numbers.prefix(6))), 6, writable: false),
            Buffer(rig.heap.place(Array(numbers.dropFirst(6))), numbers.count - 6, writable: false),
        ])
        rig.kick(0)
        #expect(rings[0].collect().map(\.written) == [0])
        let zero = (UInt64(0x800)..<0x900).filter { isZero(rig, $0) }
        #expect(zero == [0x810, 0x811, 0x812, 0x81e, 0x81f, 0x820, 0x830])
        #expect(balloon.reclaimedBytes == 7 * 4096)
        _ = rings[1].offer([Buffer(rig.heap.place(words([0x810])), 4, writable: false)])
        rig.kick(1)
        #expect(rings[1].collect().count == 1)

        let base = VirtioDriver.Register.configuration
        balloon.target = 5 << 20
        #expect(rig.driver.read(base, 4) == 1280)
        rig.driver.write(base + 4, 4, 7)
        #expect(balloon.actual == 7 * 4096)
        rig.driver.status = 0
        #expect(balloon.actual == 0)
        #expect(balloon.target == 5 << 20)
    }

    @Test("free pages that the guest reports go back, unless it looks for its poison in them")
    func reports() throws {
        let (rig, balloon) = try rig()
        // Without statistics the reporting queue moves up.
        for (features, queue) in [(Self.reporting, 2), ([Self.reporting, Self.statistics], 3)] {
            let rings = rig.start(features, queues: queue + 1)
            for page in UInt64(0x800)..<0x808 { rig.memory.ram.store(UInt8(1), at: page << 12) }
            _ = rings[queue].offer([
                Buffer(0x801 << 12, 2 << 12, writable: true), Buffer(0x805 << 12, 1 << 12, writable: true),
            ])
            rig.kick(queue)
            #expect(rings[queue].collect().count == 1)
            #expect((UInt64(0x800)..<0x808).filter { isZero(rig, $0) } == [0x801, 0x802, 0x805])
        }
        let before = balloon.reclaimedBytes
        let rings = rig.start([Self.reporting, Self.poison], queues: 3)
        rig.driver.write(VirtioDriver.Register.configuration + 12, 4, 0xaaaa_aaaa)
        _ = rings[2].offer([Buffer(0x806 << 12, 1 << 12, writable: true)])
        rig.kick(2)
        #expect(rings[2].collect().count == 1)
        #expect(balloon.reclaimedBytes == before)
    }

    @Test("statistics come when the host asks; the guest's request is held meanwhile and survives a pause")
    func statistics() throws {
        let (rig, balloon) = try rig()
        let ring = rig.start([Self.statistics], queues: 3)[2]
        var bytes: [UInt8] = []
        for (tag, value) in [(UInt16(4), UInt64(1000)), (5, 9000), (99, 1), (6, 2000)] {
            for byte in 0..<2 { bytes.append(UInt8(truncatingIfNeeded: tag >> (8 * UInt16(byte)))) }
            for byte in 0..<8 { bytes.append(UInt8(truncatingIfNeeded: value >> (8 * UInt64(byte)))) }
        }
        let buffer = rig.heap.place(bytes)
        _ = ring.offer([Buffer(buffer, 1, writable: false)])
        rig.kick(2)
        #expect(ring.collect().isEmpty)
        #expect(balloon.statistics == BalloonStatistics())
        rig.function.pause()
        rig.function.resume()
        balloon.requestStatistics()
        #expect(ring.collect().count == 1)
        _ = ring.offer([Buffer(buffer, bytes.count, writable: false)])
        rig.kick(2)
        #expect(balloon.statistics.free == 1000)
        #expect(balloon.statistics.total == 9000)
        #expect(balloon.statistics.available == 2000)
        #expect(balloon.statistics.swappedIn == nil)
        _ = ring.offer([Buffer(buffer, bytes.count, writable: false)])
        rig.kick(2)
        #expect(ring.collect().count == 1, "only one is held")
        rig.driver.status = 0
        #expect(balloon.statistics == BalloonStatistics())
        balloon.requestStatistics()
        #expect(rig.log.lines == [])
    }
}
