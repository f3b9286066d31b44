import DeviceModel
import GuestMemory

/// One I/O command, from when it is taken from its queue until it is completed.
struct NVMeSlot: ~Copyable {
    /// The memory it moves data from or to.
    var segments: SegmentList
    /// What the disk does for it now; kept to be asked for again.
    var request = BlockRequest(.flush, tag: 0)
    /// Index of the namespace.
    var namespace = 0
    /// Identifier of the submission queue.
    var queue: UInt16 = 0
    /// The driver's name for the command.
    var identifier: UInt16 = 0
    /// For dataset management: which range is next, of how many.
    var rangeNext = 0
    var rangeCount = 0
    var isInFlight = false

    init(_ ram: GuestRAM) {
        // A page more than the longest transfer has, because it need not begin on a page.
        segments = SegmentList(ram, limit: NVMeQueueGroup.transferMax / 4096 + 1)
    }
}
