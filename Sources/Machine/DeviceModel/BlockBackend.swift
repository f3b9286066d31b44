public import Linux

// How a disk controller (virtio-blk, NVMe, AHCI, PVSCSI) sees the disk behind it. The controller decodes the guest's
// commands into `BlockRequest`s; what carries them out (files and block devices, memory in tests) stands behind these
// protocols.

/// What a block request does.
public enum BlockOperation: UInt8, Sendable, BitwiseCopyable {
    case read
    case write
    /// Puts every write that completed before this was submitted on stable storage.
    case flush
    /// The range's contents are no longer needed; what it reads as afterwards is undefined.
    case discard
    /// The range reads as zeros afterwards.
    case writeZeroes
}

/// Variants of a block request.
public struct BlockOptions: OptionSet, Sendable, BitwiseCopyable {
    public let rawValue: UInt8
    @inlinable public init(rawValue: UInt8) { self.rawValue = rawValue }

    /// Completes only when the effect is on stable storage (force unit access). For write, discard and writeZeroes.
    public static let durable = BlockOptions(rawValue: 1)
    /// writeZeroes may free the storage behind the range.
    public static let mayUnmap = BlockOptions(rawValue: 2)
}

/// How a block request ended.
public enum BlockStatus: UInt8, Sendable, BitwiseCopyable {
    case done
    /// The storage failed. Part of a write may have been carried out.
    case failed
    /// The storage behind the disk is full.
    case noSpace
    /// A change to a disk that is read-only.
    case readOnly
    /// The range is not on the disk or not made of whole logical blocks; nothing was done.
    case outOfRange
    /// The disk cannot do this.
    case unsupported
}

/// One request to a disk. A plain value; it refers to the segments, whose owner keeps them (the array and the bytes) in
/// place until the request completes.
@safe public struct BlockRequest: BitwiseCopyable {
    public var operation: BlockOperation
    public var options: BlockOptions
    /// Handed back at completion.
    public var tag: UInt32
    /// Where the range begins, in bytes from the start of the disk. Zero for a flush.
    public var offset: UInt64
    /// Length of the range in bytes. Zero for a flush.
    public var count: UInt64
    /// For read and write: the memory, `count` bytes in all.
    public var segments: UnsafePointer<IOVector>?
    public var segmentCount: Int

    /// A request that moves data.
    @inlinable public init(
        _ operation: BlockOperation, tag: UInt32, offset: UInt64, count: UInt64, segments: UnsafePointer<IOVector>?,
        segmentCount: Int, options: BlockOptions = []
    ) {
        self.operation = operation
        self.options = options
        self.tag = tag
        self.offset = offset
        self.count = count
        unsafe self.segments = segments
        self.segmentCount = segmentCount
    }

    /// A request without data.
    @inlinable public init(
        _ operation: BlockOperation, tag: UInt32, offset: UInt64 = 0, count: UInt64 = 0, options: BlockOptions = []
    ) {
        unsafe self.init(
            operation, tag: tag, offset: offset, count: count, segments: nil, segmentCount: 0, options: options)
    }
}

/// What a disk is like.
public struct BlockGeometry: Equatable, Sendable {
    /// Size in bytes, a multiple of `logicalBlock`.
    public var capacity: UInt64
    /// The unit that requests are made of: 512 or 4096 bytes.
    public var logicalBlock: UInt32 = 512
    /// The unit the storage works in, a multiple of `logicalBlock`: aligned writes of whole ones are quickest.
    public var physicalBlock: UInt32 = 4096
    public var isReadOnly = false
    /// Whether `discard` gives space back.
    public var canDiscard = false
    /// A serial number or the like: printable ASCII, without which a guest cannot tell one disk from another.
    public var identity: String

    public init(capacity: UInt64, identity: String) {
        self.capacity = capacity
        self.identity = identity
    }
}

/// Where a queue's requests come back to. A class, so that the call neither retains nor allocates.
open class BlockClient: @unchecked Sendable {
    // @unchecked: a client's state belongs to its queue's loop.

    public init() {}

    /// A request ended. Called on the loop's thread, and only while `commit` runs or the loop dispatches; never from
    /// within `submit`. It may submit further requests; they are committed by themselves.
    open func blockRequestDone(_ tag: UInt32, _ status: BlockStatus) {}

    /// The completions that were at hand have been delivered: the moment to show them to the guest, and to submit what it
    /// wants next. More may follow at once.
    open func blockBatchDone() {}

    /// Nothing more can be done now, or a while has passed since the first batch: the moment to interrupt the guest. Comes
    /// after every series of `blockBatchDone`.
    open func blockBatchesDone() {}
}

/// A stream of requests to a disk, worked off on one loop. Everything here is called on that loop's thread, except where
/// it says otherwise.
///
/// Requests of a queue are independent: they may be carried out and complete in any order. Who needs an order waits for
/// completion; who needs durability flushes after completion.
///
/// A queue begins suspended.
public protocol BlockQueue: AnyObject {
    /// How many requests can be in flight.
    var depth: Int { get }

    /// What it has done. Readable from any thread.
    var counters: BlockCounters { get }

    /// Sets where completions go; before the first request. The client is not kept alive: it outlives the queue or closes
    /// it.
    func attach(_ client: BlockClient)

    /// Begins, or goes on after `suspend`.
    func resume() throws(SystemError)

    /// Takes a request; it starts at the next `commit` at the latest.
    ///
    /// - Returns: false, having done nothing, while `depth` requests are in flight. A request that is wrong in itself is
    ///   taken and completes with a status.
    func submit(_ request: BlockRequest) -> Bool

    /// Starts everything submitted, and delivers what is complete by then.
    func commit()

    /// Waits until the storage has finished everything, and delivers it. From then until `resume` nothing touches the
    /// requests' memory.
    ///
    /// Requests that wait for an answer because the storage is full stay where they are.
    ///
    /// - Returns: how many do.
    @discardableResult func suspend() -> Int

    /// Forgets the requests that wait for an answer: the guest that made them was reset.
    func abandonWaiting()

    /// Waits as `suspend` does, without delivering, then lets go of everything. No call follows.
    func close()
}

/// A disk as controllers see it.
public protocol BlockBackend: AnyObject, Sendable {
    var geometry: BlockGeometry { get }

    /// Makes a queue. Several, on loops of their own, work side by side.
    ///
    /// - Parameters:
    ///   - loop: where completions are taken. Nil: whoever uses the queue calls `commit` to take them.
    ///   - depth: how many requests can be in flight, 1 to 4096.
    func makeQueue(on loop: EventLoop?, depth: Int) throws(SystemError) -> any BlockQueue

    /// Sets what is called, on any thread, after the disk's size has changed; nil for nothing. One observer.
    func observeGeometry(_ changed: (@Sendable (BlockGeometry) -> Void)?)
}
