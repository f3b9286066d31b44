import Bytes

extension ACPITable {
    /// The machine's devices in AML (ACPI 6.5, chapters 5 and 6).
    ///
    /// Revision 2 gives integers of 64 bits.
    static func dsdt(_ configuration: ACPIConfiguration, by maker: Maker) -> ACPITable {
        let terms = AMLTerm.block {
            AMLTerm.scope("\\_SB_") {
                motherboard(configuration)
                pciHost(configuration)
                processors(count: configuration.apicIdentifiers.count)
            }
            if !configuration.hotplugSlots.isEmpty { hotplugEvent() }
            powerOff()
        }
        return ACPITable("DSDT", revision: 2, by: maker, body: terms.bytes)
    }

    /// Memory that belongs to the board. Linux believes the MCFG table only if its range is reserved here.
    private static func motherboard(_ configuration: ACPIConfiguration) -> AMLTerm {
        .device("MBRD") {
            AMLTerm.name("_HID", .eisaIdentifier("PNP0C02"))
            AMLTerm.name("_UID", 0)
            AMLTerm.name(
                "_CRS",
                .resources(
                    .memory32(base: configuration.configurationSpaceBase, count: 0x1000_0000),
                    .memory32(base: ACPIPlatform.ioAPICAddress, count: 0x1000),
                    .memory32(base: ACPIPlatform.localAPICAddress, count: 0x1000)))
        }
    }

    /// One processor device for each virtual CPU; `_UID` ties it to its entry in the MADT.
    private static func processors(count: Int) -> AMLTerm {
        .block {
            for index in 0..<count {
                let digits = String(index, radix: 16, uppercase: true)
                let name = "C" + String(repeating: "0", count: max(0, 3 - digits.count)) + digits
                AMLTerm.device(AMLName(name)) {
                    AMLTerm.name("_HID", .string("ACPI0007"))
                    AMLTerm.name("_UID", .integer(UInt64(index)))
                }
            }
        }
    }

    /// S5 is the only sleep state besides S0.
    private static func powerOff() -> AMLTerm {
        let type = AMLValue.integer(ACPIPlatform.powerOffSleepType)
        return .name("\\_S5_", .package(type, type, 0, 0))
    }
}
