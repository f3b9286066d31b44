import Synchronization

/// What a queue has done since it was made. One thread counts; any thread may read.
public final class BlockCounters: Sendable {
    // One writer, so a load and a store make an addition, without a locked instruction.
    private let finished: [5 of Atomic<UInt64>]
    private let bytes: [5 of Atomic<UInt64>]
    private let latency: [5 of Atomic<UInt64>]
    private let failures = Atomic<UInt64>(0)

    /// The sums for one kind of request.
    public struct Sum: Equatable, Sendable, BitwiseCopyable {
        /// Requests that ended, well or not.
        public var requests: UInt64 = 0
        /// Bytes of those that ended well.
        public var bytes: UInt64 = 0
        /// Time from submission to completion of all of them, in nanoseconds.
        public var nanoseconds: UInt64 = 0

        public init() {}
    }

    public init() {
        finished = [Atomic(0), Atomic(0), Atomic(0), Atomic(0), Atomic(0)]
        bytes = [Atomic(0), Atomic(0), Atomic(0), Atomic(0), Atomic(0)]
        latency = [Atomic(0), Atomic(0), Atomic(0), Atomic(0), Atomic(0)]
    }

    /// Notes the end of a request. By the queue, on its loop's thread.
    @inline(__always)
    public func count(_ operation: BlockOperation, _ status: BlockStatus, bytes count: UInt64, nanoseconds: UInt64) {
        let index = Int(operation.rawValue)
        Self.add(finished[index], 1)
        Self.add(latency[index], nanoseconds)
        if status == .done { Self.add(bytes[index], count) } else { Self.add(failures, 1) }
    }

    @inline(__always) private static func add(_ counter: borrowing Atomic<UInt64>, _ value: UInt64) {
        counter.store(counter.load(ordering: .relaxed) &+ value, ordering: .relaxed)
    }

    /// The sums of one kind of request. Each number is right; together they may be of slightly different moments.
    public func sum(_ operation: BlockOperation) -> Sum {
        let index = Int(operation.rawValue)
        var sum = Sum()
        sum.requests = finished[index].load(ordering: .relaxed)
        sum.bytes = bytes[index].load(ordering: .relaxed)
        sum.nanoseconds = latency[index].load(ordering: .relaxed)
        return sum
    }

    /// Requests that did not end well.
    public var errors: UInt64 { failures.load(ordering: .relaxed) }
}
