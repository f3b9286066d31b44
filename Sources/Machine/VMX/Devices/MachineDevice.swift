import DeviceModel
import VMXControl

/// A device of the machine, under the name its configuration gives it.
final class MachineDevice {
    /// The prefix of its `.vmx` keys: `scsi0:0`, `ethernet1`.
    let name: String
    /// What it is and what stands behind it, for people.
    let summary: String
    /// What the guest sees; nil for devices that are not on PCI.
    let function: PCIFunction?
    /// Where it is plugged in.
    var address: PCIAddress?
    /// Its counters now, without the device's name.
    let counters: () -> [(name: String, value: UInt64)]
    /// Lets go of what the function does not own: locks, sockets. After the function is closed.
    let release: () -> Void

    init(
        name: String, summary: String, function: PCIFunction? = nil,
        counters: @escaping () -> [(name: String, value: UInt64)] = { [] }, release: @escaping () -> Void = {}
    ) {
        self.name = name
        self.summary = summary
        self.function = function
        self.counters = counters
        self.release = release
    }

    var status: MachineStatus.Device {
        MachineStatus.Device(name: name, summary: summary, address: address.map { "\($0)" } ?? "")
    }
}
