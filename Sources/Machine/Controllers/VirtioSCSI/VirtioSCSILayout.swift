import Virtio

extension VirtioFeatures {
    // SCSI host (virtio 1.2, section 5.6.3).

    /// Targets come and go.
    static let scsiHotplug = VirtioFeatures(bit: 1)
    /// Changes of units are told.
    static let scsiChange = VirtioFeatures(bit: 2)
}

/// The device's configuration (virtio 1.2, section 5.6.4).
struct VirtioSCSIConfiguration {
    private enum Offset {
        static let queueCount = 0
        static let segmentsMax = 4
        static let sectorsMax = 8
        static let commandsPerUnit = 12
        static let eventSize = 16
        static let senseSize = 20
        static let commandSize = 24
        static let targetMax = 30
    }

    static let senseSizeDefault: UInt32 = 96
    static let commandSizeDefault: UInt32 = 32

    private(set) var registers = DeviceConfiguration(count: 36)

    init(queueCount: Int, segmentsMax: Int, depth: Int) {
        registers.set(Offset.queueCount, UInt32(queueCount))
        registers.set(Offset.segmentsMax, UInt32(segmentsMax))
        registers.set(Offset.sectorsMax, UInt32(0xffff))
        registers.set(Offset.commandsPerUnit, UInt32(depth))
        registers.set(Offset.eventSize, UInt32(VirtioSCSIEvent.size))
        registers.set(Offset.targetMax, UInt16(SCSIEngine.targetCount - 1))
        resetSizes()
    }

    /// The sizes that a driver can change are as at first.
    mutating func resetSizes() {
        registers.set(Offset.senseSize, Self.senseSizeDefault)
        registers.set(Offset.commandSize, Self.commandSizeDefault)
    }

    /// Writes one of the two fields that a driver can change.
    ///
    /// - Returns: sizes of sense data and commands.
    mutating func write(_ offset: Int, width: Int, value: UInt64) -> (sense: UInt32, command: UInt32)? {
        guard width == 4, offset == Offset.senseSize || offset == Offset.commandSize else { return nil }
        // More than this no SCSI command and no sense data has.
        let size = UInt32(truncatingIfNeeded: min(value, 260))
        registers.set(offset, size)
        return (
            UInt32(truncatingIfNeeded: registers.read(Offset.senseSize, width: 4)),
            UInt32(truncatingIfNeeded: registers.read(Offset.commandSize, width: 4))
        )
    }
}

/// How a request ended (virtio 1.2, section 5.6.6.1).
enum VirtioSCSIResponse {
    static let done: UInt8 = 0
    static let overrun: UInt8 = 1
    static let aborted: UInt8 = 2
    static let badTarget: UInt8 = 3
    static let reset: UInt8 = 4
    static let failure: UInt8 = 9
    // Of task management (section 5.6.6.2).
    static let succeeded: UInt8 = 10
    static let rejected: UInt8 = 11
    static let incorrectUnit: UInt8 = 12
}

/// What the driver is told without having asked (virtio 1.2, section 5.6.6.3): event u32, LUN of 8 bytes, reason u32.
struct VirtioSCSIEvent: Equatable, BitwiseCopyable {
    static let size = 16
    static let missed: UInt32 = 1 << 31
    static let transportReset: UInt32 = 1
    static let parameterChange: UInt32 = 3
    static let rescan: UInt32 = 1
    static let removed: UInt32 = 2

    var event: UInt32
    var target: UInt8
    var reason: UInt32
}

/// The address of a unit: 1, the target, and the unit's number in bytes 2 and 3, flat or not (virtio 1.2, section 5.6.6.1).
struct VirtioSCSIAddress: Equatable, BitwiseCopyable {
    var target: Int
    var unit: UInt64

    /// - Parameter bytes: the first in the lowest bits. What is no address of a unit has a target that there is not.
    init(_ bytes: UInt64) {
        target = bytes & 0xff == 1 ? Int(bytes >> 8 & 0xff) : -1
        unit = bytes >> 16 & 0xff3f | bytes >> 32
    }
}
