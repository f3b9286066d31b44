import GuestMemory
import Testing
import Virtio
import VirtioTestSupport

@Suite("Entropy device")
struct VirtioRNGTests {
    @Test("buffers are filled with bytes that differ each time; a request gets at most 64 KiB")
    func fills() throws {
        let rig = try DeviceRig { try VirtioRNG(ram: $0.ram, loop: nil) }
        #expect(rig.driver.read(VirtioDriver.Register.configuration, 4) == 0xffff_ffff, "no configuration")
        let ring = rig.start([.eventIndex], queues: 1)[0]
        let buffer = rig.heap.allocate(200 << 10)
        _ = ring.offer([Buffer(buffer, 64, writable: true), Buffer(buffer + 64, 64, writable: true)])
        _ = ring.offer([Buffer(buffer + 128, 199 << 10, writable: true)])
        _ = ring.offer([Buffer(buffer, 64, writable: false)])
        rig.kick(0)
        #expect(ring.collect().map(\.written) == [128, 64 << 10, 0])
        let bytes = rig.heap.bytes(256, at: buffer)
        #expect(Set(bytes).count > 100)
        #expect(bytes.prefix(64) != bytes[64..<128])
        #expect(rig.heap.bytes(100, at: buffer + 128 + 65536) == [UInt8](repeating: 0, count: 100))
        #expect(rig.log.lines == [])
    }
}
