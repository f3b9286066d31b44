/// Feature bits (virtio 1.2, section 2.2). Device types add their own bits 0 to 23 and 50 to 127 in extensions.
public struct VirtioFeatures: OptionSet, Sendable, BitwiseCopyable, CustomStringConvertible {
    public let rawValue: UInt64
    @inlinable public init(rawValue: UInt64) { self.rawValue = rawValue }
    /// The feature with this number, 0...63.
    @inlinable public init(bit: Int) { rawValue = 1 << UInt64(bit) }

    /// Descriptors may point to tables of descriptors (VIRTIO_F_INDIRECT_DESC).
    public static let indirectDescriptors = VirtioFeatures(bit: 28)
    /// Both sides say at which index they want to be told (VIRTIO_F_EVENT_IDX).
    public static let eventIndex = VirtioFeatures(bit: 29)
    /// Not a legacy driver (VIRTIO_F_VERSION_1).
    public static let version1 = VirtioFeatures(bit: 32)
    /// The packed ring layout (VIRTIO_F_RING_PACKED).
    public static let packedRing = VirtioFeatures(bit: 34)
    /// Queues can be reset one by one (VIRTIO_F_RING_RESET).
    public static let ringReset = VirtioFeatures(bit: 40)

    public var description: String { "0x" + String(rawValue, radix: 16) }
}

/// What kind of device (virtio 1.2, section 5).
public struct VirtioDeviceType: RawRepresentable, Hashable, Sendable, CustomStringConvertible {
    public let rawValue: UInt16
    public init(rawValue: UInt16) { self.rawValue = rawValue }

    public static let network = VirtioDeviceType(rawValue: 1)
    public static let block = VirtioDeviceType(rawValue: 2)
    public static let console = VirtioDeviceType(rawValue: 3)
    public static let entropy = VirtioDeviceType(rawValue: 4)
    public static let balloon = VirtioDeviceType(rawValue: 5)
    public static let scsi = VirtioDeviceType(rawValue: 8)
    public static let socket = VirtioDeviceType(rawValue: 19)

    /// PCI base class, subclass and programming interface (PCI Code and ID Assignment 1.11), as QEMU gives them, because
    /// firmware looks for disks and network cards by class.
    var classCode: UInt32 {
        switch self {
        case .network: 0x02_00_00
        case .block, .scsi: 0x01_00_00
        case .console, .socket: 0x07_80_00
        default: 0x00_ff_00
        }
    }

    public var description: String {
        switch self {
        case .network: "virtio-net"
        case .block: "virtio-blk"
        case .console: "virtio-console"
        case .entropy: "virtio-rng"
        case .balloon: "virtio-balloon"
        case .scsi: "virtio-scsi"
        case .socket: "virtio-vsock"
        default: "virtio type \(rawValue)"
        }
    }
}
