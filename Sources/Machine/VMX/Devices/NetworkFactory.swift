import Adapters
import DeviceModel
import HostLink
import Linux
import NetEngine
import NetworkService
import VMXConfig
import Virtio

/// Makes network cards from their configuration.
struct NetworkFactory {
    /// Where port groups are on a machine without the network agent, such as a developer's: each is a bridge.
    static let bridgeOfPortGroups = ["VM Network": "vmbr0"]
    /// How long the network agent gets to answer; it may be just starting again.
    private static let patience: UInt64 = 10_000_000_000

    let machine: Machine
    let loops: [EventLoop]
    let configuration: MachineConfiguration
    let log: MachineLog

    func make(_ card: MachineConfiguration.NetworkCard) throws(StartFailure) -> MachineDevice {
        let name = "ethernet\(card.number)"
        do {
            let tap = try openTap(card)
            if card.adapter != .virtio { return try makeEmulated(card, name, tap) }
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
            try addBootROM(to: function, card)
            let path = kernel.isEmpty ? "user-space queues" : "vhost-net"
            return MachineDevice(
                name: name, summary: "virtio network card \(card.address) on tap \(tap.name), \(path)",
                function: function, bootNode: Self.bootNode, counters: { Self.counters(device.statistics) })
        } catch { throw StartFailure(.system, "\(name): \(error)") }
    }

    private static let bootNode = (driver: "ethernet", rest: "ethernet-phy@0")

    /// Lets firmware boot from the card, by iPXE. A machine starts without that as well.
    private func addBootROM(to function: PCIFunction, _ card: MachineConfiguration.NetworkCard) throws {
        let name = "efi-\(card.adapter == .virtio ? "virtio" : card.adapter.rawValue).rom"
        // UEFI has a driver of its own for virtio.
        guard configuration.directBoot == nil, configuration.firmware == .bios || card.adapter != .virtio,
            FirmwareFiles.path(of: name) != nil
        else { return }
        function.setExpansionROM(try ExpansionROM(FirmwareFiles.bytes(of: name, log), machine.virtualMachine))
    }

    /// A card that VMware's machines have.
    private func makeEmulated(
        _ card: MachineConfiguration.NetworkCard, _ name: String, _ tap: TapBackend
    ) throws -> MachineDevice {
        let settings = AdapterSettings(address: NetEngine.MACAddress(card.address), isLinkUp: card.startConnected)
        let log = log
        let warn: @Sendable (String) -> Void = { log.warning("\(name): \($0)") }
        let function: PCIFunction
        let statistics: () -> (received: NetStatistics, transmitted: NetStatistics)
        if card.adapter == .vmxnet3 {
            let adapter = try VMXNET3Adapter(
                settings, backend: tap, memory: machine.memory, loops: loops,
                interrupts: try machine.interrupts.messages(2 * card.queuePairs + 1), binder: machine.doorbells,
                control: machine.deviceLoop, log: warn)
            (function, statistics) = (adapter, { adapter.statistics })
        } else {
            let model: E1000Model = card.adapter == .e1000 ? .e1000 : .e1000e
            let vectors = model.vectorCount > 0 ? try machine.interrupts.messages(model.vectorCount) : nil
            let adapter = try E1000Adapter(
                settings, model, backend: tap, memory: machine.memory, loop: loops[card.number % loops.count],
                interrupts: vectors, log: warn)
            (function, statistics) = (adapter, { adapter.statistics })
        }
        try addBootROM(to: function, card)
        return MachineDevice(
            name: name, summary: "\(card.adapter.rawValue) network card \(card.address) on tap \(tap.name)",
            function: function, bootNode: Self.bootNode, counters: { Self.counters(statistics()) })
    }

    private func openTap(_ card: MachineConfiguration.NetworkCard) throws(SystemError) -> TapBackend {
        let name = card.tap ?? "v\(configuration.uuid.bytes.prefix(4).map(Self.hexadecimal).joined())-\(card.number)"
        let hasQueues = card.adapter == .virtio || card.adapter == .vmxnet3
        let tap = try TapBackend(name, queueCount: hasQueues ? card.queuePairs : 1)
        // A tap that the administrator named is the administrator's; one of ours joins its port group's bridge.
        if card.tap == nil {
            if let group = card.networkName { connect(name, to: group, "ethernet\(card.number)") }
            var network = try NetworkConfiguration()
            try network.setUp(name)
        }
        return tap
    }

    /// Joins a port group. A machine starts without a network rather than not at all.
    private func connect(_ tap: String, to group: String, _ card: String) {
        do {
            if fileExists(ServiceAddress.network) {
                try ask(ConnectPort(portGroup: group, tap: tap))
            } else if let bridge = Self.bridgeOfPortGroups[group] {
                var network = try NetworkConfiguration()
                try network.setMaster(of: tap, to: bridge)
            } else {
                log.warning("\(card): there is no port group \"\(group)\"; not connected")
            }
        } catch { log.warning("\(card): not connected: \(error)") }
    }

    private func ask(_ call: ConnectPort) throws(ServiceError) {
        let limit = monotonicNanoseconds() + Self.patience
        while true {
            do throws(ServiceError) {
                _ = try ServiceClient(ServiceAddress.network).ask(call)
                return
            } catch {
                // An answer is an answer; only nobody's may become somebody's.
                if case .refused = error { throw error }
                guard monotonicNanoseconds() < limit else { throw error }
            }
            _ = try? poll([], milliseconds: 50)
        }
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

    private static func hexadecimal(_ byte: UInt8) -> String {
        (byte < 16 ? "0" : "") + String(byte, radix: 16)
    }

    private static func counters(
        _ statistics: (received: NetStatistics, transmitted: NetStatistics)
    ) -> [(name: String, value: UInt64)] {
        let (received, transmitted) = statistics
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
