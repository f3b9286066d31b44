import DeviceModel
import Display
import Synchronization

/// Video memory whose guest's writes are what the test says.
final class ScriptedMemory: FramebufferMemory, @unchecked Sendable {
    let base: UnsafeMutableRawPointer
    let count: Int
    private let pages = Mutex<[Int]>([])

    init(count: Int = 16 << 20) {
        self.count = count
        base = .allocate(byteCount: count, alignment: 4096)
        base.initializeMemory(as: UInt8.self, repeating: 0, count: count)
    }

    deinit { base.deallocate() }

    /// The guest writes through its mapping; the page is logged unless the test wants to see that nobody looks there.
    func poke<T: FixedWidthInteger>(_ offset: Int, _ value: T, isLogged: Bool = true) {
        base.storeBytes(of: value.littleEndian, toByteOffset: offset, as: T.self)
        if isLogged { pages.withLock { $0.append(offset >> 12) } }
    }

    func takeWrittenPages(into words: inout [UInt64]) -> Bool {
        for page in pages.withLock({ pages in
            defer { pages = [] }
            return pages
        }) {
            words[page >> 6] |= 1 << UInt64(page & 63)
        }
        return true
    }
}

/// What a machine's mapper was told.
final class RecordingMapper: FramebufferMapper {
    let framebuffers = Mutex<[UInt64?]>([])
    let windows = Mutex<[DirectWindow?]>([])
    func framebufferMoved(to address: UInt64?) { framebuffers.withLock { $0.append(address) } }
    func legacyWindowChanged(_ window: DirectWindow?) { windows.withLock { $0.append(window) } }
}

/// A guest with a display adapter: what drivers do to it, through the places where they do.
struct GuestVGA {
    let memory: ScriptedMemory
    let vga: StandardVGA
    let screen: ScanOut

    init(memory count: Int = 16 << 20, mapper: RecordingMapper? = nil) {
        memory = ScriptedMemory(count: count)
        vga = StandardVGA(memory: memory, mapper: mapper)
        screen = ScanOut(vga)
    }

    // MARK: Ports

    func out(_ port: UInt16, _ value: UInt8) { write(port, 1, UInt64(value)) }
    func out16(_ port: UInt16, _ value: UInt16) { write(port, 2, UInt64(value)) }
    func `in`(_ port: UInt16) -> UInt8 { UInt8(truncatingIfNeeded: read(port, 1)) }
    func in16(_ port: UInt16) -> UInt16 { UInt16(truncatingIfNeeded: read(port, 2)) }

    private func place(_ port: UInt16) -> (region: Int, offset: UInt64) {
        port >= 0x3b0
            ? (LegacyVGA.portRegion, UInt64(port) - LegacyVGA.firstPort)
            : (LegacyVGA.dispiRegion, UInt64(port) - LegacyVGA.firstDISPIPort)
    }

    private func write(_ port: UInt16, _ width: Int, _ value: UInt64) {
        let (region, offset) = place(port)
        vga.legacy.write(region: region, offset: offset, width: width, value: value)
    }

    private func read(_ port: UInt16, _ width: Int) -> UInt64 {
        let (region, offset) = place(port)
        return vga.legacy.read(region: region, offset: offset, width: width)
    }

    /// Sets an indexed register of the sequencer (3C4), graphics controller (3CE) or CRT controller (3D4).
    func set(_ port: UInt16, _ index: UInt8, _ value: UInt8) { out16(port, UInt16(index) | UInt16(value) << 8) }

    func get(_ port: UInt16, _ index: UInt8) -> UInt8 {
        out(port, index)
        return self.in(port + 1)
    }

    /// Sets a register of the attribute controller, the screen staying off.
    func setAttribute(_ index: UInt8, _ value: UInt8) {
        _ = self.in(0x3da)
        out(0x3c0, index)
        out(0x3c0, value)
    }

    /// Gives the palette to the screen.
    func showScreen() {
        _ = self.in(0x3da)
        out(0x3c0, 0x20)
    }

    func setColour(_ index: UInt8, _ red: UInt8, _ green: UInt8, _ blue: UInt8) {
        out(0x3c8, index)
        for value in [red, green, blue] { out(0x3c9, value) }
    }

    // MARK: Memory

    /// Reads and writes physical addresses from A0000 to BFFFF.
    func peek(_ address: UInt64) -> UInt8 {
        UInt8(truncatingIfNeeded: vga.legacy.read(region: LegacyVGA.windowRegion, offset: address - 0xa0000, width: 1))
    }

    func poke(_ address: UInt64, _ value: UInt8) {
        vga.legacy.write(region: LegacyVGA.windowRegion, offset: address - 0xa0000, width: 1, value: UInt64(value))
    }

    // MARK: DISPI

    func setDISPI(_ index: UInt16, _ value: UInt16) {
        out16(0x1ce, index)
        out16(0x1cf, value)
    }

    func getDISPI(_ index: UInt16) -> UInt16 {
        out16(0x1ce, index)
        return in16(0x1cf)
    }

    /// A linear mode, as a video BIOS sets it.
    func setLinearMode(_ width: UInt16, _ height: UInt16, _ depth: UInt16, flags: UInt16 = 0x41) {
        setDISPI(4, 0)
        setDISPI(3, depth)
        setDISPI(1, width)
        setDISPI(2, height)
        setDISPI(5, 0)
        setDISPI(4, flags)
        out(0x3c2, 0xc3)
        showScreen()
    }

    /// Looks at the screen.
    func look(now: UInt64 = 0) -> ScreenChange { screen.update(now: now) }

    func pixel(_ x: Int, _ y: Int) -> UInt32 { screen.surface.pixels[y * screen.surface.width + x] }
}
