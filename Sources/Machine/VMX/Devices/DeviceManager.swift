import Chipset
import DeviceModel
import Linux
import VMXControl

/// The machine's devices: plugs them in and out, also while the guest runs. On the machine's loop.
final class DeviceManager: @unchecked Sendable {
    // @unchecked: belongs to the machine's loop.

    private let machine: Machine
    private let log: MachineLog
    /// All loops that serve devices.
    private let loops: [EventLoop]
    private let hotplug: PCIHotplugRegisters
    private(set) var devices: [MachineDevice] = []

    /// - Parameter ioLoops: the loops that serve queues.
    init(_ machine: Machine, _ log: MachineLog, ioLoops: [EventLoop]) throws(AddressSpaceError) {
        self.machine = machine
        self.log = log
        loops = ioLoops + [machine.deviceLoop]
        let power = machine.power
        let loop = machine.loop
        let pci = machine.pci
        let ejected = Ejected()
        hotplug = PCIHotplugRegisters(
            slots: PCIRoot.slots.map { UInt8($0) },
            raiseEvent: { power.raiseEvent(PCIHotplugRegisters.event) },
            eject: { slot in
                // The slot is empty when the guest's method returns; what was in it is closed on the loop.
                let function = pci.unplug(PCIAddress(device: UInt8(truncatingIfNeeded: slot)))
                if function != nil { loop.perform { ejected.manager?.ejected(slot) } }
            })
        try machine.ports.map(hotplug, at: PCIHotplugRegisters.port, count: PCIHotplugRegisters.portCount)
        machine.resettable.append { [hotplug] in hotplug.reset() }
        machine.addPart("hotplug", hotplug)
        ejected.manager = self
    }

    private final class Ejected: @unchecked Sendable {
        // @unchecked: set once before the guest runs, read on the machine's loop.
        weak var manager: DeviceManager?
    }

    func device(_ name: String) -> MachineDevice? { devices.first { $0.name == name } }

    /// OpenFirmware paths of what firmware shall start from, the first first.
    var bootOrder: [String] { devices.compactMap(\.bootPath) }

    /// Adds a device to a machine that does not run yet.
    func add(_ device: MachineDevice) throws(PCIError) {
        if let function = device.function {
            device.address = try machine.pci.plug(function)
            machine.addPart(device.name, function)
        }
        devices.append(device)
        log.info("Device \(device.name)\(device.address.map { " at \($0)" } ?? ""): \(device.summary)")
    }

    /// Plugs a device into a running machine and tells the guest.
    func attach(_ device: MachineDevice) throws(PCIError) {
        try add(device)
        if let address = device.address { hotplug.announce(slot: Int(address.device)) }
    }

    /// Asks the guest to let go of a device; it is gone when the guest has. A drive is taken off its controller at once.
    ///
    /// - Returns: false if the device cannot be pulled out.
    func requestDetach(_ device: MachineDevice) -> Bool {
        if let takeOff = device.takeOff {
            // Its controller tells the guest, which is not asked.
            takeOff()
            devices.removeAll { $0 === device }
            device.drive?.close()
            device.release()
            log.info("Device \(device.name): taken off")
            removed?(device.name)
            return true
        }
        guard let address = device.address else { return false }
        log.info("Device \(device.name): asking the guest to let go of it")
        hotplug.requestEject(slot: Int(address.device))
        return true
    }

    private func ejected(_ slot: Int) {
        guard let index = devices.firstIndex(where: { $0.address.map { Int($0.device) } == slot }) else { return }
        let device = devices.remove(at: index)
        if device.function != nil { machine.removePart(device.name) }
        device.function?.close()
        machine.forgetUnplugged()
        // What the loops had at hand of it they have let go of when they come round again.
        for loop in loops { loop.performAndWait {} }
        device.release()
        log.info("Device \(device.name): the guest let go of it")
        removed?(device.name)
    }

    /// Called with the name of a device that was pulled out.
    var removed: ((String) -> Void)?

    var statistics: [ControlReply.Counter] {
        devices.flatMap { device in
            device.counters().map { ControlReply.Counter(name: "\(device.name).\($0.name)", value: $0.value) }
        }
    }

    /// Lets go of everything. The machine has closed its functions before.
    func close() {
        for device in devices {
            device.drive?.close()
            device.release()
        }
        devices = []
    }
}
