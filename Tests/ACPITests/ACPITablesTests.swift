import Testing

@testable import ACPI

@Suite("ACPI tables")
struct ACPITablesTests {
    static func everything() -> ACPIConfiguration {
        var configuration = ACPIConfiguration(processorCount: 4)
        configuration.pciWindow64 = 0x1_4000_0000...0xf_ffff_ffff
        configuration.hotplugSlots = Array(2...30)
        configuration.serialPorts = [.com1, .com2]
        configuration.serialConsole = .com1
        configuration.hasKeyboardController = true
        configuration.hasFirmwareConfiguration = true
        return configuration
    }

    static func place(_ configuration: ACPIConfiguration, at address: UInt64 = 0xe0000) throws -> TableReader {
        try TableReader(ACPITables(configuration).placed(at: address))
    }

    @Test("every table's checksum is right and every table keeps its alignment", arguments: [0xe0000, 0x7fff_0000])
    func checksums(address: UInt64) throws {
        let reader = try Self.place(Self.everything(), at: address)
        let all: Set = ["RSDT", "XSDT", "FACP", "APIC", "MCFG", "WAET", "SPCR", "FACS", "DSDT"]
        #expect(Set(reader.tables.keys) == all)
        for (signature, table) in reader.tables where signature != "FACS" {
            #expect(table.reduce(0, &+) == 0, "\(signature)")
        }
        #expect(try #require(reader.addresses["FACS"]) % 64 == 0)
        #expect(reader.rsdtEntries == reader.xsdtEntries)
    }

    @Test("the root pointer has both revisions' checksums and stands first")
    func rootPointer() throws {
        let reader = try Self.place(Self.everything())
        let rsdp = try reader.bytes(at: 0xe0000, count: 36)
        #expect(Array(rsdp[..<8]) == Array("RSD PTR ".utf8))
        #expect(rsdp[..<20].reduce(0, &+) == 0)
        #expect(rsdp.reduce(0, &+) == 0)
        #expect(Array(rsdp[9..<15]) == Array("WAFER ".utf8))
        #expect(rsdp[15] == 2)
    }

    @Test("headers name the maker")
    func header() throws {
        let header = try Self.place(Self.everything()).table("MCFG")
        #expect(Array(header[10..<24]) == Array("WAFER WAFERVM ".utf8))
        #expect(Array(header[28..<32]) == Array("WAFR".utf8))
    }

    @Test("the FADT has its fields where revision 6 puts them")
    func fadt() throws {
        let reader = try Self.place(Self.everything())
        let fadt = reader.table("FACP")
        #expect(fadt.count == 276)
        #expect(fadt[8] == 6)
        #expect(try fadt.little(UInt32.self, at: 40) == UInt32(try #require(reader.addresses["DSDT"])))
        #expect(try fadt.little(UInt16.self, at: 46) == 9)
        #expect(try fadt.little(UInt32.self, at: 48) == 0xb2)
        #expect(fadt[52] == 2 && fadt[53] == 3)
        #expect(try fadt.little(UInt32.self, at: 56) == 0x600)
        #expect(try fadt.little(UInt32.self, at: 64) == 0x604)
        #expect(try fadt.little(UInt32.self, at: 76) == 0x608)
        #expect(try fadt.little(UInt32.self, at: 80) == 0x620)
        #expect(Array(fadt[88..<94]) == [4, 2, 0, 4, 16, 0])
        #expect(fadt[108] == 0x32)
        #expect(try fadt.little(UInt16.self, at: 109) == 0b10011)
        #expect(try fadt.little(UInt32.self, at: 112) == 0x8525)
        // RESET_REG: I/O space, 8 bits, byte access, port CF9; then the value.
        #expect(Array(fadt[116..<129]) == [1, 8, 0, 1, 0xf9, 0x0c, 0, 0, 0, 0, 0, 0, 0x0f])
        #expect(Array(fadt[208..<220]) == [1, 32, 0, 3, 8, 6, 0, 0, 0, 0, 0, 0])
        #expect(Array(fadt[220..<232]) == [1, 128, 0, 1, 0x20, 6, 0, 0, 0, 0, 0, 0])
    }

    @Test("without a keyboard controller the FADT does not claim one, and beyond 8 processors it asks for clusters")
    func fadtFlags() throws {
        let fadt = try Self.place(ACPIConfiguration(processorCount: 9)).table("FACP")
        #expect(try fadt.little(UInt16.self, at: 109) == 0b10001)
        #expect(try fadt.little(UInt32.self, at: 112) == 0x48525)
    }

    @Test("the MADT of a small machine")
    func madt() throws {
        let madt = try Self.place(ACPIConfiguration(apicIdentifiers: [0, 2])).table("APIC")
        let expected: [[UInt8]] = [
            [0x00, 0x00, 0xe0, 0xfe, 1, 0, 0, 0],  // local APIC address; 8259s present
            [0, 8, 0, 0, 1, 0, 0, 0],  // processor 0, APIC 0
            [0, 8, 1, 2, 1, 0, 0, 0],  // processor 1, APIC 2
            [1, 12, 0, 0, 0x00, 0x00, 0xc0, 0xfe, 0, 0, 0, 0],  // IOAPIC 0
            [2, 10, 0, 0, 2, 0, 0, 0, 0, 0],  // timer on pin 2
            [2, 10, 0, 9, 9, 0, 0, 0, 0x0d, 0],  // SCI level, active high
            [4, 6, 0xff, 0, 0, 1],  // LINT1 is NMI
        ]
        #expect(Array(madt[36...]) == expected.flatMap { $0 })
    }

    @Test("processors beyond APIC identifier 254 get x2APIC entries and an x2APIC NMI entry")
    func x2apic() throws {
        let madt = try Self.place(ACPIConfiguration(apicIdentifiers: [0, 254, 255, 4000])).table("APIC")
        var kinds: [UInt8] = []
        var offset = 44
        while offset < madt.count {
            kinds.append(madt[offset])
            offset += Int(madt[offset + 1])
        }
        #expect(kinds == [0, 0, 9, 9, 1, 2, 2, 4, 10])
        let last = 44 + 8 + 8 + 16
        #expect(try madt.little(UInt32.self, at: last + 4) == 4000)
        #expect(try madt.little(UInt32.self, at: last + 12) == 3)
    }

    @Test("the MCFG maps the buses there are at the configured base")
    func mcfg() throws {
        let mcfg = try Self.place(Self.everything()).table("MCFG")
        #expect(mcfg.count == 60)
        #expect(try mcfg.little(UInt64.self, at: 44) == 0xb000_0000)
        #expect(Array(mcfg[52..<60]) == [0, 0, 0, 0, 0, 0, 0, 0])
    }

    @Test("tables are refused outside the first 4 GiB or off a 64-byte boundary")
    func misplaced() throws {
        let tables = try ACPITables(ACPIConfiguration(processorCount: 1))
        for address: UInt64 in [0xe0010, 1 << 32, 0xffff_ff00, .max & ~63] {
            #expect(throws: ACPIConfigurationError.misplaced(address)) { try tables.placed(at: address) }
        }
    }

    @Test("a configuration that contradicts itself is refused with its reason")
    func badConfigurations() {
        var repeated = ACPIConfiguration(apicIdentifiers: [1, 1])
        #expect(throws: ACPIConfigurationError.repeatedAPICIdentifier(1)) { try ACPITables(repeated) }
        #expect(throws: ACPIConfigurationError.noProcessors) { try ACPITables(ACPIConfiguration(processorCount: 0)) }
        #expect(throws: ACPIConfigurationError.tooManyProcessors(4097)) {
            try ACPITables(ACPIConfiguration(processorCount: 4097))
        }
        repeated = ACPIConfiguration(processorCount: 1)
        for slots: [UInt8] in [[0], [31], [3, 3]] {
            repeated.hotplugSlots = slots
            #expect(throws: ACPIConfigurationError.badHotplugSlot(slots[0])) { try ACPITables(repeated) }
        }
        repeated.hotplugSlots = []
        repeated.pciWindow64 = 0xffff_ffff...0x1_0000_0000
        #expect(throws: ACPIConfigurationError.self) { try ACPITables(repeated) }
    }

    @Test("interrupt pins rotate on slots 0 to 24 and are direct above")
    func routing() {
        typealias Routing = PCIInterruptRouting
        #expect(Routing.globalInterrupt(slot: 0, pin: 0) == 20)
        #expect(Routing.globalInterrupt(slot: 3, pin: 2) == 21)
        #expect(Routing.globalInterrupt(slot: 24, pin: 3) == 23)
        #expect(Routing.globalInterrupt(slot: 25, pin: 0) == 16)
        #expect(Routing.globalInterrupt(slot: 31, pin: 3) == 19)
    }
}
