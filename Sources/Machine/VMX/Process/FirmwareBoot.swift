import ACPI
import Bytes
import Chipset
import DeviceModel
import GuestMemory
import KVM
import Linux
import SMBIOS
import Synchronization
import VMXConfig

/// Starts a machine through its firmware: SeaBIOS, or OVMF with its variables.
struct FirmwareBoot {
    private static let bios = "bios-256k.bin"
    private static let uefi = "OVMF_CODE_4M.fd"
    private static let variables = "OVMF_VARS_4M.fd"
    /// The end of flash and of what 32 bits can address.
    private static let top: UInt64 = 1 << 32

    private let configuration: MachineConfiguration
    private let machine: Machine
    private let log: MachineLog

    init(_ configuration: MachineConfiguration, _ machine: Machine, _ log: MachineLog) {
        self.configuration = configuration
        self.machine = machine
        self.log = log
    }

    /// Puts firmware and everything that it asks for into the machine.
    ///
    /// - Parameter bootOrder: OpenFirmware paths of the devices to start from, the first first.
    func install(acpi: ACPITables, smbios: SMBIOSTables, bootOrder: [String]) throws {
        let code = try load(configuration.firmware == .efi ? Self.uefi : Self.bios)
        let start = Self.top - UInt64(code.count)
        try machine.virtualMachine.addMemory(at: start, code, flags: .readOnly)
        switch configuration.firmware {
        case .bios: machine.shadow.setROM(code)
        case .efi: try addVariables(endingAt: start)
        }
        setMemoryBytes()

        let device = FirmwareConfiguration(
            try items(acpi: acpi, smbios: smbios, bootOrder: bootOrder), ram: machine.memory.ram)
        try machine.ports.map(device, at: FirmwareConfiguration.port, count: FirmwareConfiguration.portCount)
        machine.resettable.append { device.reset() }
        machine.addPart("firmwareConfiguration", device)
        if configuration.logsFirmware {
            let console = DebugConsole(log)
            try machine.ports.map(console, at: DebugConsole.port, count: 1)
            machine.addPart("debugConsole", console)
        }
    }

    private func load(_ name: String) throws -> Mapping {
        let bytes = try bytes(of: name)
        guard !bytes.isEmpty, bytes.count % 4096 == 0 else {
            throw StartFailure(.unavailable, "\(name) is no firmware: its length \(bytes.count) is not whole pages")
        }
        return try Mapping(copying: bytes, "firmware \(name)")
    }

    private func bytes(of name: String) throws -> [UInt8] { try FirmwareFiles.bytes(of: name, log) }

    private func addVariables(endingAt end: UInt64) throws {
        let template = try load(Self.variables)
        let flash = try VariableStore(
            path: configuration.nvramFile, template: template, at: end - UInt64(template.count),
            machine: machine.virtualMachine, log)
        let device = FlashMemory(flash)
        try machine.memorySpace.map(device, at: flash.address, count: UInt64(flash.count))
        machine.resettable.append { device.reset() }
        machine.addPart("flash", device)
    }

    // MARK: What firmware is told

    private func items(acpi: ACPITables, smbios: SMBIOSTables, bootOrder: [String]) throws -> FirmwareItems {
        typealias Key = FirmwareItems.Key
        var items = FirmwareItems()
        items.set(Key.uuid, configuration.uuid.bytes)
        items.set(Key.memory, configuration.memoryBytes)
        items.set(Key.processors, UInt16(clamping: configuration.processorCount))
        items.set(Key.processorsMax, UInt16(clamping: (machine.topology.apicIDs.max() ?? 0) + 1))
        // Without a screen the firmware talks to the first serial port.
        items.set(Key.noGraphic, UInt16(configuration.hasScreen ? 0 : 1))
        let waits = configuration.bootDelay > 0
        items.set(Key.bootMenu, UInt16(waits ? 1 : 0))
        if waits { items.add("etc/boot-menu-wait", UInt16(clamping: configuration.bootDelay)) }

        var memory = ByteWriter()
        for region in machine.memory.regions {
            memory.little(region.start)
            memory.little(UInt64(region.count))
            memory.little(UInt32(1))
        }
        items.add("etc/e820", memory.bytes)

        let tables = acpi.loaderFiles
        items.add(ACPILoaderFiles.rootPointerName, tables.rootPointer)
        items.add(ACPILoaderFiles.tablesName, tables.tables)
        items.add(ACPILoaderFiles.commandsName, tables.commands)
        let structures = smbios.loaderFiles
        items.add("etc/smbios/smbios-anchor", structures.anchor)
        items.add("etc/smbios/smbios-tables", structures.tables)
        // S0 to S5: bit 7 for those that there are, and their SLP_TYP. No S3 and no S4.
        items.add("etc/system-states", [0x80, 0, 0, 1, 2, 0x80 | ACPIPlatform.powerOffSleepType])
        if !bootOrder.isEmpty { items.add("bootorder", Array(bootOrder.joined(separator: "\n").utf8) + [0]) }
        // As a server that finds nothing to start does: say so, and stay.
        items.add("etc/boot-fail-wait", UInt32.max)
        if configuration.hasScreen, configuration.firmware == .bios {
            let name = "vgabios-stdvga.bin"
            items.add("vgaroms/\(name)", try bytes(of: name))
        }
        return items
    }

    /// CMOS bytes about memory and processors, for software older than fw_cfg.
    private func setMemoryBytes() {
        let low = machine.memory.regions.first.map { UInt64($0.count) } ?? 0
        let high = machine.memory.regions.dropFirst().reduce(0) { $0 + UInt64($1.count) }
        func store(_ value: UInt64, at indices: Int...) {
            for (place, index) in indices.enumerated() {
                machine.clock.store(UInt8(truncatingIfNeeded: value >> (8 * UInt64(place))), at: index)
            }
        }
        store(640, at: 0x15, 0x16)
        let above1MiB = min(low > 1 << 20 ? low - 1 << 20 : 0, 63 << 20) >> 10
        store(above1MiB, at: 0x17, 0x18)
        store(above1MiB, at: 0x30, 0x31)
        store(min(low > 16 << 20 ? (low - 16 << 20) >> 16 : 0, 0xffff), at: 0x34, 0x35)
        store(min(high >> 16, 0xff_ffff), at: 0x5b, 0x5c, 0x5d)
        store(UInt64(clamping: configuration.processorCount - 1), at: 0x5f)
        // Equipment: a coprocessor.
        store(2, at: 0x14)
        // Boot from disk without a floppy's signature check.
        store(1, at: 0x38)
    }
}

/// The port that firmware writes its messages to, for people who look for a fault: lines in the machine's log.
final class DebugConsole: BusDevice, @unchecked Sendable {
    // @unchecked: the line is guarded by its mutex.

    static let port: UInt64 = 0x402
    /// What it reads as, so that firmware knows that it is there.
    private static let presence: UInt64 = 0xe9
    private static let lineMax = 256

    private let log: MachineLog
    private let line = Mutex<[UInt8]>([])

    init(_ log: MachineLog) { self.log = log }

    /// Half a line in a log is not worth keeping.
    override var stateVersion: UInt32? { 1 }

    override func read(region: Int, offset: UInt64, width: Int) -> UInt64 { Self.presence }

    override func write(region: Int, offset: UInt64, width: Int, value: UInt64) {
        let byte = UInt8(truncatingIfNeeded: value)
        let full = line.withLock { line -> [UInt8]? in
            if byte != UInt8(ascii: "\n") { line.append(byte) }
            guard byte == UInt8(ascii: "\n") || line.count >= Self.lineMax else { return nil }
            defer { line = [] }
            return line
        }
        if let full { log.info("firmware: \(String(decoding: full, as: UTF8.self))") }
    }
}
