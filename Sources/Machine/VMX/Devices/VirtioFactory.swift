import DeviceModel
import GuestMemory
import Linux
import VMXConfig
import Virtio

/// Makes the small virtio devices: entropy, balloon, console.
struct VirtioFactory {
    let machine: Machine
    let log: MachineLog

    /// Puts a virtio device on PCI, with a vector for each queue and one for configuration changes.
    func function(_ device: VirtioDevice, _ name: String) throws -> VirtioPCIFunction {
        let log = log
        return VirtioPCIFunction(
            device, interrupts: try machine.interrupts.messages(device.queues.count + 1), binder: machine.doorbells,
            control: machine.deviceLoop, log: { log.warning("\(name): \($0)") })
    }

    func entropy() throws -> MachineDevice {
        let device = try VirtioRNG(ram: machine.memory.ram, loop: machine.deviceLoop)
        return MachineDevice(name: "rng", summary: "virtio entropy source", function: try function(device, "rng"))
    }

    func balloon(reportsFreePages: Bool) throws -> MachineDevice {
        let device = try VirtioBalloon(
            machine.memory, loop: machine.deviceLoop, reportsFreePages: reportsFreePages)
        return MachineDevice(
            name: "balloon", summary: "virtio memory balloon", function: try function(device, "balloon"),
            counters: {
                [
                    ("targetBytes", UInt64(device.target)), ("actualBytes", UInt64(device.actual)),
                    ("reclaimedBytes", device.reclaimedBytes),
                ]
            })
    }

    func socket(_ identifier: UInt32) throws -> MachineDevice {
        let log = log
        let device = try VirtioSocket(
            identifier: identifier, memory: machine.memory, loop: machine.deviceLoop,
            kernel: VhostDevice(VhostDevice.vsockPath), log: { log.warning("vsock: \($0)") })
        return MachineDevice(
            name: "vsock", summary: "virtio socket, context \(identifier), vhost-vsock",
            function: try function(device, "vsock"))
    }

    func console(_ backend: any CharacterBackend, summary: String, release: @escaping () -> Void) throws
        -> MachineDevice
    {
        let device = try VirtioConsole(ram: machine.memory.ram, loop: machine.deviceLoop, backend: backend)
        return MachineDevice(
            name: "console", summary: "virtio console\(summary)", function: try function(device, "console"),
            release: release)
    }
}
