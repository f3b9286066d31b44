/// What the ACPI tables say about a machine. Pure input: the same configuration always gives the same tables.
public struct ACPIConfiguration: Equatable, Sendable {
    /// The local APIC identifier of each virtual CPU; the position is the CPU's ACPI processor UID.
    public var apicIdentifiers: [UInt32]

    /// Physical base of the memory-mapped PCI configuration space: 1 MiB a bus, 256 buses, 256 MiB in all.
    public var configurationSpaceBase: UInt32 = 0xb000_0000
    /// The highest number a PCI bus may get. Not more than there can be: Linux looks for devices on every bus up to it, by
    /// ports, and each look costs two exits; 255 buses took most of the exits of a boot.
    public var lastBus: UInt8 = 0
    /// Memory below 4 GiB that PCI devices' registers may be placed in; first and last byte.
    public var pciWindow32: ClosedRange<UInt32> = 0xc000_0000...0xfebf_ffff
    /// Memory above 4 GiB that PCI devices' registers may be placed in; first and last byte.
    public var pciWindow64: ClosedRange<UInt64>?
    /// Whether the bridge passes A0000-BFFFF on to a VGA device.
    public var hasVGAWindow = true

    /// Slots of bus 0 (1 to 30) whose device may be plugged in and pulled out while the machine runs.
    public var hotplugSlots: [UInt8] = []

    /// The serial ports that are there.
    public var serialPorts: [SerialPort] = [.com1]
    /// The serial port that firmware and boot loaders should talk to, announced in an SPCR table.
    public var serialConsole: SerialPort?
    /// Whether there is a PS/2 keyboard and mouse controller.
    public var hasKeyboardController = false
    /// Whether there is a fw_cfg device at ports 510-51B.
    public var hasFirmwareConfiguration = false

    /// Who made the tables: six characters, filled up with spaces.
    public var oemIdentifier = "WAFER "
    /// What the tables are for: eight characters, filled up with spaces.
    public var oemTableIdentifier = "WAFERVM"

    public init(apicIdentifiers: [UInt32]) { self.apicIdentifiers = apicIdentifiers }

    /// A machine whose `processorCount` virtual CPUs have the APIC identifiers 0, 1, 2, …
    public init(processorCount: Int) { self.init(apicIdentifiers: (0..<processorCount).map { UInt32($0) }) }
}

/// A 16550 serial port at its place on every PC.
public enum SerialPort: UInt8, CaseIterable, Sendable {
    case com1 = 1
    case com2 = 2
    case com3 = 3
    case com4 = 4

    /// The first of its eight I/O ports.
    public var port: UInt16 {
        switch self {
        case .com1: 0x3f8
        case .com2: 0x2f8
        case .com3: 0x3e8
        case .com4: 0x2e8
        }
    }

    /// Its ISA interrupt.
    public var interrupt: UInt8 {
        switch self {
        case .com1, .com3: 4
        case .com2, .com4: 3
        }
    }
}

/// Fixed places of the machine that the tables name and the devices must keep to.
public enum ACPIPlatform {
    /// Start of the power-management I/O block, 128 ports.
    public static let powerManagementBase: UInt16 = 0x600
    /// PM1a event block: status word, then enable word.
    public static let pm1EventPort: UInt16 = 0x600
    /// PM1a control word.
    public static let pm1ControlPort: UInt16 = 0x604
    /// The 3.579545 MHz timer; 32 bits wide.
    public static let pmTimerPort: UInt16 = 0x608
    /// General-purpose events: 8 bytes of status, then 8 bytes of enable.
    public static let gpe0Port: UInt16 = 0x620
    /// Length of both halves of the general-purpose events in bytes.
    public static let gpe0Length: UInt8 = 16
    /// Writing `acpiEnable` or `acpiDisable` here sets or clears SCI_EN in the PM1a control word.
    public static let smiCommandPort: UInt16 = 0xb2
    public static let acpiEnable: UInt8 = 2
    public static let acpiDisable: UInt8 = 3
    /// Writing `resetValue` here resets the machine.
    public static let resetPort: UInt16 = 0xcf9
    public static let resetValue: UInt8 = 0x0f
    /// The system control interrupt: global system interrupt 9, level triggered, active high.
    public static let sciInterrupt: UInt8 = 9
    /// The value of SLP_TYP that, with SLP_EN, powers the machine off.
    public static let powerOffSleepType: UInt8 = 0
    /// The byte of CMOS memory that holds the century.
    public static let centuryCMOSIndex: UInt8 = 0x32
    /// First port of the register block for plugging PCI devices; see `hotplugPortCount`.
    public static let hotplugPort: UInt16 = 0xae00
    /// Ports of that block: up (+0), down (+4), eject (+8), removable (+C), bus select (+10), 32 bits each.
    public static let hotplugPortCount: UInt8 = 0x14
    /// The general-purpose event that says the block's up or down bits have changed.
    public static let hotplugEvent: UInt8 = 1
    public static let ioAPICAddress: UInt32 = 0xfec0_0000
    public static let localAPICAddress: UInt32 = 0xfee0_0000
}

/// How the interrupt pins of PCI functions on bus 0 reach the IOAPIC.
///
/// As on Q35: slots 0 to 24 rotate their pins over PIRQE-H (global system interrupts 20 to 23); slots 25 to 31
/// drive PIRQA-D (16 to 19) straight. The tables give these lines without a link device, so an operating system
/// takes them as level triggered and active low, PCI's own convention. KVM's IOAPIC ignores the polarity bit: raising the line
/// (level 1) asserts the interrupt. In PIC mode, without an IOAPIC, PCI pins are not routed.
public enum PCIInterruptRouting {
    /// The global system interrupt of a pin.
    ///
    /// - Parameters:
    ///   - slot: 0 to 31; higher bits are ignored.
    ///   - pin: 0 for INTA to 3 for INTD; higher bits are ignored.
    public static func globalInterrupt(slot: UInt8, pin: UInt8) -> UInt32 {
        let slot = slot & 31
        return slot < 25 ? 20 + UInt32((slot + pin & 3) & 3) : 16 + UInt32(pin & 3)
    }
}
