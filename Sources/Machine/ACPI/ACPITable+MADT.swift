import Bytes

extension ACPITable {
    /// The interrupt controllers (ACPI 6.0, 5.2.12).
    static func madt(_ configuration: ACPIConfiguration, by maker: Maker) -> ACPITable {
        var body = ByteWriter()
        body.little(ACPIPlatform.localAPICAddress)
        body.little(UInt32(1))  // a pair of 8259s is there too

        var hasX2APIC = false
        for (index, identifier) in configuration.apicIdentifiers.enumerated() {
            // A local APIC entry has 8 bits for each number, and 255 means "all" in both.
            if let shortIdentifier = UInt8(exactly: identifier), let uid = UInt8(exactly: index),
                shortIdentifier < 255, uid < 255
            {
                body.append([0, 8, uid, shortIdentifier])
                body.little(UInt32(1))  // enabled
            } else {
                hasX2APIC = true
                body.append([9, 16, 0, 0])
                body.little(identifier)
                body.little(UInt32(1))  // enabled
                body.little(UInt32(index))
            }
        }

        // One IOAPIC, identifier 0, with the global system interrupts from 0 on.
        body.append([1, 12, 0, 0])
        body.little(ACPIPlatform.ioAPICAddress)
        body.little(UInt32(0))

        // The 8254's output is wired to pin 2; flags 0 say as usual on ISA: edge, active high.
        body.interruptOverride(isa: 0, global: 2, flags: 0)
        // The system control interrupt: active high (1 in bits 1:0), level triggered (3 in bits 3:2).
        let sci = ACPIPlatform.sciInterrupt
        body.interruptOverride(isa: sci, global: UInt32(sci), flags: 0xd)

        // LINT1 of every processor is the non-maskable interrupt.
        body.append([4, 6, 0xff, 0, 0, 1])
        if hasX2APIC {
            body.append([10, 12, 0, 0])
            body.little(UInt32.max)
            body.append([1, 0, 0, 0])
        }
        return ACPITable("APIC", revision: 3, by: maker, body: body.bytes)
    }
}

extension ByteWriter {
    fileprivate mutating func interruptOverride(isa: UInt8, global: UInt32, flags: UInt16) {
        append([2, 10, 0, isa])
        little(global)
        little(flags)
    }
}
