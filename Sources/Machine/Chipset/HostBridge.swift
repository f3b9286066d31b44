public import DeviceModel
import SavedState

/// What the guest may do with 16 or 64 KiB of the area from C0000 to FFFFF: two bits of a PAM register.
public struct ShadowAccess: OptionSet, Equatable, Sendable, BitwiseCopyable {
    public let rawValue: UInt8
    public init(rawValue: UInt8) { self.rawValue = rawValue }

    /// Reads come from RAM, not from the ROM.
    public static let readsRAM = ShadowAccess(rawValue: 1)
    /// Writes go to RAM.
    public static let writesRAM = ShadowAccess(rawValue: 2)
}

/// 00:00.0 of a Q35 (Intel 3 Series Express Chipset data sheet, section 5.1; 8086:29c0). Firmware finds its way by it.
public final class HostBridge: PCIFunction, @unchecked Sendable {
    // @unchecked: as for PCIFunction.

    /// PCIEXBAR, where the enhanced configuration mechanism is (5.1.13): bit 0 enables it. Eight bytes.
    private static let configurationBase = 0x60
    /// PAM0 to PAM6 (5.1.17).
    private static let shadowRegisters = 0x90...0x96
    /// Pieces from C0000 on, 16 KiB each, and F0000 to FFFFF.
    public static let shadowSegments = 13

    private let shadowChanged: ([ShadowAccess]) -> Void

    /// - Parameters:
    ///   - isSetUp: the machine starts without firmware, so its configuration mechanism is on.
    ///   - shadowChanged: the guest may have changed PAM registers; called with all segments, in order of address. On a vCPU thread.
    public init(isSetUp: Bool, shadowChanged: @escaping ([ShadowAccess]) -> Void) {
        self.shadowChanged = shadowChanged
        // The subsystem tells SeaBIOS that it finds fw_cfg here.
        var space = PCIConfigurationSpace(
            vendor: 0x8086, device: 0x29c0, classCode: 0x060000, subsystemVendor: 0x1af4, subsystem: 0x1100)
        // The mechanism itself is always there, at its one place, 256 MiB: firmware never wants another.
        if isSetUp { space.set(Self.configurationBase, Q35.ecamBase | 1) }
        space.allowWrites(Self.configurationBase, UInt64(0x0f_f000_0001))
        for offset in Self.shadowRegisters {
            if isSetUp { space.set(offset, UInt8(0x33)) }
            space.allowWrites(offset, UInt8(0x33))
        }
        super.init(space: space, bars: [])
    }

    public override func configurationWritten(_ offset: Int, width: Int) {
        if offset <= Self.shadowRegisters.upperBound, offset + width > Self.shadowRegisters.lowerBound {
            shadowChanged(shadow)
        }
    }

    public override func reset() { shadowChanged(shadow) }

    /// All of it is in the configuration space.
    public override var stateVersion: UInt32? { 1 }

    public override func configurationRestored() { shadowChanged(shadow) }

    /// As the registers have it: PAM0 holds F0000 to FFFFF, each following one two pieces from C0000 on.
    public var shadow: [ShadowAccess] {
        let registers = withSpace { space in Self.shadowRegisters.map { space.get($0, as: UInt8.self) } }
        let pieces = registers.dropFirst().flatMap { [$0 & 3, $0 >> 4 & 3] } + [(registers.first ?? 0) >> 4 & 3]
        return pieces.map(ShadowAccess.init)
    }
}
