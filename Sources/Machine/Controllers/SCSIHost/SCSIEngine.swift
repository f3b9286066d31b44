import DeviceModel
import GuestMemory
import Linux
import Synchronization

/// What is behind a SCSI host adapter: its targets, and the commands they are working on. PVSCSI, Fusion MPT and
/// virtio-scsi are ways for a driver to hand these commands over, and subclass it.
///
/// Everything is worked off on one loop. Commands go to the disks in batches: what the driver offered by the time is
/// submitted with one commit, and what ends together interrupts once.
@safe class SCSIEngine: EventHandler, @unchecked Sendable {
    // @unchecked: belongs to the loop's thread (without a loop, to whoever calls), but for what is immutable or guarded.

    /// Target numbers; 7 is the adapter's own.
    static let targetCount = 16
    static let ownTarget = 7
    /// Commands that need no disk, before other handlers of the loop get a turn.
    static let immediateMax = 64
    /// How often the driver is looked after in a row. A driver that keeps adding does not hold the loop.
    private static let roundsMax = 16

    final let loop: EventLoop?
    /// Signalled when the driver has something for us.
    final let event: EventFD
    final let ram: GuestRAM
    /// How many commands are in flight at most.
    final let depth: Int
    final let slots: UnsafeMutablePointer<SCSISlot>
    private final let freeSlots: UnsafeMutablePointer<UInt16>
    /// By number; the same as `owned` once more: reaching them counts no references.
    final let targets: UnsafeMutablePointer<Unmanaged<SCSITarget>?>
    private final var owned: [SCSITarget?]
    private final let presentCounters = Mutex<[BlockCounters]>([])
    private final let trayMoved: @Sendable (_ target: Int, _ isOut: Bool) -> Void

    /// How many slots exist. They are made when first needed, and stay.
    final var made = 0
    /// How many are on the stack of free ones.
    private final var free = 0
    private final var isStarted = false
    final var isPaused = false
    /// Targets are being stopped or exchanged: nothing is taken meanwhile.
    final var isSettling = false
    private final var isProcessing = false
    /// A disk's queue is delivering: no queue may be stopped now.
    private(set) final var isDelivering = false
    /// The driver may have more for us than there are slots.
    final var isStarved = false
    private final var isClosed = false

    /// - Parameters:
    ///   - drives: by target number; nil is an empty place. At most 16, of which number 7 is nil.
    ///   - loop: where everything is done. Nil stands for a test that has it done in place.
    ///   - depth: how many commands are in flight at most, 1 to 4096.
    ///   - trayMoved: the guest opened or closed a CD drive's tray. On the loop's thread.
    init(
        _ drives: [SCSIDrive?], ram: GuestRAM, loop: EventLoop?, depth: Int,
        trayMoved: @escaping @Sendable (_ target: Int, _ isOut: Bool) -> Void
    ) throws(SystemError) {
        precondition(drives.count <= Self.targetCount, "a host adapter has 16 targets at most")
        precondition(drives.count <= Self.ownTarget || drives[Self.ownTarget] == nil, "target 7 is the adapter's own")
        self.loop = loop
        self.ram = ram
        self.depth = depth
        self.trayMoved = trayMoved
        event = try EventFD()
        unsafe slots = .allocate(capacity: depth)
        unsafe freeSlots = .allocate(capacity: depth)
        unsafe targets = .allocate(capacity: Self.targetCount)
        unsafe targets.initialize(repeating: nil, count: Self.targetCount)
        owned = Array(repeating: nil, count: Self.targetCount)
        super.init()
        for (number, drive) in drives.enumerated() {
            if let drive { place(try SCSITarget(number, drive, self), at: number) }
        }
    }

    deinit {
        unsafe slots.deinitialize(count: made)
        unsafe slots.deallocate()
        unsafe freeSlots.deallocate()
        unsafe targets.deinitialize(count: Self.targetCount)
        unsafe targets.deallocate()
    }

    // MARK: What an adapter implements (on the loop's thread)

    /// Whether the driver has something to take.
    func hasNext() -> Bool { false }

    /// Asks the driver to ring again, before we sleep.
    ///
    /// - Returns: whether there is something already.
    func awaitDriver() -> Bool { hasNext() }

    /// Takes what the driver offers and executes it, for a bounded time.
    ///
    /// - Returns: false if there may be more, and we will come back by ourselves.
    func takeCommands() -> Bool { true }

    /// A command has ended; its slot is free afterwards.
    func commandDone(_ index: Int, _ slot: inout SCSISlot, _ outcome: SCSIOutcome) {}

    /// Shows the driver what has ended.
    func publish() {}

    /// Interrupts the guest for what was published since the last time.
    func interrupt() {}

    /// A target appeared or went while the guest runs.
    func targetChanged(_ number: Int, isPresent: Bool) {}

    /// A disk has another size.
    func sizeChanged(_ number: Int) {}

    /// A CD was exchanged from outside.
    func mediumChanged(_ number: Int) {}

    // MARK: Threads

    /// Runs on the loop's thread and waits.
    final func onLoop(_ work: @escaping @Sendable () -> Void) {
        if let loop { loop.performAndWait(work) } else { work() }
    }

    /// Runs on the loop's thread soon.
    final func soonOnLoop(_ work: @escaping @Sendable () -> Void) {
        if let loop { loop.perform(work) } else { work() }
    }

    /// The driver rang, on any thread.
    final func ring() {
        if loop != nil { event.signal() } else { serve() }
    }

    /// What the disks' queues have done. Readable from any thread.
    final var counters: [BlockCounters] { presentCounters.withLock { $0 } }

    // MARK: Life (on the loop's thread)

    /// Begins to serve the driver.
    func start() throws(SystemError) {
        guard !isStarted, !isClosed else { return }
        try loop?.watch(event.raw, for: [.readable, .edgeTriggered], self)
        loop?.addPoller(self)
        if !isPaused {
            for target in owned { try target?.medium?.queue.resume() }
        }
        watchGeometries()
        isStarted = true
    }

    /// Stops with nothing in flight but what waits for an answer because the storage is full.
    final func pause() {
        guard !isPaused else { return }
        isPaused = true
        for target in owned { target?.medium?.queue.suspend() }
        notify()
    }

    final func resume() {
        guard isPaused, !isClosed else { return }
        isPaused = false
        for target in owned { try? target?.medium?.queue.resume() }
        serve()
    }

    func close() {
        if isClosed { return }
        isClosed = true
        if isStarted {
            loop?.removePoller(self)
            loop?.unwatch(event.raw)
        }
        isStarted = false
        isPaused = true
        for number in 0..<Self.targetCount {
            guard let target = owned[number] else { continue }
            target.medium?.backend.observeGeometry(nil)
            target.medium?.queue.close()
            place(nil, at: number)
        }
    }

    // MARK: Targets

    final func place(_ target: SCSITarget?, at number: Int) {
        owned[number] = target
        unsafe targets[number] = unsafe target.map { unsafe .passUnretained($0) }
        countMedia()
    }

    /// Which counters there are has changed.
    final func countMedia() {
        let counters = owned.compactMap { $0?.medium?.queue.counters }
        presentCounters.withLock { $0 = counters }
    }

    /// A target; nil if there is none of this number.
    final func target(_ number: Int) -> SCSITarget? { owned.indices.contains(number) ? owned[number] : nil }

    final func moveTray(_ target: SCSITarget, out: Bool) {
        guard target.isTrayOut != out else { return }
        target.isTrayOut = out
        target.unit.changeMedium(out ? nil : target.medium?.backend.geometry)
        trayMoved(target.number, out)
    }

    // MARK: Serving

    final var isServing: Bool { isStarted && !isPaused && !isSettling }

    /// Takes what the driver offers and has the disks do it.
    final func serve() {
        if isProcessing || !isServing { return }
        isProcessing = true
        var rounds = 0
        var goesOn = true
        repeat {
            goesOn = takeCommands()
            commit()
            notify()
            rounds &+= 1
        } while goesOn && rounds < Self.roundsMax && awaitDriver()
        isProcessing = false
        if rounds == Self.roundsMax { event.signal() }
    }

    /// Commits what was submitted to any disk. A disk that is delivering completions goes on by itself.
    final func commit() {
        var isDirty = true
        while isDirty {
            isDirty = false
            for number in 0..<Self.targetCount {
                unsafe targets[number]?._withUnsafeGuaranteedRef { target in
                    unsafe target.hotMedium?._withUnsafeGuaranteedRef { medium in
                        guard medium.isDirty else { return }
                        medium.isDirty = false
                        isDirty = true
                        medium.queue.commit()
                    }
                }
            }
        }
    }

    /// A slot for a command; nil while all are in use.
    @inline(__always)
    final func takeSlot() -> Int? {
        if free > 0 {
            free &-= 1
            return unsafe Int(freeSlots[free])
        }
        if made == depth {
            isStarved = true
            return nil
        }
        unsafe (slots + made).initialize(to: SCSISlot(ram))
        made &+= 1
        return made &- 1
    }

    final func giveBack(_ index: Int) {
        // The one used last is the one in the processor's cache.
        unsafe freeSlots[free] = UInt16(truncatingIfNeeded: index)
        free &+= 1
    }

    final func batchDone() {
        publish()
        // What is taken now is committed together with whatever else the completions led to.
        guard isServing, isStarved || hasNext() else { return }
        // What is committed here may deliver at once, to here again.
        let wasDelivering = isDelivering
        isDelivering = true
        if isProcessing {
            _ = takeCommands()
        } else {
            serve()
        }
        isDelivering = wasDelivering
    }

    final func notify() {
        publish()
        interrupt()
    }

    // MARK: Called by the loop

    final override func ready(_ events: Readiness) { serve() }

    final override func poll() -> Bool {
        guard isServing, !isStarved, hasNext() else { return false }
        serve()
        return true
    }
}
