import Bytes

/// Plugging PCI devices of bus 0 through ACPI.
///
/// The machine sets a bit in the up or down register and raises general-purpose event 1. `\_GPE._E01` reads both registers
/// and notifies the slots: 1 (device check: look, something came) or 3 (eject request: let go). A guest that lets go calls the
/// slot's `_EJ0`, which writes the slot's bit to the eject register. Reading the up register clears it, so every arrival is
/// told once; down bits stay until the slot is ejected.
extension ACPITable {
    static func hotplugSlots(_ slots: [UInt8]) -> AMLTerm {
        .block {
            AMLTerm.ioRegion("HPIO", port: ACPIPlatform.hotplugPort, count: ACPIPlatform.hotplugPortCount)
            AMLTerm.registers(of: "HPIO", ["HPUP", "HPDN", "HPEJ", "HPRM", "HPBS"])
            AMLTerm.mutex("HPMX")

            // Ejects slot Arg0. The mutex keeps another bus from being selected in between.
            AMLTerm.method("HPEX", arguments: 1, serialized: true) {
                AMLTerm.acquire("HPMX")
                AMLTerm.store(0, to: .name("HPBS"))
                AMLTerm.store(.shiftLeft(1, by: .argument(0)), to: .name("HPEJ"))
                AMLTerm.release("HPMX")
            }

            // Notifies every slot whose bit is set in Arg0 of event Arg1.
            AMLTerm.method("HPNT", arguments: 2) {
                for slot in slots {
                    AMLTerm.when(.and(.argument(0), .integer(UInt32(1) << UInt32(slot)))) {
                        AMLTerm.notify(slotName(slot), .argument(1))
                    }
                }
            }

            AMLTerm.method("HPSC", serialized: true) {
                AMLTerm.acquire("HPMX")
                AMLTerm.store(0, to: .name("HPBS"))
                AMLTerm.store(.name("HPUP"), to: .local(0))
                AMLTerm.store(.name("HPDN"), to: .local(1))
                AMLTerm.release("HPMX")
                AMLTerm.call("HPNT", .local(0), 1)
                AMLTerm.call("HPNT", .local(1), 3)
            }

            // No _STA: whether a slot is occupied is seen in its vendor identifier, which cannot disagree with itself.
            for slot in slots {
                AMLTerm.device(slotName(slot)) {
                    AMLTerm.name("_ADR", .integer(UInt32(slot) << 16))
                    AMLTerm.name("_SUN", .integer(slot))
                    AMLTerm.method("_EJ0", arguments: 1) { AMLTerm.call("HPEX", .name("_SUN")) }
                }
            }
        }
    }

    /// `\_GPE._E01`: handles general-purpose event 1, edge triggered (ACPI 6.5, 5.6.4.1).
    static func hotplugEvent() -> AMLTerm {
        .scope("\\_GPE") {
            AMLTerm.method("_E01") { AMLTerm.call("\\_SB_.PCI0.HPSC") }
        }
    }

    /// S01 to S1E, after the slot's number.
    static func slotName(_ slot: UInt8) -> AMLName {
        let digits = String(slot, radix: 16, uppercase: true)
        return AMLName("S" + (digits.count < 2 ? "0" : "") + digits)
    }
}
