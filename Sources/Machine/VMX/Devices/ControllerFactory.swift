import BlockEngine
import Controllers
import DeviceModel
import GuestMemory
import Linux
import VMXConfig

/// Makes controllers that several disks hang on, with their disks: SCSI, NVMe, SATA, and SATA in the place of IDE, whose disks a
/// system with a SATA driver finds as well.
struct ControllerFactory {
    let disks: DiskFactory
    /// Where queues are started and stopped.
    let control: EventLoop

    private var machine: Machine { disks.machine }
    private var loops: [EventLoop] { disks.loops }

    /// A controller, named as its bus is, and after it what hangs on it.
    ///
    /// - Parameter configured: the disks of one bus, in order of their units.
    func make(_ configured: [MachineConfiguration.Disk]) throws(StartFailure) -> [MachineDevice] {
        guard let first = configured.first else { return [] }
        let name = first.address.controllerName
        var opened: [DiskFactory.Opened?] = []
        for disk in configured { opened.append(disk.path.isEmpty ? nil : try disks.open(disk)) }
        do {
            return switch first.address.kind {
            case .scsi: try scsi(name, first, configured, opened)
            case .nvme: try nvme(name, configured, opened)
            case .sata, .ide: try sata(name, configured, opened)
            }
        } catch { throw StartFailure(.system, "\(name): \(error)") }
    }

    private func nvme(
        _ name: String, _ configured: [MachineConfiguration.Disk], _ opened: [DiskFactory.Opened?]
    ) throws -> [MachineDevice] {
        let queueCount = min(machine.shape.processors, NVMeController.queuesMax)
        let log = disks.log
        let controller = try NVMeController(
            opened.compactMap { $0?.backend }, ram: machine.memory.ram, loops: loops, queueCount: queueCount,
            interrupts: try machine.interrupts.messages(queueCount + 1), binder: machine.doorbells, control: control,
            log: { log.warning("\(name): \($0)") })
        let device = MachineDevice(
            name: name, summary: "NVMe controller", function: controller,
            counters: { DiskFactory.counters(controller.counters) })
        return [device]
            + zip(configured, opened).enumerated().map { number, pair in
                // OVMF knows the controller by QEMU's numbers, whatever ours are.
                attached(
                    pair.0, pair.1, to: device, "NVMe disk",
                    ("pci8086,5845", "namespace@\(String(number + 1, radix: 16)),0"))
            }
    }

    private func sata(
        _ name: String, _ configured: [MachineConfiguration.Disk], _ opened: [DiskFactory.Opened?]
    ) throws -> [MachineDevice] {
        let portCount = (configured.map(\.address.unit).max() ?? 0) + 1
        var ports: [AHCIController.Device?] = Array(repeating: nil, count: portCount)
        for (disk, opened) in zip(configured, opened) {
            switch (disk.medium, opened) {
            case (.disk, .some(let opened)): ports[disk.address.unit] = .disk(opened.backend)
            case (.disk, .none): break
            case (.optical, let opened):
                ports[disk.address.unit] = .cd(opened?.backend, serial: "CD-\(disk.address.unit)")
            }
        }
        let log = disks.log
        let controller = try AHCIController(
            ports, ram: machine.memory.ram, loops: loops, interrupts: try machine.interrupts.messages(1),
            log: { log.warning("\(name): \($0)") })
        let device = MachineDevice(
            name: name, summary: "SATA controller", function: controller,
            counters: { DiskFactory.counters(controller.counters) })
        return [device]
            + zip(configured, opened).map { disk, opened in
                let place = "drive@\(String(disk.address.unit, radix: 16))/disk@0"
                let kind = disk.medium == .disk ? "SATA disk" : "CD drive"
                let attached = attached(disk, opened, to: device, kind, ("pci8086,2922", place))
                if disk.medium == .optical {
                    attached.drive = OpticalDrive(controller, port: disk.address.unit, opened, factory: disks, disk)
                }
                return attached
            }
    }

    private func scsi(
        _ name: String, _ first: MachineConfiguration.Disk, _ configured: [MachineConfiguration.Disk],
        _ opened: [DiskFactory.Opened?]
    ) throws -> [MachineDevice] {
        var drives: [SCSIDrive?] = Array(repeating: nil, count: (configured.map(\.address.unit).max() ?? 0) + 1)
        for (disk, opened) in zip(configured, opened) { drives[disk.address.unit] = Self.drive(disk, opened) }
        let (adapter, function, summary) = try adapter(name, first, drives)
        let device = MachineDevice(
            name: name, summary: summary, function: function,
            counters: { DiskFactory.counters(adapter.counters) })
        device.adapter = adapter
        return [device] + zip(configured, opened).map { placed($0, $1, on: adapter, of: device) }
    }

    private func adapter(
        _ name: String, _ first: MachineConfiguration.Disk, _ drives: [SCSIDrive?]
    ) throws -> (any SCSIHostAdapter, PCIFunction, summary: String) {
        let log = disks.log
        // An adapter is served on one loop; each has another one.
        let loop = loops[first.address.bus % loops.count]
        switch first.controller {
        case .pvscsi:
            let adapter = try PVSCSIAdapter(
                drives, ram: machine.memory.ram, loop: loop, interrupts: try machine.interrupts.messages(1),
                binder: machine.doorbells, log: { log.warning("\(name): \($0)") })
            return (adapter, adapter, "PVSCSI controller")
        case .lsilogic, .lsisas:
            let model: MPTModel = first.controller == .lsilogic ? .parallel : .sas
            // Names of VMware's range; each bus has 256.
            let address = 0x5005_0560_0000_0000 + UInt64(first.address.bus) << 8
            let controller = try MPTController(
                model, drives, sasAddress: address, ram: machine.memory.ram, loop: loop,
                interrupts: try machine.interrupts.messages(1), log: { log.warning("\(name): \($0)") })
            return (controller, controller, model == .sas ? "LSI SAS1068 controller" : "LSI 53C1030 controller")
        case .virtioSCSI:
            let device = try VirtioSCSI(
                drives, ram: machine.memory.ram, loop: loop,
                queueCount: min(machine.shape.processors, VirtioSCSI.queuesMax), log: { log.warning("\(name): \($0)") })
            let function = try VirtioFactory(machine: machine, log: log).function(device, name)
            return (device, function, "virtio SCSI controller")
        default: throw StartFailure(.configuration, "\(name): this controller is not supported yet")
        }
    }

    private static func drive(_ disk: MachineConfiguration.Disk, _ opened: DiskFactory.Opened?) -> SCSIDrive? {
        switch disk.medium {
        case .disk: opened.map { .disk($0.backend) }
        case .optical: .cd(opened?.backend, serial: "CD-\(disk.address.unit)")
        }
    }

    /// A drive in its place on an adapter.
    private func placed(
        _ disk: MachineConfiguration.Disk, _ opened: DiskFactory.Opened?, on adapter: any SCSIHostAdapter,
        of device: MachineDevice
    ) -> MachineDevice {
        let target = disk.address.unit
        let kind = disk.medium == .disk ? "SCSI disk" : "CD drive"
        let bootNode = ("scsi", "channel@0/disk@\(String(target, radix: 16)),0")
        let attached = attached(disk, opened, to: device, kind, bootNode)
        if disk.medium == .optical {
            attached.drive = OpticalDrive(adapter, port: target, opened, factory: disks, disk)
        }
        attached.takeOff = { adapter.detach(target: target) }
        return attached
    }

    /// Hangs a drive on a controller of a running machine.
    func hang(_ disk: MachineConfiguration.Disk, on controller: MachineDevice) throws(StartFailure) -> MachineDevice {
        guard let adapter = controller.adapter else {
            throw StartFailure(.configuration, "\(controller.name) does not take disks while the machine runs")
        }
        let opened = disk.path.isEmpty ? nil : try disks.open(disk)
        do {
            if let drive = Self.drive(disk, opened) { try adapter.attach(drive, target: disk.address.unit) }
        } catch {
            opened?.release()
            throw StartFailure(.system, "\(disk.address): \(error)")
        }
        return placed(disk, opened, on: adapter, of: controller)
    }

    private func attached(
        _ disk: MachineConfiguration.Disk, _ opened: DiskFactory.Opened?, to controller: MachineDevice, _ kind: String,
        _ bootNode: (driver: String, rest: String)
    ) -> MachineDevice {
        let content = opened.map { disk.medium == .disk ? " of \($0.summary)" : " with \($0.summary)" } ?? ", empty"
        return MachineDevice(
            name: "\(disk.address)", summary: kind + content, bootNode: bootNode, on: controller,
            // An optical drive's image may have been exchanged by then: the drive lets go of it.
            release: disk.medium == .disk ? opened?.release ?? {} : {})
    }
}

/// A CD drive, whose CD can be exchanged while the machine runs.
final class OpticalDrive {
    private let controller: any MediumChanger
    private let port: Int
    private let factory: DiskFactory
    private var disk: MachineConfiguration.Disk
    /// The image that is in it.
    private var opened: DiskFactory.Opened?

    init(
        _ controller: any MediumChanger, port: Int, _ opened: DiskFactory.Opened?, factory: DiskFactory,
        _ disk: MachineConfiguration.Disk
    ) {
        self.controller = controller
        self.port = port
        self.opened = opened
        self.factory = factory
        self.disk = disk
    }

    /// Puts an image in, in place of what is there; nil takes that out.
    ///
    /// - Returns: false if the guest has locked it in. It is asked to let go.
    func insert(_ path: String?) throws -> Bool {
        var new: DiskFactory.Opened?
        if let path {
            disk.path = path
            new = try factory.open(disk)
        }
        guard try controller.changeMedium(port: port, to: new?.backend, force: false) else {
            new?.release()
            return false
        }
        opened?.release()
        opened = new
        return true
    }

    var summary: String { opened.map { "CD drive with \($0.summary)" } ?? "CD drive, empty" }

    func close() {
        opened?.release()
        opened = nil
    }
}
