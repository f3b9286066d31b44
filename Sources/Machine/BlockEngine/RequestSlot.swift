import DeviceModel
import Linux

/// The place of one request in flight.
///
/// A request is worked off piece by piece: never more than one operation of a slot is with the kernel. Most requests are
/// one piece; borders of extents, bounce buffers and short transfers make more.
@safe struct RequestSlot: BitwiseCopyable {
    /// What the kernel does for the slot now.
    enum Stage: UInt8, BitwiseCopyable {
        case none
        case transfer
        case sync
        case punch
        case zeroRange
        case writeZeros
    }

    var request: BlockRequest
    /// Bytes of the request that are finished. For the sync stage, see `syncFile`.
    var done: UInt64 = 0
    /// Bytes of the operation under way.
    var piece: UInt64 = 0
    /// Where the operation under way begins in its file.
    var filePosition: UInt64 = 0
    /// When it was submitted, in nanoseconds.
    var submitted: UInt64
    /// The first segment that is not finished, and how many of its bytes are.
    var segment = 0
    var segmentDone = 0
    /// All segments' addresses and lengths, or-ed: their low bits show what is aligned.
    var addressBits: UInt = 0
    var lengthBits: UInt = 0
    /// The next file to sync.
    var syncFile: Int32 = 0
    /// The file of the operation under way.
    var file: Int32 = 0
    /// The bounce buffer in use, or -1.
    var bounce: Int32 = -1
    /// The next slot of the list that this one is in, or -1.
    var next: Int32 = -1
    var stage = Stage.none
    var status = BlockStatus.done
    /// How often the operation under way was tried again.
    var retries: UInt8 = 0

    init(_ request: BlockRequest, submitted: UInt64) {
        self.request = request
        self.submitted = submitted
    }

    /// Where the unfinished part begins on the disk.
    var position: UInt64 { request.offset &+ done }
    var left: UInt64 { request.count &- done }

    /// Moves on by `count` bytes, over the segments too.
    mutating func advance(_ count: UInt64) {
        done &+= count
        retries = 0
        guard let segments = unsafe request.segments else { return }
        var left = Int(truncatingIfNeeded: count)
        while left > 0, segment < request.segmentCount {
            let rest = unsafe segments[segment].count &- segmentDone
            if left < rest {
                segmentDone &+= left
                return
            }
            left &-= rest
            segment &+= 1
            segmentDone = 0
        }
    }

    /// Calls `body` with each stretch of the next `count` bytes of the segments, and where it is within them.
    @inline(__always)
    func forEachStretch(_ count: Int, _ body: (UnsafeMutableRawPointer, _ at: Int, _ count: Int) -> Void) {
        guard let segments = unsafe request.segments else { return }
        var at = 0
        var index = segment
        var skip = segmentDone
        while at < count, index < request.segmentCount {
            let vector = unsafe segments[index]
            let length = unsafe min(vector.count &- skip, count &- at)
            if length > 0, let base = unsafe vector.base { unsafe body(base + skip, at, length) }
            at &+= length
            index &+= 1
            skip = 0
        }
    }
}

/// A list of slots, linked through `next`. Oldest first.
struct SlotList: BitwiseCopyable {
    private(set) var head: Int32 = -1
    private var tail: Int32 = -1

    var isEmpty: Bool { head < 0 }

    mutating func append(_ index: Int32, _ slots: UnsafeMutablePointer<RequestSlot>) {
        unsafe slots[Int(index)].next = -1
        if tail >= 0 { unsafe slots[Int(tail)].next = index } else { head = index }
        tail = index
    }

    mutating func removeFirst(_ slots: UnsafeMutablePointer<RequestSlot>) -> Int32? {
        guard head >= 0 else { return nil }
        let first = head
        head = unsafe slots[Int(first)].next
        if head < 0 { tail = -1 }
        return first
    }
}
