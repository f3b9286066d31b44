import DeviceModel
import GuestMemory
import Linux
import Synchronization

/// The I/O queues that one loop serves, with a queue of its own to each namespace's disk.
///
/// Commands go from the rings to the disks in batches: everything the driver offered by the time is submitted with one
/// commit, and what completes together interrupts once.
@safe final class NVMeQueueGroup: EventHandler, @unchecked Sendable {
    // @unchecked: the state belongs to the loop's thread (without a loop, to whoever calls); the rest is immutable.

    /// A namespace's disk as this group sees it; tells the group what the disk has done.
    final class Disk: BlockClient, @unchecked Sendable {  // belongs to the loop's thread
        let queue: any BlockQueue
        /// The logical block's size is two to the power of this.
        let blockShift: UInt64
        let canDiscard: Bool
        private unowned(unsafe) let group: NVMeQueueGroup
        /// Requests were submitted and not committed.
        var isDirty = false

        init(_ queue: any BlockQueue, _ geometry: BlockGeometry, _ group: NVMeQueueGroup) {
            self.queue = queue
            blockShift = UInt64(geometry.logicalBlock.trailingZeroBitCount)
            canDiscard = geometry.canDiscard
            // The group owns this object and closes the disk's queue before it goes.
            unsafe self.group = group
            super.init()
            queue.attach(self)
        }

        override func blockRequestDone(_ tag: UInt32, _ status: BlockStatus) {
            unsafe group.requestDone(Int(truncatingIfNeeded: tag), status)
        }
        override func blockBatchDone() { unsafe group.batchDone() }
        override func blockBatchesDone() { unsafe group.notify() }
    }

    /// Longest transfer in bytes.
    static let transferMax = 1 << 20
    /// Commands that need no disk, before other handlers of the loop get a turn.
    static let immediateMax = 64
    /// The tag of a request that belongs to no command.
    private static let ownTag = UInt32.max

    let loop: EventLoop?
    /// Signalled when a driver has put something into one of the queues.
    let event: EventFD
    let ram: GuestRAM
    let shared: NVMeShared
    let depth: Int
    let slots: UnsafeMutablePointer<NVMeSlot>
    let freeSlots: UnsafeMutablePointer<UInt16>
    /// By queue identifier; only those in `identifiers` (and the completion queues they complete to) are initialised.
    let submissions: UnsafeMutablePointer<NVMeSubmissionQueue>
    let completions: UnsafeMutablePointer<NVMeCompletionQueue>
    let identifiers: UnsafeMutablePointer<UInt16>
    let completionIdentifiers: UnsafeMutablePointer<UInt16>
    let disks: UnsafeMutablePointer<Unmanaged<Disk>>
    let diskCount: Int
    private let ownedDisks: Ownership

    /// What the controller does for its groups.
    protocol Owner: AnyObject {
        /// Works out the INTx wire's level. From any thread.
        func updateWire()
        /// A queue's doorbell holds an index outside the queue. On a group's thread.
        func doorbellFault(_ queue: UInt16)
        /// Something of the host failed. On the control thread.
        func failed(_ reason: String)
    }

    /// Set once before the guest runs.
    unowned(unsafe) var owner: (any Owner)?

    /// Keeps the disks alive, set once.
    private final class Ownership { var disks: [Disk] = [] }

    var queueCount = 0
    var completionQueueCount = 0
    var firstQueue = 0
    var made = 0
    var free = 0
    var isRunning = false
    private var isWatching = false
    var isProcessing = false
    /// There may be commands for which there was no free slot.
    var isStarved = false
    var isPolled = false

    /// - Parameters:
    ///   - queuesMax: how many I/O queues the controller has at most.
    ///   - depth: how many commands of the group are in flight at most.
    init(
        _ backends: [any BlockBackend], loop: EventLoop?, ram: GuestRAM, shared: NVMeShared, event: EventFD,
        queuesMax: Int, depth: Int
    ) throws(SystemError) {
        self.loop = loop
        self.ram = ram
        self.shared = shared
        self.event = event
        self.depth = depth
        unsafe slots = .allocate(capacity: depth)
        unsafe freeSlots = .allocate(capacity: depth)
        unsafe submissions = .allocate(capacity: queuesMax + 1)
        unsafe completions = .allocate(capacity: queuesMax + 1)
        unsafe identifiers = .allocate(capacity: queuesMax)
        unsafe completionIdentifiers = .allocate(capacity: queuesMax)
        diskCount = backends.count
        unsafe disks = .allocate(capacity: backends.count)
        ownedDisks = Ownership()
        super.init()
        for (index, backend) in backends.enumerated() {
            let disk = Disk(try backend.makeQueue(on: loop, depth: depth), backend.geometry, self)
            ownedDisks.disks.append(disk)
            unsafe (disks + index).initialize(to: .passUnretained(disk))
        }
    }

    deinit {
        unsafe slots.deinitialize(count: made)
        unsafe slots.deallocate()
        unsafe freeSlots.deallocate()
        unsafe submissions.deallocate()
        unsafe completions.deallocate()
        unsafe identifiers.deallocate()
        unsafe completionIdentifiers.deallocate()
        unsafe disks.deallocate()
    }

    /// What each namespace's queue has done. Readable from any thread.
    var counters: [BlockCounters] { ownedDisks.disks.map(\.queue.counters) }

    /// Runs on the group's thread and waits.
    func onLoop(_ work: @escaping @Sendable () -> Void) {
        if let loop { loop.performAndWait(work) } else { work() }
    }

    /// Adds a submission queue and serves it from now on. From the control thread; waits.
    ///
    /// - Returns: why it cannot be served; nil if it is.
    func add(_ queue: NVMeSubmissionQueue, started identifier: UInt16) -> SystemError? {
        let failure = Failure()
        onLoop {
            self.add(queue, identifier)
            do throws(SystemError) { try self.start() } catch { failure.error.withLock { $0 = error } }
        }
        return failure.error.withLock { $0 }
    }

    private final class Failure: Sendable { let error = Mutex<SystemError?>(nil) }

    // MARK: Running (on the loop's thread)

    /// Begins to serve the queues that there are.
    func start() throws(SystemError) {
        guard !isRunning else { return serve() }
        if let loop {
            try loop.watch(event.raw, for: [.readable, .edgeTriggered], self)
            isWatching = true
            loop.addPoller(self)
        }
        for disk in ownedDisks.disks { try disk.queue.resume() }
        isRunning = true
        serve()
    }

    /// Stops with nothing in flight but what waits for an answer because the storage is full.
    func stop() {
        isRunning = false
        if isWatching {
            loop?.removePoller(self)
            loop?.unwatch(event.raw)
            isWatching = false
        }
        for disk in ownedDisks.disks {
            disk.queue.suspend()
            disk.isDirty = false
        }
        isStarved = false
        notify()
    }

    /// Forgets all queues and commands: the controller is reset. Only while stopped.
    func removeAll() {
        for disk in ownedDisks.disks { disk.queue.abandonWaiting() }
        for index in 0..<made {
            unsafe slots[index].isInFlight = false
            unsafe freeSlots[index] = UInt16(truncatingIfNeeded: index)
        }
        free = made
        queueCount = 0
        completionQueueCount = 0
        firstQueue = 0
    }

    /// Puts everything that was written on stable storage. Only while stopped.
    func flushDisks() {
        for disk in ownedDisks.disks {
            guard (try? disk.queue.resume()) != nil else { continue }
            _ = disk.queue.submit(BlockRequest(.flush, tag: Self.ownTag))
            disk.queue.commit()
            disk.queue.suspend()
        }
    }

    func close() {
        for disk in ownedDisks.disks { disk.queue.close() }
    }

    // MARK: Queues (on the loop's thread)

    /// - Precondition: there is no completion queue of this identifier.
    func add(_ queue: consuming NVMeCompletionQueue, _ identifier: UInt16) {
        unsafe (completions + Int(identifier)).initialize(to: queue)
        unsafe completionIdentifiers[completionQueueCount] = identifier
        completionQueueCount += 1
    }

    /// - Precondition: no submission queue completes to it.
    func removeCompletionQueue(_ identifier: UInt16) {
        completionQueueCount = unsafe Self.remove(identifier, from: completionIdentifiers, completionQueueCount)
    }

    /// - Precondition: there is no submission queue of this identifier, and its completion queue is here.
    func add(_ queue: consuming NVMeSubmissionQueue, _ identifier: UInt16) {
        let cell = unsafe shared.doorbells.cells + Int(identifier)
        unsafe cell.pointee.tailEvent.store(event.raw, ordering: .relaxed)
        unsafe cell.pointee.isPolled.store(isPolled, ordering: .sequentiallyConsistent)
        unsafe (submissions + Int(identifier)).initialize(to: queue)
        unsafe identifiers[queueCount] = identifier
        queueCount += 1
    }

    /// Removes a queue when all of its commands have ended; those that wait because the storage is full are aborted.
    func removeSubmissionQueue(_ identifier: UInt16) {
        queueCount = unsafe Self.remove(identifier, from: identifiers, queueCount)
        firstQueue = 0
        let queue = unsafe submissions + Int(identifier)
        if unsafe queue.pointee.inFlight > 0 {
            let wasRunning = isRunning
            stop()
            if unsafe queue.pointee.inFlight > 0 { abandonStalled(of: identifier) }
            if wasRunning { try? start() }
        }
    }

    private func abandonStalled(of identifier: UInt16) {
        // The disk cannot forget one request alone: it forgets all, and is asked for the others again.
        for disk in ownedDisks.disks { disk.queue.abandonWaiting() }
        for index in 0..<made where unsafe slots[index].isInFlight {
            if unsafe slots[index].queue == identifier {
                unsafe finish(index, &slots[index], .abortedByQueueDeletion)
                continue
            }
            let disk = unsafe ownedDisks.disks[slots[index].namespace]
            try? disk.queue.resume()
            _ = unsafe disk.queue.submit(slots[index].request)
            disk.isDirty = true
        }
        notify()
    }

    func setShadow(_ shadow: NVMeShadow, submission identifier: UInt16) {
        unsafe submissions[Int(identifier)].shadow = shadow
        serve()
    }

    func setShadow(_ shadow: NVMeShadow, completion identifier: UInt16) {
        unsafe completions[Int(identifier)].shadow = shadow
    }

    private static func remove(
        _ identifier: UInt16, from list: UnsafeMutablePointer<UInt16>, _ count: Int
    ) -> Int {
        for index in 0..<count where unsafe list[index] == identifier {
            unsafe list[index] = list[count - 1]
            return count - 1
        }
        return count
    }

    // MARK: Called by the loop

    /// The doorbell rang.
    override func ready(_ events: Readiness) { serve() }

    override func beginPolling() { setPolled(true) }

    override func poll() -> Bool {
        guard isRunning, !isStarved, hasNext() else { return false }
        serve()
        return true
    }

    override func endPolling() {
        setPolled(false)
        if isRunning && !isStarved && awaitDriver() { serve() }
    }
}
