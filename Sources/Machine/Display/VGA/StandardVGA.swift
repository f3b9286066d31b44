public import DeviceModel

/// The display adapter that firmware and systems know as QEMU's "standard VGA": a VGA with Bochs' display interface, on PCI.
///
/// | BAR | bytes | what |
/// | --- | --- | --- |
/// | 0 | all of the memory | the video memory, linear |
/// | 2 | 4096 | 000 EDID; 400 ports 3C0 to 3DF; 500 DISPI registers, two bytes each; 600 length of what is at 600; 604 byte order |
///
/// The layout is that of QEMU's `docs/specs/standard-vga.rst`. The legacy ports and the window at A0000 are `legacy`, which the machine
/// maps. The video BIOS is not in an expansion ROM: firmware gets it from the machine.
public final class StandardVGA: PCIFunction, @unchecked Sendable {
    // @unchecked: all fields are immutable; the adapter guards its state.

    /// The BAR that shows the video memory.
    public static let framebufferBar = 0
    private static let registerBar = 2
    private static let registerBarSize: UInt64 = 4096

    /// Answers at the legacy ports and at A0000.
    public let legacy: LegacyVGA
    let adapter: DisplayAdapter
    private let edid: [UInt8]

    /// - Parameters:
    ///   - memory: the video memory.
    ///   - mapper: makes it visible to the guest; without one, every access reaches the adapter and works, slowly.
    ///   - maximum: the largest mode, in pixels; what a screen costs this process is four bytes a pixel.
    ///   - preferred: the size that the monitor says it likes best.
    public init(
        memory: any FramebufferMemory, mapper: (any FramebufferMapper)? = nil,
        maximum: (width: UInt16, height: UInt16) = (2560, 1600),
        preferred: (width: UInt16, height: UInt16) = (1280, 800)
    ) {
        let count = memory.count
        precondition(
            count & (count - 1) == 0 && (256 << 10...256 << 20).contains(count), "no size for a video memory: \(count)")
        adapter = DisplayAdapter(memory: memory, width: maximum.width, height: maximum.height, mapper: mapper)
        legacy = LegacyVGA(adapter)
        edid = EDID(width: preferred.width, height: preferred.height).bytes
        super.init(
            space: PCIConfigurationSpace(
                vendor: 0x1234, device: 0x1111, revision: 2, classCode: 0x03_00_00, subsystemVendor: 0x1af4,
                subsystem: 0x1100),
            bars: [
                PCIBar(index: Self.framebufferBar, kind: .memory32, count: UInt64(count)),
                PCIBar(index: Self.registerBar, kind: .memory32, count: Self.registerBarSize),
            ])
    }

    public override func reset() { adapter.reset() }

    public override func barMoved(_ bar: Int, to address: UInt64?) {
        if bar == Self.framebufferBar { adapter.framebufferMoved(to: address) }
    }

    public override func readBar(_ bar: Int, offset: UInt64, width: Int) -> UInt64 {
        if bar == Self.framebufferBar { return adapter.readMemory(offset, width: width) }
        guard bar == Self.registerBar, offset < Self.registerBarSize else { return allOnes(width: width) }
        let offset = Int(offset)
        switch offset {
        case 0..<0x400: return little(width) { index in offset + index < edid.count ? edid[offset + index] : 0 }
        case 0x400..<0x420: return little(width) { adapter.readPort(UInt16(0x3c0 + offset + $0 - 0x400)) }
        case 0x500..<0x516:
            guard offset & 1 == 0, width >= 2 else { return allOnes(width: width) }
            let low = adapter.readDISPI(UInt16(offset - 0x500) / 2)
            return width == 2
                ? UInt64(low) : UInt64(low) | UInt64(adapter.readDISPI(UInt16(offset - 0x500) / 2 + 1)) << 16
        // How long the block at 600 is, and that the video memory is little-endian.
        case 0x600: return 8
        case 0x604: return 0x1e1e_1e1e
        default: return allOnes(width: width)
        }
    }

    public override func writeBar(_ bar: Int, offset: UInt64, width: Int, value: UInt64) {
        if bar == Self.framebufferBar { return adapter.writeMemory(offset, width: width, value) }
        guard bar == Self.registerBar, offset < Self.registerBarSize else { return }
        let offset = Int(offset)
        switch offset {
        case 0x400..<0x420:
            for index in 0..<width where offset + index < 0x420 {
                let byte = UInt8(truncatingIfNeeded: value >> UInt64(8 * index))
                adapter.writePort(UInt16(0x3c0 + offset + index - 0x400), byte)
            }
        case 0x500..<0x516:
            guard offset & 1 == 0, width >= 2 else { return }
            let index = UInt16(offset - 0x500) / 2
            adapter.writeDISPI(index, UInt16(truncatingIfNeeded: value))
            if width >= 4 { adapter.writeDISPI(index + 1, UInt16(truncatingIfNeeded: value >> 16)) }
        default: break
        }
    }

    private func little(_ width: Int, _ byte: (Int) -> UInt8) -> UInt64 {
        var value: UInt64 = 0
        for index in 0..<width { value |= UInt64(byte(index)) << UInt64(8 * index) }
        return value
    }
}

/// The places outside PCI where a VGA answers. The machine maps the three regions at the addresses given here.
public final class LegacyVGA: BusDevice, @unchecked Sendable {
    // @unchecked: immutable; the adapter guards its state.

    /// Region, first port and count of VGA's own ports.
    public static let portRegion = 0
    public static let firstPort = UInt64(VGARegisters.firstPort)
    public static let portCount = UInt64(VGARegisters.portCount)
    /// The same of the DISPI registers' index and data: the index at 1CE, the data at 1CF or, where words have to be aligned, 1D0.
    public static let dispiRegion = 1
    public static let firstDISPIPort: UInt64 = 0x1ce
    public static let dispiPortCount: UInt64 = 4
    /// Region, guest address and length of the memory window.
    public static let windowRegion = 2
    public static let windowStart = VGARegisters.windowStart
    public static let windowCount = VGARegisters.windowCount

    private let adapter: DisplayAdapter

    init(_ adapter: DisplayAdapter) { self.adapter = adapter }

    public override func read(region: Int, offset: UInt64, width: Int) -> UInt64 {
        switch region {
        case Self.windowRegion where offset < Self.windowCount: return adapter.readWindow(Int(offset), width: width)
        case Self.portRegion where offset < Self.portCount:
            var value: UInt64 = 0
            for index in 0..<width {
                let port = VGARegisters.firstPort &+ UInt16(offset) &+ UInt16(truncatingIfNeeded: index)
                value |= UInt64(adapter.readPort(port)) << UInt64(8 * index)
            }
            return value
        case Self.dispiRegion where width == 2: return UInt64(offset == 0 ? adapter.dispiIndex : adapter.readDISPI())
        default: return allOnes(width: width)
        }
    }

    public override func write(region: Int, offset: UInt64, width: Int, value: UInt64) {
        switch region {
        case Self.windowRegion where offset < Self.windowCount:
            adapter.writeWindow(Int(offset), width: width, value)
        case Self.portRegion where offset < Self.portCount:
            // A word to an index port sets the index and its register.
            for index in 0..<width {
                let port = VGARegisters.firstPort &+ UInt16(offset) &+ UInt16(truncatingIfNeeded: index)
                adapter.writePort(port, UInt8(truncatingIfNeeded: value >> UInt64(8 * index)))
            }
        case Self.dispiRegion where width == 2:
            let word = UInt16(truncatingIfNeeded: value)
            if offset == 0 { adapter.dispiIndex = word } else { adapter.writeDISPI(nil, word) }
        default: break
        }
    }
}
