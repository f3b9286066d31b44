import DeviceModel
import Linux
import NetEngine
import VMXConfig
import Virtio

/// Makes network cards from their configuration.
struct NetworkFactory {
    /// Where port groups are on a host without a network agent: each is a bridge. With one, the host agent has the agent connect
    /// the tap.
    static let bridgeOfPortGroups = ["VM Network": "vmbr0"]

    let machine: Machine
    let loops: [EventLoop]
    let uuid: MachineUUID
    let log: MachineLog

    func make(_ card: MachineConfiguration.NetworkCard) throws(StartFailure) -> MachineDevice {
        let name = "ethernet\(card.number)"
        do {
            let tap = try openTap(card)
            var settings = VirtioNet.Settings(address: NetEngine.MACAddress(card.address))
            settings.isLinkUp = card.startConnected
            let kernel = try openKernelBackends(card, name)
            let log = log
            let device = try VirtioNet(
                settings, backend: tap, memory: machine.memory, loops: loops, kernel: kernel,
                log: { log.warning("\(name): \($0)") })
            let function = VirtioPCIFunction(
                device, interrupts: try machine.interrupts.messages(device.queues.count + 1),
                binder: machine.doorbells, control: machine.deviceLoop, log: { log.warning("\(name): \($0)") })
            let path = kernel.isEmpty ? "user-space queues" : "vhost-net"
            return MachineDevice(
                name: name, summary: "virtio network card \(card.address) on tap \(tap.name), \(path)",
                function: function, counters: { Self.counters(device) })
        } catch { throw StartFailure(.system, "\(name): \(error)") }
    }

    private func openTap(_ card: MachineConfiguration.NetworkCard) throws(SystemError) -> TapBackend {
        let name = card.tap ?? NetworkTap.name(uuid: uuid, card: card.number)
        let tap = try TapBackend(name, queueCount: card.queuePairs)
        // A tap that the administrator named is the administrator's; one of ours joins its port group's bridge.
        if card.tap == nil {
            var network = try NetworkConfiguration()
            if let group = card.networkName {
                if let bridge = Self.bridgeOfPortGroups[group], fileExists("/sys/class/net/\(bridge)") {
                    try network.setMaster(of: name, to: bridge)
                } else {
                    log.info("ethernet\(card.number): tap \(name) waits to be connected to port group \"\(group)\"")
                }
            }
            try network.setUp(name)
        }
        return tap
    }

    /// A vhost-net for each queue pair; empty if the configuration or the host does without.
    private func openKernelBackends(
        _ card: MachineConfiguration.NetworkCard, _ name: String
    ) throws(SystemError) -> [VhostDevice] {
        if card.vhost == false { return [] }
        do {
            var devices: [VhostDevice] = []
            for _ in 0..<card.queuePairs { devices.append(try VhostDevice(VhostDevice.netPath)) }
            return devices
        } catch {
            if card.vhost == true { throw error }
            log.info("\(name): \(error); packets go through user space")
            return []
        }
    }

    private static func counters(_ device: VirtioNet) -> [(name: String, value: UInt64)] {
        let (received, transmitted) = device.statistics
        return [
            ("receivedPackets", received.packets), ("receivedBytes", received.bytes),
            ("receivedDrops", received.drops), ("transmittedPackets", transmitted.packets),
            ("transmittedBytes", transmitted.bytes), ("transmittedDrops", transmitted.drops),
        ]
    }
}

extension NetEngine.MACAddress {
    /// The same address, as the engine holds it.
    fileprivate init(_ address: VMXConfig.MACAddress) {
        self.init(rawValue: address.bytes.reduce(0) { $0 << 8 | UInt64($1) })
    }
}
