import DeviceModel
import GuestMemory

/// One command of a host adapter, from when it is taken until it has ended.
struct SCSISlot: ~Copyable {
    /// Which way the data buffer's bytes go.
    enum Direction {
        case none
        case toHost
        case toDevice
    }

    /// The most pieces of memory that a command may have. Windows uses up to 513, Linux 128 and more.
    static let segmentsMax = 1024

    /// The data buffer.
    var segments: SegmentList
    var direction = Direction.none
    /// Number of the target.
    var target = 0
    /// Number of the unit in the target; all have only zero.
    var unit: UInt64 = 0
    /// What the disk does for it now; kept to be asked for again.
    var request = BlockRequest(.flush, tag: 0)
    /// The disk is at work on it.
    var isInFlight = false
    /// For unmapping: the ranges, and which is next.
    var ranges: [SCSIRange] = []
    var rangeNext = 0

    init(_ ram: GuestRAM) { segments = SegmentList(ram, limit: Self.segmentsMax) }
}

/// How a command ended, as the target and the way to it have it.
struct SCSIOutcome: Equatable, BitwiseCopyable {
    enum Delivery: UInt8 {
        /// The target has answered with a status.
        case answered
        /// There is no such target.
        case noTarget
        /// The data buffer is shorter than the command needs. Nothing was moved.
        case overrun
        case aborted
        /// The target or the bus was reset.
        case reset
        /// The request makes no sense to the adapter.
        case invalid
    }

    /// Status codes (SAM-5, section 5.3).
    enum Status {
        static let good: UInt8 = 0x00
        static let checkCondition: UInt8 = 0x02
    }

    var delivery = Delivery.answered
    var status = Status.good
    /// Of CHECK CONDITION.
    var sense = SCSISense.none
    /// Bytes of the data buffer that were moved.
    var moved = 0

    static func good(moved: Int = 0) -> SCSIOutcome { SCSIOutcome(moved: moved) }
    static func check(_ sense: SCSISense) -> SCSIOutcome { SCSIOutcome(status: Status.checkCondition, sense: sense) }
    static func lost(_ delivery: Delivery) -> SCSIOutcome { SCSIOutcome(delivery: delivery) }
}

extension SCSISense {
    /// Copies sense data in fixed format into guest memory. Where that is not memory, nothing is copied.
    ///
    /// - Parameter room: how many bytes there are.
    /// - Returns: how many were copied.
    func store(_ ram: GuestRAM, at address: GuestAddress, room: Int) -> Int {
        let count = min(room, Self.size)
        guard count > 0, let target = unsafe ram.pointer(at: address, count: count) else { return 0 }
        for index in 0..<count { unsafe target.storeBytes(of: self[index], toByteOffset: index, as: UInt8.self) }
        ram.markDirty(address, count: count)
        return count
    }

    /// A byte of `bytes`.
    subscript(index: Int) -> UInt8 {
        switch index {
        case 0: 0x70
        case 2: key
        case 7: UInt8(Self.size - 8)
        case 12: code
        case 13: qualifier
        default: 0
        }
    }
}
