import DeviceModel
import Linux
import Synchronization

/// One queue of a disk on files: a ring, the slots of the requests in flight, and what they need.
///
/// Everything is allocated at the start and reached through pointers; the path of a request neither allocates nor
/// retains. `submit` prepares ring entries, `pump` hands them over, takes results and tells the client.
@safe final class FileBlockQueue: EventHandler, BlockQueue, @unchecked Sendable {
    // @unchecked: belongs to the loop's thread.

    /// A file as the ring sees it.
    @safe struct File: BitwiseCopyable {
        /// Kept alive by the queue's layout.
        var owner: Unmanaged<BlockFile>
        var main: IORingFile
        var unaligned: IORingFile?
        var memoryMask: UInt
        var offsetMask: UInt64
        var size: UInt64
        var isWritable: Bool
        /// What fallocate on a device wants its range to be made of; 1 for files.
        var allocationBlock: UInt64

        /// A write goes through the page cache.
        func noteCachedWrite() {
            unsafe owner._withUnsafeGuaranteedRef { $0.hasCachedWrites.store(true, ordering: .relaxed) }
        }
    }

    /// What changes from request to request.
    @safe struct State {
        var free = SlotList()
        /// Ended, not yet delivered.
        var finished = SlotList()
        /// Wait for a bounce buffer or for room in the ring.
        var waiting = SlotList()
        /// Wait for the answer to a question.
        var stalled = SlotList()
        var inFlight = 0
        /// Operations prepared or with the kernel.
        var operations = 0
        var vectorsUsed = 0
        /// A bit for each free bounce buffer.
        var freeBounces: UInt32 = .max
        /// The clock is read once a batch, not once a request.
        var now: UInt64 = 0
        var isNowStale = true
        var isPumping = false
        var isSuspended = true
        var isWatched = false
        /// The loop looks into the ring by itself.
        var isPolled = false
        /// An answer that came while suspended.
        var answer: BlockAnswer?
        var isClosed = false
        var client: Unmanaged<BlockClient>?
        // The layout. Replaced when the disk grows, between batches.
        var entries: UnsafeMutableBufferPointer<DiskLayout.Entry>
        var files: UnsafeMutableBufferPointer<File>
        var capacity: UInt64
    }

    /// How many scattered stretches one operation can have (the kernel's UIO_MAXIOV).
    static let vectorsMax = 1024
    /// Room for vectors that are made here, until the next submission.
    static let vectorPool = 4 * vectorsMax
    static let bounceCount = 32
    static let bounceSize = 64 << 10
    /// Length of the shared zeros.
    static let zerosSize = 64 << 10
    /// Rounds of submitting and reaping before other handlers of the loop get a turn.
    static let roundsMax = 64
    /// Rounds without an interrupt for what they brought.
    static let quietRoundsMax = 4

    let backend: FileBlockBackend
    private let loop: EventLoop?
    /// Signalled by the kernel when there are results and the loop sleeps.
    private let event: EventFD?
    let depth: Int
    let counters = BlockCounters()
    let isReadOnly: Bool
    let blockMask: UInt64
    let discards: Bool
    let isWriteThrough: Bool
    let ring: IORing
    let slots: UnsafeMutablePointer<RequestSlot>
    let state: UnsafeMutablePointer<State>
    let vectors: UnsafeMutablePointer<IOVector>
    /// Pages of it come into being when a bounce buffer is first used.
    let bounces: Mapping
    /// Never written, so it is the kernel's one page of zeros.
    let zeros: Mapping

    /// Owns the files.
    private var layout: DiskLayout

    init(_ backend: FileBlockBackend, _ layout: DiskLayout, on loop: EventLoop?, depth: Int) throws(SystemError) {
        precondition(depth >= 1 && depth <= 4096, "a block queue has 1 to 4096 requests in flight")
        self.backend = backend
        self.loop = loop
        self.depth = depth
        isReadOnly = backend.options.isReadOnly
        blockMask = UInt64(backend.options.logicalBlock) - 1
        discards = backend.options.discards
        isWriteThrough = backend.options.isWriteThrough
        // A slot has one operation with the ring at most: the ring is never full.
        ring = try IORing(capacity: depth, completionCapacity: 2 * depth)
        event = loop == nil ? nil : try EventFD()
        if let event { try ring.registerEvent(event) }
        bounces = try Mapping(anonymous: Self.bounceCount * Self.bounceSize, "bounce buffers")
        zeros = try Mapping(anonymous: Self.zerosSize, "zeros")
        unsafe slots = .allocate(capacity: depth)
        unsafe vectors = .allocate(capacity: Self.vectorPool)
        self.layout = layout
        let files = Self.files(layout, registered: Self.register(layout, ring))
        unsafe state = .allocate(capacity: 1)
        unsafe state.initialize(
            to: State(entries: Self.copy(layout.entries), files: Self.copy(files), capacity: layout.capacity))
        super.init()
        let none = BlockRequest(.flush, tag: 0)
        for index in 0..<depth {
            unsafe (slots + index).initialize(to: RequestSlot(none, submitted: 0))
            unsafe state.pointee.free.append(Int32(index), slots)
        }
    }

    deinit {
        unsafe state.pointee.entries.deallocate()
        unsafe state.pointee.files.deallocate()
        unsafe state.deallocate()
        unsafe slots.deallocate()
        unsafe vectors.deallocate()
    }

    private static func copy<T>(_ values: [T]) -> UnsafeMutableBufferPointer<T> {
        let copy = UnsafeMutableBufferPointer<T>.allocate(capacity: values.count)
        _ = unsafe copy.initialize(from: values)
        return unsafe copy
    }

    /// Gives the ring the files, so that it need not look descriptors up for each request.
    ///
    /// - Returns: how many of the layout's files it took: all or none.
    private static func register(_ layout: DiskLayout, _ ring: IORing) -> Int {
        var table: [CInt] = []
        for file in layout.files {
            table.append(file.main.raw)
            table.append(file.unalignedRaw ?? -1)
        }
        do {
            try ring.registerFiles(table)
            return layout.files.count
        } catch {
            return 0  // over a limit: plain descriptors do as well
        }
    }

    private static func files(_ layout: DiskLayout, registered: Int) -> [File] {
        layout.files.enumerated().map { index, file in
            let isRegistered = index < registered
            let unaligned = file.unalignedRaw
            return unsafe File(
                owner: .passUnretained(file), main: isRegistered ? .registered(2 * index) : .descriptor(file.main.raw),
                unaligned: unaligned.map { isRegistered ? .registered(2 * index + 1) : .descriptor($0) },
                memoryMask: file.memoryMask, offsetMask: file.offsetMask, size: file.size,
                isWritable: file.isWritable,
                allocationBlock: file.isBlockDevice ? UInt64(max(file.blockSize, 1)) : 1)
        }
    }

    /// Goes over to a larger layout with the same files first.
    func use(_ layout: DiskLayout) {
        let old = unsafe state.pointee.files
        var files = Self.files(layout, registered: 0)
        for index in old.indices { unsafe files[index] = old[index] }  // known to the ring
        unsafe state.pointee.entries.deallocate()
        unsafe old.deallocate()
        unsafe state.pointee.entries = Self.copy(layout.entries)
        unsafe state.pointee.files = Self.copy(files)
        unsafe state.pointee.capacity = layout.capacity
        self.layout = layout
    }

    // MARK: Threads

    /// Runs on the queue's thread and waits.
    func onLoop(_ work: @escaping @Sendable () -> Void) {
        if let loop { loop.performAndWait(work) } else { work() }
    }

    /// Runs on the queue's thread soon.
    func soonOnLoop(_ work: @escaping @Sendable () -> Void) {
        if let loop { loop.perform(work) } else { work() }
    }

    // MARK: BlockQueue

    func attach(_ client: BlockClient) { unsafe state.pointee.client = .passUnretained(client) }

    func submit(_ request: BlockRequest) -> Bool {
        guard let index = unsafe state.pointee.free.removeFirst(slots) else { return false }
        if unsafe state.pointee.isNowStale { readClock() }
        unsafe state.pointee.inFlight &+= 1
        let slot = unsafe slots + Int(index)
        unsafe slot.pointee = RequestSlot(request, submitted: state.pointee.now)
        if isWriteThrough { unsafe slot.pointee.request.options.insert(.durable) }
        if let status = unsafe refusal(slot) { finish(index, status) } else { step(index) }
        return true
    }

    func commit() { pump(poll: loop == nil) }

    func resume() throws(SystemError) {
        if unsafe state.pointee.isClosed { return }
        try ring.enable()
        if let loop, let event, unsafe !state.pointee.isWatched {
            // Edge-triggered: the count need not be read.
            try loop.watch(event.raw, for: [.readable, .edgeTriggered], self)
            unsafe state.pointee.isWatched = true
        }
        if unsafe state.pointee.isSuspended { loop?.addPoller(self) }
        unsafe state.pointee.isSuspended = false
        if let answer = unsafe state.pointee.answer {
            unsafe state.pointee.answer = nil
            answered(answer)
        }
    }

    func suspend() -> Int {
        precondition(unsafe !state.pointee.isPumping, "a block queue is suspended from outside its callbacks")
        while unsafe state.pointee.inFlight > 0 {
            pump(poll: true)
            if unsafe state.pointee.operations == 0 && state.pointee.finished.isEmpty && state.pointee.waiting.isEmpty {
                break  // what is left waits for an answer
            }
            if unsafe state.pointee.operations > 0 { submitToRing(waitFor: 1) }
        }
        loop?.removePoller(self)
        unsafe state.pointee.isSuspended = true
        return unsafe state.pointee.inFlight
    }

    func abandonWaiting() {
        unsafe state.pointee.answer = nil
        var count = 0
        while let index = unsafe state.pointee.stalled.removeFirst(slots) {
            unsafe state.pointee.inFlight &-= 1
            unsafe state.pointee.free.append(index, slots)
            count += 1
        }
        backend.abandoned(count)
    }

    func close() {
        if unsafe state.pointee.isClosed { return }
        unsafe state.pointee.isClosed = true
        unsafe state.pointee.client = nil
        // The kernel may still write to guest memory: wait for it.
        while unsafe state.pointee.operations > 0 {
            submitToRing(waitFor: 1)
            while ring.nextCompletion() != nil { unsafe state.pointee.operations &-= 1 }
        }
        loop?.removePoller(self)
        if let event, unsafe state.pointee.isWatched { loop?.unwatch(event.raw) }
        backend.remove(self)
    }

    // MARK: Working off

    /// The kernel has results.
    override func ready(_ events: Readiness) { pump(poll: false) }

    override func beginPolling() {
        ring.disableEvent()
        unsafe state.pointee.isPolled = true
    }

    override func poll() -> Bool {
        guard ring.hasDeferredWork || ring.hasCompletions else { return false }
        pump(poll: false)
        return true
    }

    override func endPolling() {
        unsafe state.pointee.isPolled = false
        if ring.enableEvent() { pump(poll: false) }
    }

    /// Submits, takes results and delivers, until nothing is left to do now.
    ///
    /// - Parameter poll: call the kernel even if there is nothing to submit; it may hold results back.
    private func pump(poll: Bool) {
        if unsafe state.pointee.isPumping || state.pointee.isSuspended || state.pointee.isClosed { return }
        unsafe state.pointee.isPumping = true
        ring.disableEvent()
        var rounds = 0
        var poll = poll
        while true {
            if poll || ring.preparedCount > 0 || ring.hasDeferredWork {
                submitToRing(waitFor: 0)
                poll = false
            }
            let isReaping = ring.hasCompletions
            if isReaping { reap() }
            retryWaiting()
            let isDelivering = unsafe !state.pointee.finished.isEmpty
            if isDelivering { deliver() }
            if unsafe state.pointee.isClosed { return }
            if isReaping || isDelivering || ring.preparedCount > 0 {
                rounds &+= 1
                if rounds % Self.quietRoundsMax == 0 { settle() }
                if rounds < Self.roundsMax { continue }
                // Others get their turn; or the kernel, short of memory, its time.
                _ = ring.enableEvent()
                loop?.perform { self.pump(poll: true) }
                break
            }
            // The guest is interrupted last: it may find more done than what the first completion would have brought it,
            // and it does not compete with us for the memory of its ring meanwhile.
            settle()
            if unsafe state.pointee.isClosed { return }
            if unsafe state.pointee.isPolled || !ring.enableEvent() { break }
            ring.disableEvent()
        }
        unsafe state.pointee.isPumping = false
        unsafe state.pointee.isNowStale = true
    }

    private func settle() {
        unsafe state.pointee.client?._withUnsafeGuaranteedRef { $0.blockBatchesDone() }
    }

    private func submitToRing(waitFor: UInt32) {
        do throws(SystemError) {
            try ring.submit(waitFor: waitFor)
        } catch {
            // Not a failed request: the ring itself is unusable, and what it holds may or may not have happened.
            preconditionFailure("\(error)")
        }
        // The kernel has copied the vectors of what it took.
        if ring.preparedCount == 0 { unsafe state.pointee.vectorsUsed = 0 }
    }

    /// Makes room for vectors by submitting early. False if the kernel takes nothing now.
    func makeRoom() -> Bool {
        submitToRing(waitFor: 0)
        return ring.preparedCount == 0
    }

    private func reap() {
        readClock()
        while let completion = ring.nextCompletion() {
            unsafe state.pointee.operations &-= 1
            let index = Int32(truncatingIfNeeded: completion.userData)
            completed(index, completion.result)
        }
    }

    /// Gives slots that waited for a buffer or for room another try, oldest first.
    private func retryWaiting() {
        var list = unsafe state.pointee.waiting
        if list.isEmpty { return }
        unsafe state.pointee.waiting = SlotList()
        while let index = unsafe list.removeFirst(slots) { step(index) }
    }

    private func deliver() {
        let client = unsafe state.pointee.client
        while let index = unsafe state.pointee.finished.removeFirst(slots) {
            let tag = unsafe slots[Int(index)].request.tag
            let status = unsafe slots[Int(index)].status
            unsafe state.pointee.inFlight &-= 1
            unsafe state.pointee.free.append(index, slots)
            unsafe client?._withUnsafeGuaranteedRef { $0.blockRequestDone(tag, status) }
            if unsafe state.pointee.isClosed { return }
        }
        unsafe client?._withUnsafeGuaranteedRef { $0.blockBatchDone() }
    }

    @inline(__always) private func readClock() {
        unsafe state.pointee.now = monotonicNanoseconds()
        unsafe state.pointee.isNowStale = false
    }

    /// The slot's request ended; the client hears of it at the next delivery.
    func finish(_ index: Int32, _ status: BlockStatus) {
        let slot = unsafe slots + Int(index)
        unsafe slot.pointee.status = status
        unsafe counters.count(
            slot.pointee.request.operation, status, bytes: slot.pointee.request.count,
            nanoseconds: state.pointee.now &- slot.pointee.submitted)
        unsafe state.pointee.finished.append(index, slots)
    }

    /// Carries on after a question was answered.
    func answered(_ answer: BlockAnswer) {
        if unsafe state.pointee.isClosed { return }
        if unsafe state.pointee.isSuspended {
            unsafe state.pointee.answer = answer
            return
        }
        readClock()
        var list = unsafe state.pointee.stalled
        unsafe state.pointee.stalled = SlotList()
        while let index = unsafe list.removeFirst(slots) {
            backend.released(1)
            switch answer {
            case .retry: step(index)
            case .fail: finish(index, unsafe slots[Int(index)].status)
            }
        }
        pump(poll: false)
    }
}
