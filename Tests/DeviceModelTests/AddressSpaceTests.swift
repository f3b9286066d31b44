import DeviceModel
import Testing

/// Answers reads with its region and offset, and remembers the last write.
final class ProbeDevice: BusDevice, @unchecked Sendable {
    var lastWrite: (region: Int, offset: UInt64, width: Int, value: UInt64)?
    override func read(region: Int, offset: UInt64, width: Int) -> UInt64 { UInt64(region) << 32 | offset }
    override func write(region: Int, offset: UInt64, width: Int, value: UInt64) {
        lastWrite = (region, offset, width, value)
    }
}

@Suite("Address space")
struct AddressSpaceTests {
    @Test("an access reaches the device that holds all of it, with its region and offset")
    func dispatch() throws {
        let space = AddressSpace.ports()
        let view = BusView(space)
        let device = ProbeDevice()
        try space.map(device, region: 3, at: 0x3f8, count: 8)
        #expect(view.read(0x3fa, width: 1) == 3 << 32 | 2)
        #expect(view.write(0x3f8, width: 2, value: 0x1234))
        #expect(device.lastWrite?.value == 0x1234)
        #expect(view.read(0x3ff, width: 2) == 0xffff, "half outside: nobody answers")
        #expect(view.read(0x3f7, width: 1) == 0xff)
        #expect(!view.write(0x400, width: 1, value: 0))
        space.unmap(at: 0x3f8)
        #expect(view.read(0x3fa, width: 4) == 0xffff_ffff)
    }

    @Test("a view keeps an unmapped device until it is refreshed")
    func letsGo() throws {
        let space = AddressSpace.memory()
        let view = BusView(space)
        weak var device: ProbeDevice?
        do {
            let made = ProbeDevice()
            device = made
            try space.map(made, at: 0x1000, count: 8)
            #expect(view.read(0x1004, width: 1) == 4)
            space.unmap(at: 0x1000)
        }
        #expect(device != nil, "an access that is under way must find it")
        view.refresh()
        #expect(device == nil)
    }

    @Test(
        "ranges may touch but not overlap, and must fit the space",
        arguments: [
            (UInt64(0x0f), UInt64(2), false), (0x10, 1, false), (0x1f, 4, false), (0x08, 0x40, false), (0x20, 1, true),
            (0x0e, 2, true), (0xffff, 1, true), (0xffff, 2, false), (5, 0, false), (UInt64.max, 1, false),
        ])
    func ranges(start: UInt64, count: UInt64, fits: Bool) throws {
        let space = AddressSpace.ports()
        try space.map(ProbeDevice(), at: 0x10, count: 0x10)
        if fits {
            try space.map(ProbeDevice(), at: start, count: count)
        } else {
            #expect(throws: AddressSpaceError.self) { try space.map(ProbeDevice(), at: start, count: count) }
        }
    }

    @Test("every mapped range is found among many, and the gaps are not")
    func manyRanges() throws {
        let space = AddressSpace.memory()
        let view = BusView(space)
        let device = ProbeDevice()
        for index in (0..<100).reversed() {
            try space.map(device, region: index, at: UInt64(index) * 0x2000, count: 0x1000)
        }
        for index in 0..<100 {
            #expect(view.read(UInt64(index) * 0x2000 + 0xffc, width: 4) == UInt64(index) << 32 | 0xffc)
            #expect(view.read(UInt64(index) * 0x2000 + 0x1000, width: 8) == UInt64.max)
        }
        #expect(view.read(UInt64.max, width: 8) == UInt64.max)
    }
}
