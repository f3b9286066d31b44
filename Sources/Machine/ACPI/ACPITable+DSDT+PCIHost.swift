import Bytes

extension ACPITable {
    /// The PCI Express host bridge and everything on bus 0 that ACPI must describe.
    static func pciHost(_ configuration: ACPIConfiguration) -> AMLTerm {
        .device("PCI0") {
            AMLTerm.name("_HID", .eisaIdentifier("PNP0A08"))
            AMLTerm.name("_CID", .eisaIdentifier("PNP0A03"))
            AMLTerm.name("_UID", 0)
            AMLTerm.name("_SEG", 0)
            AMLTerm.name("_BBN", 0)
            AMLTerm.name("_CRS", hostWindows(configuration))
            operatingSystemCapabilities()
            AMLTerm.name("_PRT", interruptRouting())
            isaBridge(configuration)
            if !configuration.hotplugSlots.isEmpty { hotplugSlots(configuration.hotplugSlots) }
        }
    }

    /// Bus numbers, ports and memory that the bridge passes on; the configuration ports it keeps for itself.
    private static func hostWindows(_ configuration: ACPIConfiguration) -> AMLValue {
        var resources: [AMLResource] = [
            .busNumberWindow(0...UInt16(configuration.lastBus)),
            .io(port: 0xcf8, count: 8),
            .ioWindow(0x0000...0x0cf7),
            .ioWindow(0x0d00...0xffff),
        ]
        if configuration.hasVGAWindow { resources.append(.memoryWindow(0xa_0000...0xb_ffff, caching: .cacheable)) }
        resources.append(.memoryWindow(configuration.pciWindow32, caching: .none))
        if let window = configuration.pciWindow64 { resources.append(.memoryWindow64(window, caching: .none)) }
        return .resources(resources)
    }

    /// `_OSC` (ACPI 6.5, 6.2.11; PCI Firmware Specification 3.2, 4.5.1): what the operating system may control itself.
    ///
    /// Only the PCI Express capability structure (bit 4) is given away. Native hot-plug (bits 0 and 1) is refused, because
    /// slots are plugged through ACPI; power-management events, error reporting and latency tolerance (bits 2, 3, 5) are
    /// refused because nothing behind them exists.
    private static func operatingSystemCapabilities() -> AMLTerm {
        .method("_OSC", arguments: 4, serialized: true) {
            AMLTerm.createDWordField("STAT", in: .argument(3), at: 0)
            AMLTerm.when(.equal(.argument(0), .uuid("33DB4D5B-1FF7-401C-9657-7441C03DD766"))) {
                AMLTerm.createDWordField("CTRL", in: .argument(3), at: 8)
                AMLTerm.store(.and(.name("CTRL"), 0x10), to: .local(0))
                // Bit 3 of the status: this revision of the request is unknown.
                AMLTerm.when(.not(.equal(.argument(1), 1))) {
                    AMLTerm.store(.or(.name("STAT"), 0x08), to: .name("STAT"))
                }
                // Bit 4: something asked for was refused.
                AMLTerm.when(.not(.equal(.local(0), .name("CTRL")))) {
                    AMLTerm.store(.or(.name("STAT"), 0x10), to: .name("STAT"))
                }
                AMLTerm.store(.local(0), to: .name("CTRL"))
            } otherwise: {
                // Bit 2: the UUID is not recognised.
                AMLTerm.store(.or(.name("STAT"), 0x04), to: .name("STAT"))
            }
            AMLTerm.returning(.argument(3))
        }
    }

    /// `_PRT` (6.2.13): slots 1 to 31, four pins each, wired to fixed global system interrupts.
    private static func interruptRouting() -> AMLValue {
        var entries: [AMLValue] = []
        for slot in UInt8(1)...31 {
            for pin in UInt8(0)...3 {
                let line = PCIInterruptRouting.globalInterrupt(slot: slot, pin: pin)
                let address = UInt32(slot) << 16 | 0xffff
                entries.append(.package(.integer(address), .integer(pin), 0, .integer(line)))
            }
        }
        return .package(entries)
    }
}

// The ISA bridge at 00:1F.0 and what sits behind it
extension ACPITable {
    private static func isaBridge(_ configuration: ACPIConfiguration) -> AMLTerm {
        .device("ISA_") {
            AMLTerm.name("_ADR", .integer(UInt32(0x1f_0000)))
            isaPorts(configuration)
            device("RTC_", "PNP0B00", .io(port: 0x70, count: 2), .irq(8))
            for port in configuration.serialPorts {
                AMLTerm.device(AMLName("COM\(port.rawValue)")) {
                    AMLTerm.name("_HID", .eisaIdentifier("PNP0501"))
                    AMLTerm.name("_UID", .integer(port.rawValue))
                    AMLTerm.name("_CRS", .resources(.io(port: port.port, count: 8), .irq(port.interrupt)))
                }
            }
            if configuration.hasKeyboardController {
                device("KBD_", "PNP0303", .io(port: 0x60, count: 1), .io(port: 0x64, count: 1), .irq(1))
                device("MOU_", "PNP0F13", .irq(12))
            }
            if configuration.hasFirmwareConfiguration {
                AMLTerm.device("FWCF") {
                    AMLTerm.name("_HID", .string("QEMU0002"))
                    // Present, enabled, working, but not to be shown to a user.
                    AMLTerm.name("_STA", 0x0b)
                    AMLTerm.name("_CRS", .resources(.io(port: 0x510, count: 12)))
                }
            }
        }
    }

    /// Ports of the board that no device of its own describes.
    private static func isaPorts(_ configuration: ACPIConfiguration) -> AMLTerm {
        var ports: [AMLResource] = [
            .io(port: 0x92, count: 1),
            .io(port: ACPIPlatform.smiCommandPort, count: 2),
            .io(port: ACPIPlatform.powerManagementBase, count: 0x80),
        ]
        if !configuration.hotplugSlots.isEmpty {
            ports.append(.io(port: ACPIPlatform.hotplugPort, count: ACPIPlatform.hotplugPortCount))
        }
        let resources = AMLValue.resources(ports)
        return .device("PORT") {
            AMLTerm.name("_HID", .eisaIdentifier("PNP0C02"))
            AMLTerm.name("_UID", 1)
            AMLTerm.name("_CRS", resources)
        }
    }

    private static func device(_ name: AMLName, _ identifier: String, _ resources: AMLResource...) -> AMLTerm {
        .device(name) {
            AMLTerm.name("_HID", .eisaIdentifier(identifier))
            AMLTerm.name("_CRS", .resources(resources))
        }
    }
}
