public import DeviceModel
public import Linux
import Synchronization

/// A disk in memory that can be told to fail, to hold requests back, and to lose its power.
///
/// Like a real disk it has a volatile cache: what was written is lost with the power unless it was flushed or durable.
public final class MemoryBlockBackend: BlockBackend, @unchecked Sendable {
    // @unchecked: a test uses it on one thread, or guards it by the order of its steps.

    /// What to do with a request.
    public enum Verdict {
        case carryOut
        case end(BlockStatus)
        /// Keep it in flight until `releaseHeld`.
        case hold
        /// Keep it in flight as if it waited for an answer: over a suspension, until `releaseStalled`.
        case stall
    }

    private struct CachedWrite {
        var offset: Int
        var bytes: [UInt8]
    }

    public private(set) var geometry: BlockGeometry
    /// What reads see.
    public let bytes: UnsafeMutableRawBufferPointer
    /// Decides about each request when it is submitted.
    public var verdict: ((BlockRequest) -> Verdict)? { didSet { decides = verdict != nil } }
    /// Whether there is a verdict to ask for; the hot-path benchmark must not count the asking.
    fileprivate var decides = false
    /// Operations in the order in which they were carried out.
    public var log: [BlockOperation] = []
    public var keepsLog = false
    public private(set) var queues: [MemoryBlockQueue] = []
    private var observer: (@Sendable (BlockGeometry) -> Void)?

    // The model of the cache; only kept when asked for.
    public let modelsCache: Bool
    private var stable: [UInt8] = []
    private var cached: [CachedWrite] = []

    public init(
        capacity: Int, logicalBlock: UInt32 = 512, identity: String = "memory", isReadOnly: Bool = false,
        modelsCache: Bool = false
    ) {
        geometry = BlockGeometry(capacity: UInt64(capacity), identity: identity)
        geometry.logicalBlock = logicalBlock
        geometry.isReadOnly = isReadOnly
        geometry.canDiscard = !isReadOnly
        bytes = .allocate(byteCount: capacity, alignment: 4096)
        bytes.initializeMemory(as: UInt8.self, repeating: 0)
        self.modelsCache = modelsCache
        if modelsCache { stable = [UInt8](repeating: 0, count: capacity) }
    }

    deinit { bytes.deallocate() }

    public func makeQueue(on loop: EventLoop?, depth: Int) throws(SystemError) -> any BlockQueue {
        let queue = MemoryBlockQueue(self, depth: depth)
        queues.append(queue)
        return queue
    }

    func forget(_ queue: MemoryBlockQueue) { queues.removeAll { $0 === queue } }

    public func observeGeometry(_ changed: (@Sendable (BlockGeometry) -> Void)?) { observer = changed }

    /// Changes the size that the disk tells, up to what was allocated.
    public func resize(to capacity: Int) {
        precondition(capacity <= bytes.count)
        geometry.capacity = UInt64(capacity)
        observer?(geometry)
    }

    /// What the disk holds after a power cut: everything flushed, and of the rest what `survives` says.
    public func contentsAfterPowerCut(_ survives: () -> Bool) -> [UInt8] {
        precondition(modelsCache)
        var contents = stable
        for write in cached where survives() {
            contents.replaceSubrange(write.offset..<write.offset + write.bytes.count, with: write.bytes)
        }
        return contents
    }

    // MARK: Carrying out

    func refusal(_ request: BlockRequest) -> BlockStatus? {
        if request.operation == .flush { return nil }
        if geometry.isReadOnly && request.operation != .read { return .readOnly }
        let (end, overflow) = request.offset.addingReportingOverflow(request.count)
        let mask = UInt64(geometry.logicalBlock) - 1
        if overflow || end > geometry.capacity || (request.offset | request.count) & mask != 0 { return .outOfRange }
        return nil
    }

    func carryOut(_ request: BlockRequest) -> BlockStatus {
        if let status = refusal(request) { return status }
        if keepsLog { log.append(request.operation) }
        switch request.operation {
        case .read, .write: transfer(request)
        case .flush: settleCache()
        case .discard: break
        case .writeZeroes:
            let start = Int(request.offset)
            let range = start..<start + Int(request.count)
            bytes[range].initializeMemory(as: UInt8.self, repeating: 0)
            remember(range, request.options)
        }
        return .done
    }

    private func transfer(_ request: BlockRequest) {
        guard let segments = request.segments, let base = bytes.baseAddress else { return }
        var at = Int(request.offset)
        let start = at
        let end = at + Int(request.count)
        for index in 0..<request.segmentCount {
            let segment = segments[index]
            guard let memory = segment.base, segment.count <= end - at else { return }
            if request.operation == .read {
                memory.copyMemory(from: base + at, byteCount: segment.count)
            } else {
                (base + at).copyMemory(from: memory, byteCount: segment.count)
            }
            at += segment.count
        }
        if request.operation == .write { remember(start..<at, request.options) }
    }

    private func remember(_ range: Range<Int>, _ options: BlockOptions) {
        guard modelsCache else { return }
        guard options.contains(.durable) else {
            cached.append(CachedWrite(offset: range.lowerBound, bytes: Array(bytes[range])))
            return
        }
        stable.replaceSubrange(range, with: bytes[range])
        // What is stable now cannot be undone by what was cached before.
        for index in cached.indices {
            let start = cached[index].offset
            let overlap = range.clamped(to: start..<start + cached[index].bytes.count)
            guard !overlap.isEmpty else { continue }
            cached[index].bytes.replaceSubrange(
                overlap.lowerBound - start..<overlap.upperBound - start, with: bytes[overlap])
        }
    }

    private func settleCache() {
        guard modelsCache else { return }
        stable = Array(bytes)
        cached = []
    }
}

/// A queue of a disk in memory: works at `commit`, on the thread that calls it.
///
/// Requests lie in plain memory and the client is not counted, so that the hot-path benchmark sees the device alone.
public final class MemoryBlockQueue: BlockQueue {
    public let depth: Int
    public let counters = BlockCounters()
    private let backend: MemoryBlockBackend
    private var client: Unmanaged<BlockClient>?
    private let pending: UnsafeMutablePointer<BlockRequest>
    /// Where the oldest of the pending ones is; they go round.
    private var pendingHead = 0
    private var pendingCount = 0
    private var held: [BlockRequest] = []
    private var stalled: [BlockRequest] = []
    private var isCommitting = false
    public private(set) var isSuspended = true
    public private(set) var isClosed = false

    init(_ backend: MemoryBlockBackend, depth: Int) {
        self.backend = backend
        self.depth = depth
        pending = .allocate(capacity: depth)
    }

    deinit { pending.deallocate() }

    public func attach(_ client: BlockClient) { self.client = .passUnretained(client) }
    public func resume() throws(SystemError) { isSuspended = false }

    public func submit(_ request: BlockRequest) -> Bool {
        precondition(!isSuspended && !isClosed, "a request to a suspended queue")
        if pendingCount + held.count + stalled.count >= depth { return false }
        pending[(pendingHead + pendingCount) % depth] = request
        pendingCount += 1
        return true
    }

    public func commit() {
        if isCommitting { return }
        isCommitting = true
        while pendingCount > 0 {
            // The client may submit more meanwhile: what is there now is a batch.
            var delivered = 0
            for _ in 0..<pendingCount {
                let request = pending[pendingHead]
                pendingHead = (pendingHead + 1) % depth
                pendingCount -= 1
                switch backend.decides ? backend.verdict?(request) ?? .carryOut : .carryOut {
                case .hold: held.append(request)
                case .stall: stalled.append(request)
                case .end(let status): deliver(request, status, &delivered)
                case .carryOut: deliver(request, backend.carryOut(request), &delivered)
                }
            }
            if delivered > 0 { client?._withUnsafeGuaranteedRef { $0.blockBatchDone() } }
        }
        client?._withUnsafeGuaranteedRef { $0.blockBatchesDone() }
        isCommitting = false
    }

    private func deliver(_ request: BlockRequest, _ status: BlockStatus, _ delivered: inout Int) {
        counters.count(request.operation, status, bytes: request.count, nanoseconds: 0)
        delivered += 1
        client?._withUnsafeGuaranteedRef { $0.blockRequestDone(request.tag, status) }
    }

    /// How many requests are held back.
    public var heldCount: Int { held.count }

    /// Carries out what was held back, the newest first if asked.
    public func releaseHeld(reversed: Bool = false) {
        let requests = reversed ? held.reversed() : held
        held = []
        var delivered = 0
        for request in requests { deliver(request, backend.carryOut(request), &delivered) }
        if delivered > 0 { client?._withUnsafeGuaranteedRef { $0.blockBatchDone() } }
        commit()
    }

    /// How many requests wait for an answer.
    public var stalledCount: Int { stalled.count }

    /// Carries out what waited for an answer.
    public func releaseStalled() {
        held += stalled
        stalled = []
        releaseHeld()
    }

    public func suspend() -> Int {
        releaseHeld()
        isSuspended = true
        return stalled.count
    }

    public func abandonWaiting() { stalled = [] }

    public func close() {
        isClosed = true
        pendingCount = 0
        held = []
        stalled = []
        client = nil
        backend.forget(self)
    }
}
