import Controllers
import DeviceModel
import VMXControl

/// A device of the machine, under the name its configuration gives it.
final class MachineDevice {
    /// The prefix of its `.vmx` keys: `scsi0:0`, `ethernet1`.
    let name: String
    private let description: String
    /// What the guest sees; nil for devices that are not on PCI.
    let function: PCIFunction?
    /// Where it is plugged in.
    var address: PCIAddress?
    /// What follows the PCI slot in its OpenFirmware path, and what stands before: `scsi` and `disk@0,0`. Nil for what nobody boots from.
    let bootNode: (driver: String, rest: String)?
    /// The controller that it hangs on; nil for what is on PCI itself.
    private let controller: MachineDevice?
    /// If it is a controller that takes drives while the guest runs.
    var adapter: (any SCSIHostAdapter)?
    /// Takes it off its controller while the guest runs; nil for what is on PCI itself, or stays.
    var takeOff: (() -> Void)?
    /// If it is a CD drive.
    var drive: OpticalDrive?
    /// Its counters now, without the device's name.
    let counters: () -> [(name: String, value: UInt64)]
    /// Lets go of what the function does not own: locks, sockets. After the function is closed.
    let release: () -> Void

    init(
        name: String, summary: String, function: PCIFunction? = nil, bootNode: (driver: String, rest: String)? = nil,
        on controller: MachineDevice? = nil,
        counters: @escaping () -> [(name: String, value: UInt64)] = { [] }, release: @escaping () -> Void = {}
    ) {
        self.name = name
        description = summary
        self.controller = controller
        self.function = function
        self.bootNode = bootNode
        self.counters = counters
        self.release = release
    }

    /// How SeaBIOS and OVMF name it in the boot order.
    var bootPath: String? {
        guard let bootNode, let address = controller?.address ?? address else { return nil }
        let slot = String(address.device, radix: 16) + (address.function > 0 ? ",\(address.function)" : "")
        return "/pci@i0cf8/\(bootNode.driver)@\(slot)/\(bootNode.rest)"
    }

    /// What it is and what stands behind it, for people.
    var summary: String { drive?.summary ?? description }

    var status: MachineStatus.Device {
        MachineStatus.Device(name: name, summary: summary, address: address.map { "\($0)" } ?? "")
    }
}
