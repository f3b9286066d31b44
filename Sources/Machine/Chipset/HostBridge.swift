public import DeviceModel

/// The PCI functions that make the machine a Q35: host bridge and ISA bridge. Their identity is what firmware and
/// systems look for; the few registers they touch are stored.
public enum Q35 {
    /// Where the enhanced configuration mechanism lies, and for how many buses.
    public static let ecamBase: UInt64 = 0xb000_0000
    public static let ecamSize: UInt64 = 256 << 20
    public static let hostBridgeAddress = PCIAddress(device: 0)
    public static let isaBridgeAddress = PCIAddress(device: 31)

    /// 8086:29c0. The subsystem tells SeaBIOS that it finds fw_cfg here.
    public static func hostBridge() -> PCIFunction {
        var space = PCIConfigurationSpace(
            vendor: 0x8086, device: 0x29c0, classCode: 0x060000, subsystemVendor: 0x1af4, subsystem: 0x1100)
        // PCIEXBAR (Intel 3 Series Express Chipset data sheet, section 5.1.13): enabled, 256 MiB, at its fixed place.
        space.set(0x60, ecamBase | 1)
        return PCIFunction(space: space, bars: [])
    }

    /// 8086:2918, the bridge to what used to be on ISA.
    public static func isaBridge() -> PCIFunction {
        var space = PCIConfigurationSpace(
            vendor: 0x8086, device: 0x2918, revision: 2, classCode: 0x060100, subsystemVendor: 0x1af4, subsystem: 0x1100
        )
        space.set(PCIConfigurationSpace.Offset.headerType, UInt8(0x80))
        // PMBASE and ACPI control (Intel ICH9 data sheet, sections 13.1.13 and 13.1.14), as firmware would leave them.
        space.set(0x40, UInt32(PowerManagement.port) | 1)
        space.set(0x44, UInt8(0x80))
        // PIRQ routing registers: stored; the wires go to GSI 16 to 23 whatever they say.
        for offset in [0x60, 0x61, 0x62, 0x63, 0x68, 0x69, 0x6a, 0x6b] {
            space.set(offset, UInt8(0x80))
            space.allowWrites(offset, UInt8(0x8f))
        }
        return PCIFunction(space: space, bars: [])
    }
}
