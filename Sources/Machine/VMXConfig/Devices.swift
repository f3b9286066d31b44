extension MachineConfiguration {
    /// Where a disk hangs: `scsi0:1` is bus 0, unit 1.
    public struct DiskAddress: Equatable, Hashable, Sendable, CustomStringConvertible {
        public var kind: ControllerKind
        public var bus: Int
        public var unit: Int

        public init(_ kind: ControllerKind, _ bus: Int, _ unit: Int) {
            self.kind = kind
            self.bus = bus
            self.unit = unit
        }

        /// The prefix of its keys, such as `scsi0:1`.
        public var description: String { "\(controllerName):\(unit)" }

        /// The prefix of its controller's keys, such as `scsi0`.
        public var controllerName: String { "\(kind.rawValue)\(bus)" }
    }

    public enum ControllerKind: String, Equatable, Hashable, Sendable, CaseIterable {
        case scsi, sata, nvme, ide

        /// How many controllers of the kind a machine can have.
        public var busCount: Int { self == .ide ? 2 : 4 }

        /// The units a controller has. VMware keeps SCSI unit 7 for the controller itself.
        var units: Range<Int> {
            switch self {
            case .scsi: 0..<16
            case .sata: 0..<30
            case .nvme: 0..<15
            case .ide: 0..<2
            }
        }
    }

    /// How a disk appears to the guest.
    public enum DiskController: String, Equatable, Sendable, CaseIterable {
        /// A virtio block device of its own.
        case virtio = "wafer-virtio"
        /// A virtio SCSI host adapter.
        case virtioSCSI = "wafer-virtio-scsi"
        case pvscsi
        case lsilogic
        case lsisas = "lsisas1068"
        case buslogic
        case ahci
        case nvme
        case ide

        /// Whether Wafer has this controller today.
        public var isSupported: Bool { self != .buslogic }

        /// Whether it is what `scsiB.virtualDev` can name.
        var isSCSI: Bool { [.virtio, .virtioSCSI, .pvscsi, .lsilogic, .lsisas, .buslogic].contains(self) }
    }

    /// What is in a drive.
    public enum Medium: Equatable, Sendable {
        case disk
        /// A CD or DVD drive. It may be empty, and what is in it may change.
        case optical
    }

    public struct Disk: Equatable, Sendable {
        public var address: DiskAddress
        public var controller: DiskController
        public var medium = Medium.disk
        /// The disk image: a VMDK descriptor, a raw file or a block device. Empty for an optical drive with nothing in it.
        public var path: String
        public var mode: DiskMode
        /// `writeThrough`: a write is done when it is on stable storage.
        public var writeThrough: Bool
        /// `wafer.readOnly`: the guest may not write, and others may read the image at the same time.
        public var isReadOnly: Bool
        /// `wafer.direct`: around the host's page cache.
        public var direct: Bool
        /// `wafer.discard`: the guest's discards free space in the host.
        public var discard: Bool
        /// `wafer.queues`, 1 to 64; nil lets the monitor choose.
        public var queueCount: Int?
        /// The line of `fileName`, for messages about the image.
        public var line: Int?
    }

    public enum DiskMode: String, Equatable, Sendable, CaseIterable {
        /// Takes part in snapshots.
        case persistent
        /// Does not take part in snapshots.
        case independentPersistent = "independent-persistent"
        /// Changes are thrown away at power off.
        case independentNonpersistent = "independent-nonpersistent"
    }

    /// How a network card appears to the guest.
    public enum NetworkAdapter: String, Equatable, Sendable, CaseIterable {
        case virtio = "wafer-virtio"
        case vmxnet3, vmxnet2, vmxnet, e1000, e1000e, vlance

        /// Whether Wafer has this adapter today.
        public var isSupported: Bool { [.virtio, .vmxnet3, .e1000, .e1000e].contains(self) }
    }

    public struct NetworkCard: Equatable, Sendable {
        /// N of `ethernetN`, 0 to 9.
        public var number: Int
        public var adapter: NetworkAdapter
        public var address: MACAddress
        public var addressType: AddressType
        /// `networkName`: the port group.
        public var networkName: String?
        /// `connectionType`, as VMware's hosted products use it.
        public var connection: NetworkConnection?
        /// `startConnected`.
        public var startConnected: Bool
        /// `wafer.tap`: the host's tap interface to use instead of a port group.
        public var tap: String?
        /// `wafer.vhost`: whether the kernel moves the packets; nil uses vhost-net if the host has it.
        public var vhost: Bool?
        /// `wafer.queues`: queue pairs, 1 to 16.
        public var queuePairs: Int
    }

    public enum AddressType: String, Equatable, Sendable, CaseIterable {
        /// Chosen by the administrator in `address`.
        case fixed = "static"
        /// Made from the machine's UUID, kept in `generatedAddress`.
        case generated
        /// Given by a central manager, kept in `generatedAddress`.
        case vpx
    }

    public enum NetworkConnection: String, Equatable, Sendable, CaseIterable {
        case bridged, nat, hostonly, custom, monitor = "monitor_dev", none
    }

    public struct SerialPort: Equatable, Sendable {
        /// N of `serialN`, 0 to 3.
        public var number: Int
        public var backend: CharacterBackend
        /// `startConnected`.
        public var startConnected: Bool
        /// `tryNoRxLoss`: input waits for the guest rather than being dropped.
        public var tryNoRxLoss: Bool
    }

    /// What a serial port or console is connected to: `fileType`, `fileName` and the end this machine plays.
    public enum CharacterBackend: Equatable, Sendable {
        /// Output goes to a file; nothing comes in.
        case file(path: String)
        /// A Unix socket: this machine listens on it (server) or connects to it.
        case pipe(path: String, endPoint: EndPoint)
        /// A terminal of the host.
        case device(path: String)
        /// A TCP address, `tcp://host:port` or `telnet://host:port`, as the file gives it.
        case network(uri: String, endPoint: EndPoint)
    }

    public enum EndPoint: String, Equatable, Sendable, CaseIterable { case server, client }
}
