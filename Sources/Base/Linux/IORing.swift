import CLinux
import Synchronization

/// An io_uring: a queue of I/O requests to the kernel and a queue of their results, in memory shared with it.
///
/// A request is prepared with one of the `prepare` methods, which only fill an entry; `submit` hands everything
/// prepared to the kernel with one system call. Results are taken with `nextCompletion`. None of these allocates,
/// retains or locks.
///
/// A ring belongs to one thread: the one that calls `enable` (the kernel refuses any other). It can be made and closed
/// on another thread.
///
/// Completions are worked off only when the owner asks (IORING_SETUP_DEFER_TASKRUN): when `hasDeferredWork` says so, or
/// the registered event was signalled, call `submit` once, then take completions. Polling the ring's own descriptor is no
/// way to wait: newer kernels do not wake the poller for deferred work.
@safe public final class IORing: @unchecked Sendable {
    // @unchecked: `state` belongs to the thread that enabled the ring; everything else is immutable.

    /// The result of one request.
    public struct Completion: BitwiseCopyable, Sendable {
        /// What the request was prepared with.
        public var userData: UInt64
        /// Zero or more as the system call would return, or the error number, negated.
        public var result: Int32
    }

    /// The words that change, kept behind a pointer: no exclusivity checks, no copies.
    @unsafe struct State {
        /// Entries prepared so far; the kernel sees them at `submit`.
        var prepared: UInt32 = 0
        /// What the kernel has been told of `prepared`.
        var submitted: UInt32 = 0
        /// Completions taken so far.
        var taken: UInt32 = 0
        var isEnabled = false
    }

    let descriptor: Descriptor
    /// Operations the kernel knows, a bit each.
    private let operations: [4 of UInt64]
    private let rings: Mapping
    private let entriesMapping: Mapping
    let state: UnsafeMutablePointer<State>

    let entries: UnsafeMutablePointer<wafer_uring_submission>
    /// How many requests can be prepared before a `submit`.
    public let capacity: UInt32
    private let submissionHead: UnsafeMutablePointer<Atomic<UInt32>>
    private let submissionTail: UnsafeMutablePointer<Atomic<UInt32>>
    private let submissionFlags: UnsafeMutablePointer<Atomic<UInt32>>

    private let completions: UnsafeMutablePointer<wafer_uring_completion>
    private let completionMask: UInt32
    private let completionHead: UnsafeMutablePointer<Atomic<UInt32>>
    private let completionTail: UnsafeMutablePointer<Atomic<UInt32>>
    private let completionFlags: UnsafeMutablePointer<Atomic<UInt32>>

    /// Makes a ring that is not enabled yet.
    ///
    /// - Parameter capacity: how many requests can be prepared at once; rounded up to a power of two.
    /// - Parameter completionCapacity: how many requests are in flight at most.
    /// - Throws: when the kernel has no io_uring, or forbids it to this process.
    public init(capacity: Int, completionCapacity: Int) throws(SystemError) {
        precondition(capacity > 0 && capacity <= 4096 && completionCapacity >= capacity && completionCapacity <= 65536)
        var parameters = io_uring_params()
        // One thread uses the ring and asks for its results: no interrupts sent to it, no locks, batched work (6.1).
        parameters.flags =
            WAFER_URING_SETUP_CQSIZE | WAFER_URING_SETUP_CLAMP | WAFER_URING_SETUP_R_DISABLED
            | WAFER_URING_SETUP_SUBMIT_ALL | WAFER_URING_SETUP_SINGLE_ISSUER | WAFER_URING_SETUP_DEFER_TASKRUN
            | WAFER_URING_SETUP_TASKRUN_FLAG
        parameters.cq_entries = UInt32(completionCapacity)
        descriptor = Descriptor(
            adopting: try retrying("set up io_uring") {
                unsafe wafer_uring_setup(UInt32(capacity), &parameters)
            })
        // All older than 6.1: one mapping for both rings, no lost completions, arguments copied at submission.
        let needed = UInt32(IORING_FEAT_SINGLE_MMAP | IORING_FEAT_NODROP | IORING_FEAT_SUBMIT_STABLE)
        guard parameters.features & needed == needed else {
            throw SystemError(number: ENOSYS, operation: "set up io_uring")
        }
        operations = try Self.probe(descriptor.raw)

        let submissions = parameters.sq_off
        let results = parameters.cq_off
        let ringsCount = max(
            Int(submissions.array) + Int(parameters.sq_entries) * 4,
            Int(results.cqes) + Int(parameters.cq_entries) * MemoryLayout<wafer_uring_completion>.stride)
        rings = try Mapping(
            sharing: descriptor.raw, offset: Int(WAFER_URING_OFFSET_SUBMISSIONS), count: ringsCount, populate: true,
            "io_uring queues")
        entriesMapping = try Mapping(
            sharing: descriptor.raw, offset: Int(WAFER_URING_OFFSET_ENTRIES),
            count: Int(parameters.sq_entries) * MemoryLayout<wafer_uring_submission>.stride, populate: true,
            "io_uring entries")

        // The kernel told the offsets for mappings of just these sizes, and keeps its words 4-byte aligned.
        let base = unsafe rings.base
        func word(_ offset: UInt32) -> UnsafeMutablePointer<Atomic<UInt32>> {
            unsafe (base + Int(offset)).assumingMemoryBound(to: Atomic<UInt32>.self)
        }
        unsafe submissionHead = word(submissions.head)
        unsafe submissionTail = word(submissions.tail)
        unsafe submissionFlags = word(submissions.flags)
        unsafe completionHead = word(results.head)
        unsafe completionTail = word(results.tail)
        unsafe completionFlags = word(results.flags)
        self.capacity = parameters.sq_entries
        completionMask = parameters.cq_entries &- 1
        unsafe entries = entriesMapping.base.assumingMemoryBound(to: wafer_uring_submission.self)
        unsafe completions = (base + Int(results.cqes)).assumingMemoryBound(to: wafer_uring_completion.self)
        // The index array stays the identity: entry n is always announced in place n.
        let array = unsafe (base + Int(submissions.array)).assumingMemoryBound(to: UInt32.self)
        for index in 0..<parameters.sq_entries { unsafe array[Int(index)] = index }
        unsafe state = .allocate(capacity: 1)
        unsafe state.initialize(to: State())
    }

    deinit { unsafe state.deallocate() }

    private static func probe(_ ring: CInt) throws(SystemError) -> [4 of UInt64] {
        // struct io_uring_probe: 16 bytes, then an io_uring_probe_op of 8 bytes for each operation.
        var known: [4 of UInt64] = [0, 0, 0, 0]
        var bytes = [UInt64](repeating: 0, count: 2 + 256)
        try retrying("probe io_uring") {
            unsafe wafer_uring_register(ring, UInt32(IORING_REGISTER_PROBE), &bytes, 256)
        }
        for entry in bytes.dropFirst(2) where entry >> 16 & UInt64(IO_URING_OP_SUPPORTED) != 0 {
            let code = UInt8(truncatingIfNeeded: entry)
            known[Int(code >> 6)] |= 1 << UInt64(code & 63)
        }
        return known
    }

    /// Whether the kernel knows an operation.
    public func supports(_ operation: IORingOperation) -> Bool {
        operations[Int(operation.code >> 6)] & 1 << UInt64(operation.code & 63) != 0
    }

    /// The descriptor's number, borrowed.
    public var raw: CInt { descriptor.raw }

    /// Makes the calling thread the ring's owner. Calls after the first do nothing.
    public func enable() throws(SystemError) {
        if unsafe state.pointee.isEnabled { return }
        try unsafe register(UInt32(IORING_REGISTER_ENABLE_RINGS), nil, 0, "enable io_uring")
        unsafe state.pointee.isEnabled = true
    }

    func register(
        _ operation: UInt32, _ argument: UnsafeMutableRawPointer?, _ count: UInt32, _ what: String
    ) throws(SystemError) {
        let raw = descriptor.raw
        try retrying(what) { unsafe wafer_uring_register(raw, operation, argument, count) }
    }

    // MARK: Submitting

    /// How many requests are prepared and not yet with the kernel.
    @inline(__always) public var preparedCount: UInt32 {
        unsafe state.pointee.prepared &- submissionHead.pointee.load(ordering: .acquiring)
    }

    /// The next free entry, or nil when `submit` is due.
    @inline(__always) func nextEntry() -> UnsafeMutablePointer<wafer_uring_submission>? {
        // The kernel moves the head when it has copied an entry.
        if preparedCount >= capacity { return nil }
        let index = unsafe state.pointee.prepared & (capacity &- 1)
        unsafe state.pointee.prepared &+= 1
        return unsafe entries + Int(index)
    }

    /// Hands everything prepared to the kernel, lets it finish what is due, and, if asked, waits for results.
    ///
    /// - Parameter waitFor: sleep until this many completions can be taken.
    /// - Returns: how many requests the kernel took. It takes fewer than prepared when it is short of memory or results
    ///   must be taken first; the rest stays prepared.
    /// - Throws: what else is wrong with the ring. `EAGAIN` and `EBUSY` are not thrown; they read as zero.
    @discardableResult
    public func submit(waitFor: UInt32 = 0) throws(SystemError) -> UInt32 {
        // Releasing: the kernel sees the filled entries before it sees the new tail.
        unsafe submissionTail.pointee.store(state.pointee.prepared, ordering: .releasing)
        let result = enter(submit: preparedCount, wait: waitFor)
        if result >= 0 { return UInt32(result) }
        if result == -EAGAIN || result == -EBUSY || result == -EINTR { return 0 }
        throw SystemError(number: -result, operation: "submit to io_uring")
    }

    /// The system call; its result or the negated error. An interrupted wait that took nothing gives `-EINTR`.
    private func enter(submit: UInt32, wait: UInt32) -> CInt {
        while true {
            let result = wafer_uring_enter(descriptor.raw, submit, wait, WAFER_URING_ENTER_GETEVENTS)
            if result >= 0 { return result }
            let number = wafer_errno()
            if number != EINTR || wait > 0 { return -number }
        }
    }

    /// Whether a `submit` would bring completions that the kernel holds back until it is called.
    @inline(__always) public var hasDeferredWork: Bool {
        let flags = unsafe submissionFlags.pointee.load(ordering: .relaxed)
        return flags & (WAFER_URING_SQ_TASKRUN | WAFER_URING_SQ_CQ_OVERFLOW) != 0
    }

    // MARK: Results

    /// Whether a completion can be taken without a system call.
    @inline(__always) public var hasCompletions: Bool {
        unsafe completionTail.pointee.load(ordering: .acquiring) != state.pointee.taken
    }

    /// Takes the oldest completion.
    @inline(__always) public func nextCompletion() -> Completion? {
        let taken = unsafe state.pointee.taken
        // Acquiring: the entry was written before the tail moved.
        guard unsafe completionTail.pointee.load(ordering: .acquiring) != taken else { return nil }
        let entry = unsafe completions[Int(taken & completionMask)]
        unsafe state.pointee.taken = taken &+ 1
        // Releasing: the kernel may write the place again only after the copy above.
        unsafe completionHead.pointee.store(taken &+ 1, ordering: .releasing)
        return Completion(userData: entry.user_data, result: entry.result)
    }

    // MARK: Completion events

    /// Switches the signals of a registered event off, while completions are looked for anyway.
    public func disableEvent() {
        unsafe completionFlags.pointee.store(WAFER_URING_CQ_EVENTFD_DISABLED, ordering: .relaxed)
    }

    /// Switches them on again.
    ///
    /// - Returns: true if something came up already, for which there may be no signal.
    public func enableEvent() -> Bool {
        unsafe completionFlags.pointee.store(0, ordering: .relaxed)
        // The kernel does the opposite: it first tells, then looks whether to signal.
        atomicMemoryFence(ordering: .sequentiallyConsistent)
        return hasCompletions || hasDeferredWork
    }
}
