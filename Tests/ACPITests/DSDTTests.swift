import Testing

@testable import ACPI

@Suite("DSDT", .enabled(if: IASL.isInstalled, IASL.missing))
struct DSDTTests {
    /// Disassembles one table and insists that it compiles again without an error.
    func disassemble(_ signature: String, of configuration: ACPIConfiguration) throws -> String {
        let table = try ACPITablesTests.place(configuration).table(signature)
        let result = try IASL.roundTrip(signature.lowercased(), table)
        #expect(result.status == 0, "\(result.output)")
        #expect(!result.disassembly.contains("Incorrect checksum"))
        return result.disassembly
    }

    @Test(
        "iasl disassembles and compiles every table again",
        arguments: ["DSDT", "FACP", "FACS", "APIC", "MCFG", "WAET", "SPCR", "RSDT", "XSDT"])
    func tables(signature: String) throws {
        #expect(try !disassemble(signature, of: ACPITablesTests.everything()).isEmpty)
    }

    @Test("iasl has no error and no warning about the DSDT", arguments: [1, 4, 300])
    func noWarnings(processors: Int) throws {
        var configuration = ACPITablesTests.everything()
        configuration.apicIdentifiers = (0..<processors).map { UInt32($0) }
        let table = try ACPITablesTests.place(configuration).table("DSDT")
        let result = try IASL.roundTrip("dsdt", table)
        #expect(result.output.contains("Compilation successful. 0 Errors, 0 Warnings"), "\(result.output)")
    }

    @Test("the DSDT describes the host bridge, its windows and the board's reservations")
    func hostBridge() throws {
        let source = try disassemble("DSDT", of: ACPITablesTests.everything())
        for part in [
            "Device (PCI0)", "EisaId (\"PNP0A08\")", "EisaId (\"PNP0A03\")", "WordBusNumber", "0xC0000000",
            "0xFEBFFFFF", "0x0000000140000000", "0x0000000FFFFFFFFF",
            "ToUUID (\"33db4d5b-1ff7-401c-9657-7441c03dd766\")",
            "EisaId (\"PNP0C02\")", "0xB0000000,         // Address Base", "0x10000000,         // Address Length",
            "Name (\\_S5", "\"ACPI0007\"", "Device (C003)", "EisaId (\"PNP0501\")", "EisaId (\"PNP0B00\")",
            "EisaId (\"PNP0303\")", "\"QEMU0002\"",
        ] {
            #expect(source.contains(part), "\(part)")
        }
        for part in ["_S3", "_S4", "Device (C004)"] { #expect(!source.contains(part), "\(part)") }
    }

    @Test("every pluggable slot can be notified and ejected")
    func hotplug() throws {
        let source = try disassemble("DSDT", of: ACPITablesTests.everything())
        #expect(source.contains("Method (_E01, 0, NotSerialized)"))
        #expect(source.contains("Device (S02)") && source.contains("Device (S1E)"))
        #expect(source.contains("Notify (S1E, Arg1)"))
        #expect(source.ranges(of: "Method (_EJ0").count == 29)
        #expect(!source.contains("Device (S01)"))
    }

    @Test("a machine without pluggable slots, keyboard or firmware device does not mention them")
    func small() throws {
        var configuration = ACPIConfiguration(processorCount: 1)
        configuration.serialPorts = []
        let source = try disassemble("DSDT", of: configuration)
        for part in ["_GPE", "PNP0303", "QEMU0002", "PNP0501", "QWordMemory", "0xAE00"] {
            #expect(!source.contains(part), "\(part)")
        }
    }

    @Test("the interpreter runs every method: control is refused as it should be, slots are notified, nothing fails")
    func execution() throws {
        let table = try ACPITablesTests.place(ACPITablesTests.everything()).table("DSDT")
        let bridge = "(5B 4D DB 33 F7 1F 1C 40 96 57 74 41 C0 3D D7 66)"
        let stranger = "(00 4D DB 33 F7 1F 1C 40 96 57 74 41 C0 3D D7 66)"
        let request = "(00 00 00 00 1F 00 00 00 FF 00 00 00)"
        let modest = "(00 00 00 00 1F 00 00 00 10 00 00 00)"
        let output = try IASL.execute(
            [
                "evaluate \\_SB.PCI0._OSC \(bridge) 1 3 \(request)", "evaluate \\_SB.PCI0._OSC \(bridge) 1 3 \(modest)",
                "evaluate \\_SB.PCI0._OSC \(bridge) 2 3 \(modest)",
                "evaluate \\_SB.PCI0._OSC \(stranger) 1 3 \(request)",
                "evaluate \\_GPE._E01", "evaluate \\_SB.PCI0.HPNT 0x4000000C 3", "evaluate \\_SB.PCI0.S1E._EJ0 1",
            ], in: table)
        for part in [
            "10 00 00 00 1F 00 00 00 10 00 00 00",  // all asked for: masked, the capability structure only
            "00 00 00 00 1F 00 00 00 10 00 00 00",  // that only: granted
            "08 00 00 00 1F 00 00 00 10 00 00 00",  // another revision
            "04 00 00 00 1F 00 00 00 FF 00 00 00",  // another interface
            "System Notify on [S02_]", "System Notify on [S03_]", "System Notify on [S1E_]",
        ] {
            #expect(output.contains(part), "\(part)\n\(output)")
        }
        #expect(!output.contains("AE_") && !output.contains("ACPI Error"), "\(output)")
    }
}
