import ACPI
import Chipset
import DeviceModel
import GuestBoot
import GuestMemory
import KVM
import Linux
import SMBIOS
import VMXConfig
import VMXControl

/// Builds the machine that a configuration describes.
struct MachineBuilder {
    private let configuration: MachineConfiguration
    private let directory: String
    private let loop: EventLoop
    private let deviceLoop: EventLoop
    private let ioLoops: [EventLoop]
    private let log: MachineLog
    private let ask: @Sendable (MachineQuestion) -> Void

    /// - Parameters:
    ///   - ioLoops: serve the queues of disks and network cards in turn.
    ///   - ask: asks the administrator; called on `loop`.
    init(
        _ configuration: MachineConfiguration, _ directory: String, _ loop: EventLoop, _ deviceLoop: EventLoop,
        _ ioLoops: [EventLoop], _ log: MachineLog, ask: @escaping @Sendable (MachineQuestion) -> Void
    ) {
        self.ioLoops = ioLoops
        self.ask = ask
        self.configuration = configuration
        self.directory = directory
        self.loop = loop
        self.deviceLoop = deviceLoop
        self.log = log
    }

    func build() throws(StartFailure) -> Built {
        let machine: Machine
        let devices: DeviceManager
        var screen: RemoteScreen?
        do {
            machine = try Machine(shape, loop: loop, deviceLoop: deviceLoop, log: log)
            devices = try DeviceManager(machine, log, ioLoops: ioLoops)
            try addSerialPorts(to: machine, devices)
            if configuration.hasScreen { screen = try addScreen(to: machine, devices) }
            try addDisks(to: machine, devices)
            for card in configuration.networkCards { try devices.add(makeCard(card, in: machine)) }
            try addVirtioDevices(to: machine, devices)
        } catch let failure as StartFailure {
            throw failure
        } catch { throw StartFailure(.system, "\(error)") }
        do {
            let acpi = try ACPITables(acpiConfiguration(machine))
            let smbios = try SMBIOSTables(smbiosConfiguration(machine))
            if let directBoot = configuration.directBoot {
                let boot = try DirectBoot(directBoot, acpi, smbios, memory: machine.memory)
                machine.boot = { machine, vcpu in try boot.load(machine, vcpu) }
            } else {
                try FirmwareBoot(configuration, machine, log)
                    .install(acpi: acpi, smbios: smbios, bootOrder: devices.bootOrder)
            }
        } catch let failure as StartFailure {
            throw failure
        } catch { throw StartFailure(.configuration, "\(configuration.file): \(error)") }
        return Built(machine: machine, devices: devices, screen: screen)
    }

    /// A machine that can be powered on.
    struct Built {
        var machine: Machine
        var devices: DeviceManager
        /// Nil if it has no screen.
        var screen: RemoteScreen?
    }

    private func addScreen(to machine: Machine, _ devices: DeviceManager) throws -> RemoteScreen {
        let factory = ScreenFactory(machine: machine, configuration: configuration, log: log)
        let (device, vga) = try factory.adapter()
        try devices.add(device)
        let (inputs, input) = try factory.input()
        for input in inputs { try devices.add(input) }
        return try factory.server(for: vga, input: input)
    }

    private var shape: Machine.Shape {
        var shape = Machine.Shape(
            memory: configuration.memoryMegabytes << 20, processors: configuration.processorCount)
        shape.coresPerSocket = configuration.coresPerSocket
        if case .named(let model) = configuration.processorModel { shape.processorModel = model }
        shape.hugePages = configuration.hugePages != .none
        shape.nestedVirtualization = configuration.nestedVirtualization
        shape.hasFirmware = configuration.directBoot == nil
        shape.hypervisor = HypervisorInterface(configuration.hypervisor)
        shape.hypervisorVisible = configuration.hypervisorVisible
        shape.guestVariables = configuration.guestVariables
        shape.synchronizesTime = configuration.toolsSynchronizeTime
        shape.uuid = configuration.uuid.bytes
        return shape
    }

    private func addSerialPorts(to machine: Machine, _ devices: DeviceManager) throws {
        for port in configuration.serialPorts where port.startConnected {
            let name = "serial\(port.number)"
            guard let opened = try OpenedCharacterBackend(port.backend, loop: deviceLoop) else {
                log.warning("\(name): this kind of back end is not supported yet; not connected")
                continue
            }
            let interrupt = machine.interrupts.line(Uart16550.interrupts[port.number])
            let uart = Uart16550(interrupt: interrupt, backend: opened.backend)
            try machine.ports.map(uart, at: Uart16550.ports[port.number], count: Uart16550.portCount)
            machine.resettable.append { uart.reset() }
            machine.addPart(name, uart)
            try devices.add(
                MachineDevice(name: name, summary: "serial port\(opened.summary)", release: opened.release))
        }
    }

    private func addDisks(to machine: Machine, _ devices: DeviceManager) throws {
        let factory = DiskFactory(machine: machine, loops: ioLoops, configuration: configuration, log: log, ask: ask)
        // The disks of a bus follow one another.
        var rest = configuration.disks[...]
        while let first = rest.first {
            let bus = rest.prefix { $0.address.controllerName == first.address.controllerName }
            rest = rest.dropFirst(bus.count)
            let made =
                first.controller == .virtio
                ? try bus.map { disk throws(StartFailure) in try factory.make(disk) }
                : try ControllerFactory(disks: factory, control: deviceLoop).make(Array(bus))
            for device in made { try devices.add(device) }
        }
    }

    /// A disk to plug into a running machine.
    ///
    /// - Parameter devices: what is plugged in already; a SCSI disk's controller must be among them.
    func makeDisk(
        _ disk: MachineConfiguration.Disk, in machine: Machine, _ devices: DeviceManager
    ) throws(StartFailure) -> MachineDevice {
        let factory = DiskFactory(machine: machine, loops: ioLoops, configuration: configuration, log: log, ask: ask)
        if disk.controller == .virtio { return try factory.make(disk) }
        let name = disk.address.controllerName
        guard let controller = devices.device(name) else {
            throw StartFailure(
                .configuration, "\(disk.address): the machine has no \(name), which cannot be added while it runs")
        }
        return try ControllerFactory(disks: factory, control: deviceLoop).hang(disk, on: controller)
    }

    func makeCard(
        _ card: MachineConfiguration.NetworkCard, in machine: Machine
    ) throws(StartFailure) -> MachineDevice {
        try NetworkFactory(machine: machine, loops: ioLoops, configuration: configuration, log: log).make(card)
    }

    private func addVirtioDevices(to machine: Machine, _ devices: DeviceManager) throws {
        let factory = VirtioFactory(machine: machine, log: log)
        if configuration.hasRandomDevice { try devices.add(factory.entropy()) }
        if configuration.hasBalloon {
            try devices.add(factory.balloon(reportsFreePages: configuration.reportsFreePages))
        }
        if let vsock = configuration.vsock {
            if vsock.socket != nil {
                throw StartFailure(
                    .configuration, "\(configuration.file): wafer.vsock.socket is not supported yet; leave it out")
            }
            try devices.add(factory.socket(vsock.cid))
        }
        if let console = configuration.console {
            guard let opened = try OpenedCharacterBackend(console, loop: deviceLoop) else {
                log.warning("console: this kind of back end is not supported yet; not connected")
                return
            }
            try devices.add(factory.console(opened.backend, summary: opened.summary, release: opened.release))
        }
    }

    private func smbiosConfiguration(_ machine: Machine) -> SMBIOSConfiguration {
        var smbios = SMBIOSConfiguration(
            uuid: configuration.uuid.bytes, sockets: configuration.processorCount / configuration.coresPerSocket,
            memory: machine.memory.regions.map { .init(start: $0.start, count: UInt64($0.count)) })
        smbios.coresPerSocket = configuration.coresPerSocket
        smbios.system.version = Version.text
        smbios.system.serialNumber = "Wafer-\(configuration.uuid)"
        return smbios
    }

    private func acpiConfiguration(_ machine: Machine) -> ACPIConfiguration {
        var acpi = ACPIConfiguration(apicIdentifiers: machine.topology.apicIDs)
        acpi.pciWindow64 = machine.windows.memory64
        acpi.hotplugSlots = PCIRoot.slots.map { UInt8($0) }
        acpi.serialPorts = configuration.serialPorts.compactMap { SerialPort(rawValue: UInt8($0.number + 1)) }
        acpi.hasKeyboardController = configuration.hasScreen
        acpi.hasFirmwareConfiguration = configuration.directBoot == nil
        return acpi
    }
}

extension HypervisorInterface {
    fileprivate init(_ hypervisor: MachineConfiguration.Hypervisor) {
        switch hypervisor {
        case .kvm: self = .kvm
        case .vmware: self = .vmware
        case .hyperv: self = .hyperV
        }
    }
}
