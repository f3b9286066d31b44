public import DeviceModel
public import Linux

/// Keeps what came back from a queue.
public final class BlockCollector: BlockClient, @unchecked Sendable {
    // @unchecked: belongs to the queue's thread.

    public private(set) var statuses: [UInt32: BlockStatus] = [:]
    /// Tags in the order in which they came back.
    public private(set) var order: [UInt32] = []
    public private(set) var batches = 0
    /// Called after each completion.
    public var onDone: ((UInt32) -> Void)?

    public override init() {}

    public override func blockRequestDone(_ tag: UInt32, _ status: BlockStatus) {
        precondition(statuses[tag] == nil, "request \(tag) completed twice")
        statuses[tag] = status
        order.append(tag)
        onDone?(tag)
    }

    public override func blockBatchDone() { batches += 1 }

    public func forget() {
        statuses = [:]
        order = []
        batches = 0
    }
}

/// Memory for requests: segments of it can be handed to a queue.
public final class BlockBuffer: @unchecked Sendable {
    // @unchecked: each test uses its own.

    public let bytes: UnsafeMutableRawBufferPointer
    private let vectors: UnsafeMutablePointer<IOVector>
    private var vectorCount = 0

    public init(count: Int, filledWith value: UInt8 = 0, alignment: Int = 4096) {
        bytes = .allocate(byteCount: count, alignment: alignment)
        bytes.initializeMemory(as: UInt8.self, repeating: value)
        vectors = .allocate(capacity: 8192)
    }

    deinit {
        bytes.deallocate()
        vectors.deallocate()
    }

    public subscript(range: Range<Int>) -> [UInt8] {
        get { Array(bytes[range]) }
        set { bytes[range].copyBytes(from: newValue) }
    }

    /// Segments for the ranges, which live as long as the buffer.
    public func segments(_ ranges: [Range<Int>]) -> UnsafePointer<IOVector> {
        precondition(vectorCount + ranges.count <= 8192)
        let first = vectors + vectorCount
        for range in ranges {
            vectors[vectorCount] = IOVector(base: bytes.baseAddress.map { $0 + range.lowerBound }, count: range.count)
            vectorCount += 1
        }
        return UnsafePointer(first)
    }

    /// A read or write of the ranges, one after the other, at a place on the disk.
    public func request(
        _ operation: BlockOperation, tag: UInt32, at offset: UInt64, _ ranges: [Range<Int>],
        options: BlockOptions = []
    ) -> BlockRequest {
        let count = ranges.reduce(0) { $0 + $1.count }
        return BlockRequest(
            operation, tag: tag, offset: offset, count: UInt64(count), segments: segments(ranges),
            segmentCount: ranges.count, options: options)
    }
}
