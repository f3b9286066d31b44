import Display

/// Video memory that the input writes, too.
private final class FuzzFramebuffer: FramebufferMemory, @unchecked Sendable {
    // @unchecked: the fuzzer has one thread.
    let base: UnsafeMutableRawPointer
    let count = 256 << 10
    /// All ones, or nothing.
    var isLogged = true

    init() {
        base = .allocate(byteCount: count, alignment: 4096)
        base.initializeMemory(as: UInt8.self, repeating: 0, count: count)
    }

    deinit { base.deallocate() }

    func takeWrittenPages(into pages: inout [UInt64]) -> Bool { isLogged }
}

/// A machine's mapper, which must be told of nothing outside the memory.
private final class FuzzMapper: FramebufferMapper {
    func framebufferMoved(to address: UInt64?) {}
    func legacyWindowChanged(_ window: DirectWindow?) {
        guard let window else { return }
        check(window.offset >= 0 && window.offset + window.count <= 256 << 10, "the window shows video memory only")
        check(window.guestAddress >= 0xa0000, "the window begins at A0000 or later")
        check(window.guestAddress + UInt64(window.count) <= 0xc0000, "the window ends at C0000")
    }
}

/// Four bytes are a command: what to do, where (two bytes), with what.
func fuzzVGA(_ bytes: [UInt8]) {
    let memory = FuzzFramebuffer()
    let vga = StandardVGA(memory: memory, mapper: FuzzMapper(), maximum: (320, 240))
    let screen = ScanOut(vga)
    var now: UInt64 = 0
    var looks = 0
    func look() {
        // Drawing is what takes long.
        looks += 1
        guard looks <= 3 else { return }
        now += 300_000_000
        let change = screen.update(now: now)
        let surface = screen.surface
        check(surface.pixels.count == surface.width * surface.height, "a picture has all its pixels")
        for rectangle in change.rectangles {
            check(!rectangle.isEmpty, "what changed is something")
            check(
                rectangle.clipped(width: surface.width, height: surface.height) == rectangle,
                "what changed lies in the picture")
        }
    }
    for start in stride(from: 0, to: bytes.count - 3, by: 4) {
        let place = UInt64(bytes[start + 1]) | UInt64(bytes[start + 2]) << 8
        let value = UInt64(bytes[start + 3])
        let width = 1 << Int(bytes[start] >> 4 & 3)
        switch bytes[start] & 15 {
        case 0: _ = vga.legacy.read(region: LegacyVGA.portRegion, offset: place % 0x30, width: width)
        case 1: vga.legacy.write(region: LegacyVGA.portRegion, offset: place % 0x30, width: 1, value: value)
        // An index port and its register.
        case 2: vga.legacy.write(region: 0, offset: place % 0x30, width: 2, value: place >> 8 | value << 8)
        case 3: vga.legacy.write(region: LegacyVGA.windowRegion, offset: place << 1, width: width, value: value)
        case 4: _ = vga.legacy.read(region: LegacyVGA.windowRegion, offset: place << 1 | 1, width: width)
        // A DISPI register, small and large values.
        case 5: vga.writeBar(2, offset: 0x500 + (place & 15) * 2, width: 2, value: place & 0xff00 | value)
        case 6: vga.writeBar(2, offset: 0x500 + (place & 15) * 2, width: 2, value: value)
        case 7: _ = vga.readBar(2, offset: place & 0xfff, width: width)
        case 8: vga.writeBar(2, offset: place & 0xfff, width: width, value: value << 24 | value)
        case 9: vga.writeBar(0, offset: place << 2, width: width, value: value &* 0x0101_0101_0101_0101)
        case 10: _ = vga.readBar(0, offset: place << 2 | 3, width: width)
        case 11: vga.legacy.write(region: LegacyVGA.dispiRegion, offset: place & 3, width: 2, value: value)
        case 12: memory.isLogged = value & 1 != 0
        case 13: vga.reset()
        default: look()
        }
    }
    look()
}
