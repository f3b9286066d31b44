import Bytes

extension ACPITable {
    /// The fixed description table, revision 6.0 (ACPI 6.0, 5.2.9): 276 bytes.
    static func fadt(_ configuration: ACPIConfiguration, by maker: Maker) -> ACPITable {
        typealias Platform = ACPIPlatform
        var body = ByteWriter()
        body.little(UInt32(0))  // 36 FIRMWARE_CTRL
        body.little(UInt32(0))  // 40 DSDT
        body.append([0, 0])  // 44 reserved; preferred profile: unspecified
        body.little(UInt16(Platform.sciInterrupt))  // 46
        body.little(UInt32(Platform.smiCommandPort))  // 48
        body.append([Platform.acpiEnable, Platform.acpiDisable, 0, 0])  // 52; no S4BIOS, no P-state control
        body.little(UInt32(Platform.pm1EventPort))  // 56
        body.little(UInt32(0))  // 60 PM1b_EVT
        body.little(UInt32(Platform.pm1ControlPort))  // 64
        body.little(UInt32(0))  // 68 PM1b_CNT
        body.little(UInt32(0))  // 72 PM2_CNT
        body.little(UInt32(Platform.pmTimerPort))  // 76
        body.little(UInt32(Platform.gpe0Port))  // 80
        body.little(UInt32(0))  // 84 GPE1
        // 88: lengths of PM1_EVT, PM1_CNT, PM2_CNT, PM_TMR, GPE0, GPE1; GPE1 base; no C-state control
        body.append([4, 2, 0, 4, Platform.gpe0Length, 0, 0, 0])
        body.little(UInt16(0xfff))  // 96 C2 latency: over 100 µs says there is no C2
        body.little(UInt16(0xfff))  // 98 C3 latency: over 1000 µs says there is no C3
        body.zeros(4)  // 100 cache flush size and stride, unused since WBINVD works
        body.append([0, 0, 0, 0])  // 104 duty offset and width; no day or month alarm
        body.append([Platform.centuryCMOSIndex])  // 108
        body.little(bootArchitecture(configuration))  // 109
        body.append([0])  // 111 reserved
        body.little(flags(configuration))  // 112
        body.ioAddress(Platform.resetPort, bits: 8, accessWidth: 1)  // 116
        body.append([Platform.resetValue])  // 128
        body.zeros(2)  // 129 ARM boot architecture
        body.append([0])  // 131 minor version
        body.little(UInt64(0))  // 132 X_FIRMWARE_CTRL: zero, as FIRMWARE_CTRL is given
        body.little(UInt64(0))  // 140 X_DSDT
        body.ioAddress(Platform.pm1EventPort, bits: 32, accessWidth: 2)  // 148
        body.noAddress()  // 160 X_PM1b_EVT
        body.ioAddress(Platform.pm1ControlPort, bits: 16, accessWidth: 2)  // 172
        body.noAddress()  // 184 X_PM1b_CNT
        body.noAddress()  // 196 X_PM2_CNT
        body.ioAddress(Platform.pmTimerPort, bits: 32, accessWidth: 4)  // 208
        body.ioAddress(Platform.gpe0Port, bits: Platform.gpe0Length * 8, accessWidth: 1)  // 220
        body.noAddress()  // 232 X_GPE1
        body.noAddress()  // 244 sleep control, for hardware-reduced ACPI only
        body.noAddress()  // 256 sleep status, likewise
        body.text("WAFER", width: 8)  // 268 hypervisor vendor identity

        var table = ACPITable("FACP", revision: 6, by: maker, body: body.bytes)
        table.pointers = [
            Pointer(offset: 36, width: 4, target: "FACS"), Pointer(offset: 40, width: 4, target: "DSDT"),
            Pointer(offset: 140, width: 8, target: "DSDT"),
        ]
        return table
    }

    /// IAPC_BOOT_ARCH (5.2.9.3).
    private static func bootArchitecture(_ configuration: ACPIConfiguration) -> UInt16 {
        // Bit 0: there are devices on the ISA bus that the system may use without asking (serial ports, RTC).
        var flags: UInt16 = 1
        // Bit 1: the keyboard controller answers at 60 and 64.
        if configuration.hasKeyboardController { flags |= 1 << 1 }
        // Bit 2 (no VGA) stays clear: whether there is one is for PCI to say. Bit 3 (no MSI) is clear: MSI works.
        // Bit 4: no PCIe ASPM control; the links are not real.
        flags |= 1 << 4
        // Bit 5 (no CMOS RTC) is clear: the RTC is at 70 and 71.
        return flags
    }

    /// Fixed feature flags (5.2.9, table 5-10).
    private static func flags(_ configuration: ACPIConfiguration) -> UInt32 {
        let wbinvdWorks: UInt32 = 1 << 0
        let c1OnAllProcessors: UInt32 = 1 << 2
        // Bit 4 clear: the power button is a fixed one, in PM1. Bit 5 set: there is no fixed sleep button.
        let noFixedSleepButton: UInt32 = 1 << 5
        // Bit 7 (RTC wakes from S4) stays clear: there is no S4.
        let timerHas32Bits: UInt32 = 1 << 8
        let resetRegister: UInt32 = 1 << 10
        // Bit 15: prefer the PM timer over a processor's own counter where the latter is not known to be good.
        let usePlatformClock: UInt32 = 1 << 15
        var flags = wbinvdWorks | c1OnAllProcessors | noFixedSleepButton | timerHas32Bits | resetRegister
        flags |= usePlatformClock
        // Bit 18: flat logical APIC addressing names 8 processors only; beyond that systems must use clusters.
        if configuration.apicIdentifiers.count > 8 { flags |= 1 << 18 }
        return flags
    }

    /// The firmware control structure (5.2.10), with the global lock that a machine without SMM never takes.
    static func facs() -> ACPITable {
        var writer = ByteWriter()
        writer.text("FACS", width: 4)
        writer.little(UInt32(64))
        writer.zeros(24)  // hardware signature, waking vectors, global lock, flags
        writer.append([2])  // version
        writer.align(to: 64)
        return ACPITable(raw: "FACS", writer.bytes, alignment: 64)
    }
}
