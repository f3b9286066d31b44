import Linux
import Testing

private let netUnavailable: String? = {
    do {
        _ = try VhostDevice(VhostDevice.netPath)
        return nil
    } catch {
        return "\(error)"
    }
}()

@Suite("vhost devices")
struct VhostTests {
    @Test("a kernel without the device says which path is missing")
    func missing() throws {
        let error = #expect(throws: SystemError.self) { try VhostDevice("/dev/vhost-nothing") }
        #expect(error?.description == "open /dev/vhost-nothing: No such file or directory")
    }

    @Test("something else than a vhost device is refused")
    func foreign() throws {
        #expect(throws: SystemError.self) { try VhostDevice("/dev/null") }
    }

    @Test(
        "the kernel takes memory, rings and events in the documented order",
        .enabled(if: netUnavailable == nil, Comment(rawValue: netUnavailable ?? "")))
    func sequence() throws {
        let device = try VhostDevice(VhostDevice.netPath)
        #expect(device.features & 1 << 32 != 0, "VERSION_1")
        try device.setFeatures(1 << 32)
        let memory = try Mapping(anonymous: 1 << 20, "vhost test memory")
        try device.setMemory([VhostMemoryRegion(start: 0, count: memory.count, host: memory.base)])
        let kick = try EventFD()
        let call = try EventFD()
        for ring: UInt32 in 0..<2 {
            let base = memory.base + Int(ring) * 0x10000
            try device.setSize(of: ring, 256)
            try device.setBase(of: ring, 7)
            try device.setAddresses(
                of: ring, VhostRingAddresses(descriptors: base, available: base + 0x4000, used: base + 0x8000))
            try device.setKick(of: ring, kick)
            try device.setCall(of: ring, call)
            #expect(try device.base(of: ring) == 7)
        }
        #expect(throws: SystemError.self) { try device.setSize(of: 0, 3) }
    }
}
