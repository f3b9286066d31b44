import CLinux
import Synchronization

/// What happened on a descriptor, or what to wait for.
public struct Readiness: OptionSet, Sendable, BitwiseCopyable {
    public let rawValue: UInt32
    public init(rawValue: UInt32) { self.rawValue = rawValue }

    public static let readable = Readiness(rawValue: WAFER_EPOLLIN)
    public static let writable = Readiness(rawValue: WAFER_EPOLLOUT)
    /// The other side closed its writing end.
    public static let peerClosed = Readiness(rawValue: WAFER_EPOLLRDHUP)
    /// Both directions are gone. Always reported, asked for or not.
    public static let hangUp = Readiness(rawValue: WAFER_EPOLLHUP)
    /// Always reported, asked for or not.
    public static let failed = Readiness(rawValue: WAFER_EPOLLERR)
    /// Report a change once, not as long as it lasts.
    public static let edgeTriggered = Readiness(rawValue: WAFER_EPOLLET)
}

/// Something an `EventLoop` calls when a descriptor is ready. A class, so that dispatch neither retains nor allocates.
open class EventHandler: @unchecked Sendable {
    // @unchecked: a handler's state belongs to its loop's thread; references to it may be handed around.

    public init() {}

    /// Called on the loop's thread.
    open func ready(_ events: Readiness) {}

    // For handlers given to `addPoller`: before the loop sleeps it looks for their work itself for a moment.

    /// The loop will look: whoever makes work need not signal it.
    open func beginPolling() {}

    /// Looks for work and does it.
    ///
    /// - Returns: whether there was any.
    open func poll() -> Bool { false }

    /// The loop looks no more: work must be signalled from now on. What has come up meanwhile is done here.
    open func endPolling() {}
}

/// A thread that waits for descriptors and calls their handlers, one at a time.
///
/// Everything that belongs to a loop (its handlers and their devices' queues) is touched on its thread only, which is
/// why it needs no locks. Other threads hand work over with `perform`.
@safe public final class EventLoop: @unchecked Sendable {
    // @unchecked: `slots`, `used`, `running`, `retired`, `pollers`, `pollerCount` and `window` belong to the loop's thread (before
    // it starts, to its creator); the rest is immutable or atomic.

    @safe private struct Slot {
        var descriptor: CInt
        var generation: UInt32
        var handler: Unmanaged<EventHandler>?
    }

    private final class WakeUp: EventHandler, @unchecked Sendable {
        unowned let loop: EventLoop
        init(_ loop: EventLoop) { self.loop = loop }
        override func ready(_ events: Readiness) { loop.runHandedOver() }
    }

    /// How many descriptors one loop can wait for.
    public static let descriptorsMax = 1024
    private static let batch = 64
    /// How many handlers can be polled for.
    static let pollersMax = 64
    /// Successful looks in a row before other handlers get their turn.
    private static let looksMax = 64
    private let epoll: Descriptor
    private let wakeUp: EventFD
    private let slots: UnsafeMutableBufferPointer<Slot>
    private var used = 0
    private var running = false
    /// Handlers unwatched while the events at hand are dealt with; released after them.
    private var retired: [Unmanaged<EventHandler>] = unsafe []
    private let pollers: UnsafeMutableBufferPointer<Unmanaged<EventHandler>?>
    private var pollerCount = 0
    private var window: PollingWindow
    private let handedOver = Mutex<[@Sendable () -> Void]>([])
    private let thread = Mutex<Thread?>(nil)
    private let threadIdentifier = Atomic<CInt>(0)
    public let name: String

    /// - Parameter pollingLimit: how long, in nanoseconds, the loop looks for work of polled handlers before it sleeps, at
    ///   most; see `PollingWindow` for what it costs where processors are scarce. Zero sleeps at once.
    public init(name: String, pollingLimit: UInt64 = 0) throws(SystemError) {
        self.name = name
        window = PollingWindow(limit: pollingLimit)
        unsafe pollers = .allocate(capacity: Self.pollersMax)
        unsafe pollers.initialize(repeating: nil)
        epoll = Descriptor(adopting: try retrying("create epoll") { epoll_create1(CInt(EPOLL_CLOEXEC)) })
        wakeUp = try EventFD()
        unsafe slots = .allocate(capacity: Self.descriptorsMax)
        unsafe slots.initialize(repeating: Slot(descriptor: -1, generation: 0, handler: nil))
        try watch(wakeUp.raw, for: .readable, WakeUp(self))
    }

    deinit {
        for index in 0..<used { unsafe slots[index].handler?.release() }
        unsafe slots.deallocate()
        unsafe pollers.deallocate()
    }

    /// Whether the caller runs on this loop's thread.
    public var isCurrent: Bool { threadIdentifier.load(ordering: .relaxed) == wafer_gettid() }

    // MARK: Watching (on the loop's thread, or before it starts)

    /// Calls `handler` whenever `descriptor` is ready. The loop keeps the handler alive until `unwatch`.
    public func watch(_ descriptor: CInt, for events: Readiness, _ handler: EventHandler) throws(SystemError) {
        assertOwned()
        var index = 0
        while index < used, unsafe slots[index].handler != nil { index += 1 }
        guard index < Self.descriptorsMax else { throw SystemError(number: ENOSPC, operation: "watch a descriptor") }
        try control(EPOLL_CTL_ADD, descriptor, events, slot: index)
        unsafe slots[index].descriptor = descriptor
        unsafe slots[index].handler = .passRetained(handler)
        used = max(used, index + 1)
    }

    /// Changes what to wait for.
    public func rewatch(_ descriptor: CInt, for events: Readiness) throws(SystemError) {
        assertOwned()
        guard let index = slotIndex(of: descriptor) else { return }
        try control(EPOLL_CTL_MOD, descriptor, events, slot: index)
    }

    /// Stops watching. Call before the descriptor is closed. Events already fetched for it are dropped.
    public func unwatch(_ descriptor: CInt) {
        assertOwned()
        guard let index = slotIndex(of: descriptor) else { return }
        try? control(EPOLL_CTL_DEL, descriptor, [], slot: index)
        if let handler = unsafe slots[index].handler { unsafe retire(handler) }
        unsafe slots[index].handler = nil
        unsafe slots[index].descriptor = -1
        unsafe slots[index].generation &+= 1
    }

    /// Lets go of a handler, but not before the events at hand are dealt with: it may be the one that runs now.
    private func retire(_ handler: Unmanaged<EventHandler>) {
        if isCurrent { unsafe retired.append(handler) } else { unsafe handler.release() }
    }

    private func releaseRetired() {
        // Releasing may end an object that unwatches another one.
        while let handler = unsafe retired.popLast() { unsafe handler.release() }
    }

    // MARK: Polling (on the loop's thread, or before it starts)

    /// Looks for the handler's work before sleeping. The handler lives until `removePoller`; beyond a certain number, it is
    /// not polled, which costs only time.
    public func addPoller(_ handler: EventHandler) {
        assertOwned()
        guard pollerCount < Self.pollersMax else { return }
        unsafe pollers[pollerCount] = .passUnretained(handler)
        pollerCount += 1
    }

    /// Undoes `addPoller`. Not from within the polling methods.
    public func removePoller(_ handler: EventHandler) {
        assertOwned()
        let wanted = unsafe Unmanaged.passUnretained(handler).toOpaque()
        for index in 0..<pollerCount where unsafe pollers[index]?.toOpaque() == wanted {
            pollerCount -= 1
            unsafe pollers[index] = pollers[pollerCount]
            unsafe pollers[pollerCount] = nil
            return
        }
    }

    /// Looks for work until none comes within the window.
    ///
    /// - Returns: whether there was any.
    private func lookForWork() -> Bool {
        for index in 0..<pollerCount { unsafe pollers[index]?._withUnsafeGuaranteedRef { $0.beginPolling() } }
        var looks = 0
        var idle = 0
        // When the present idleness began, and when the clock was read last.
        var start = monotonicNanoseconds()
        var last = start
        while looks < Self.looksMax {
            var found = false
            for index in 0..<pollerCount {
                if unsafe pollers[index]?._withUnsafeGuaranteedRef({ $0.poll() }) ?? false { found = true }
            }
            if found {
                looks &+= 1
                idle = 0
                start = 0
                continue
            }
            wafer_cpu_pause()
            idle &+= 1
            // The clock is slow compared with a look.
            guard idle & 15 == 0 else { continue }
            let now = monotonicNanoseconds()
            if start == 0 {
                start = now
            } else if !window.looked(after: now &- last, now: now) || now &- start >= window.nanoseconds {
                break
            }
            last = now
        }
        for index in 0..<pollerCount { unsafe pollers[index]?._withUnsafeGuaranteedRef { $0.endPolling() } }
        return looks > 0
    }

    private func slotIndex(of descriptor: CInt) -> Int? {
        for index in 0..<used where unsafe slots[index].descriptor == descriptor && slots[index].handler != nil {
            return index
        }
        return nil
    }

    private func control(
        _ operation: CInt, _ descriptor: CInt, _ events: Readiness, slot: Int
    ) throws(SystemError) {
        // The generation tells an event fetched for an earlier user of the slot from one for the present user.
        let key = unsafe UInt64(slots[slot].generation) << 32 | UInt64(slot)
        if wafer_epoll_control(epoll.raw, operation, descriptor, events.rawValue, key) != 0 {
            throw SystemError.last("watch a descriptor")
        }
    }

    private func assertOwned() {
        let owner = threadIdentifier.load(ordering: .relaxed)
        precondition(owner == 0 || owner == wafer_gettid(), "event loop touched from another thread")
    }

    // MARK: Running

    /// Starts the loop's own thread.
    public func start() throws(SystemError) {
        let started = Semaphore()
        let thread = try Thread(name: name) { [self] in
            threadIdentifier.store(wafer_gettid(), ordering: .relaxed)
            started.signal()
            run()
        }
        started.wait()
        self.thread.withLock { $0 = thread }
    }

    /// Runs the loop on the calling thread until `stop`.
    public func run() {
        threadIdentifier.store(wafer_gettid(), ordering: .relaxed)
        running = true
        unsafe withUnsafeTemporaryAllocation(of: wafer_epoll_event.self, capacity: Self.batch) { events in
            guard let base = events.baseAddress else { return }
            while running {
                let isPolling = window.limit > 0 && pollerCount > 0
                // After work was found there may be more soon: look at the descriptors, but do not sleep.
                let isBusy = isPolling && window.nanoseconds > 0 && lookForWork()
                let start = isPolling && !isBusy ? monotonicNanoseconds() : 0
                let count = unsafe wafer_epoll_wait(epoll.raw, base, CInt(Self.batch), isBusy ? 0 : -1)
                if start > 0 {
                    let now = monotonicNanoseconds()
                    window.slept(now &- start, now: now)
                }
                if count <= 0 { continue }  // EINTR: nothing is ready
                for index in 0..<Int(count) {
                    unsafe dispatch(events[index].key, Readiness(rawValue: events[index].events))
                }
                releaseRetired()
            }
        }
        threadIdentifier.store(0, ordering: .relaxed)
    }

    private func dispatch(_ key: UInt64, _ events: Readiness) {
        let slot = unsafe slots[Int(truncatingIfNeeded: key & 0xffff_ffff)]
        guard UInt32(truncatingIfNeeded: key >> 32) == slot.generation, let handler = unsafe slot.handler else {
            return
        }
        // The slot owns the handler, and what is unwatched meanwhile is released only after all events of this batch: no
        // reference is counted here.
        unsafe handler._withUnsafeGuaranteedRef { $0.ready(events) }
    }

    /// Ends the loop after the handler that runs now, and waits for its thread (unless called on it).
    public func stop() {
        perform { self.running = false }
        if isCurrent { return }
        thread.withLock { $0.take() }?.join()
    }

    // MARK: Handing work over

    /// Runs `work` on the loop's thread, soon. From any thread; the order of calls is kept.
    public func perform(_ work: @escaping @Sendable () -> Void) {
        handedOver.withLock { $0.append(work) }
        wakeUp.signal()
    }

    /// Runs `work` on the loop's thread and waits for it. On that thread, runs it at once.
    public func performAndWait(_ work: @escaping @Sendable () -> Void) {
        if isCurrent { return work() }
        let done = Semaphore()
        perform {
            work()
            done.signal()
        }
        done.wait()
    }

    private func runHandedOver() {
        wakeUp.drain()
        for work in handedOver.withLock({ queue in
            let taken = queue
            queue.removeAll()
            return taken
        }) {
            work()
        }
    }
}
