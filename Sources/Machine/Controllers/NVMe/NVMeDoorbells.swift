import DeviceModel
import Linux
import Synchronization

/// Where the guest's processors leave what they write to the doorbells of a pair of queues, and how they find out whether
/// the queues' thread must be woken.
@safe struct NVMeDoorbell: ~Copyable {
    /// Value of the submission queue's tail doorbell.
    let tail = Atomic<UInt32>(0)
    /// Value of the completion queue's head doorbell.
    let head = Atomic<UInt32>(0)
    /// Where the completion queue's next entry goes; for the level of the INTx wire.
    let posted = Atomic<UInt32>(0)
    /// The completion queue's bit in the interrupt mask; zero if it does not interrupt.
    let interruptBit = Atomic<UInt32>(0)
    /// The thread looks at `tail` by itself.
    let isPolled = Atomic<Bool>(false)
    /// The completion queue is full: the thread wants to know when `head` moves.
    let wantsHead = Atomic<Bool>(false)
    /// Signalled to wake the thread that has the submission queue.
    let tailEvent: Atomic<CInt>
    /// Signalled to wake the thread that has the completion queue.
    let headEvent: CInt

    init(event: CInt) {
        tailEvent = Atomic(event)
        headEvent = event
    }
}

/// The doorbells of all queues, by queue identifier; number 0 are the admin queues'.
///
/// A guest rings by writing the ring's index, which an eventfd cannot carry: so the kernel rings for us (ioeventfd) only
/// once the driver keeps the indices in memory, too (shadow doorbells, section 5.27 of NVM Express 1.4).
@safe final class NVMeDoorbells: @unchecked Sendable {
    // @unchecked: the cells are atomics; binding is guarded by its mutex.

    private struct Binding {
        /// Where the BAR is.
        var base: UInt64?
        /// Where each queue's tail doorbell is bound, and what it signals.
        var bound: [(place: UInt64, event: EventFD)?]
        /// What it should signal.
        var wanted: [EventFD?]
    }

    let count: Int
    let cells: UnsafeMutablePointer<NVMeDoorbell>
    private let binder: (any DoorbellBinder)?
    private let binding: Mutex<Binding>

    /// - Parameter events: wakes the thread of each queue, by queue identifier.
    init(events: [EventFD], binder: (any DoorbellBinder)?) {
        count = events.count
        self.binder = binder
        unsafe cells = .allocate(capacity: events.count)
        for index in events.indices {
            unsafe (cells + index).initialize(to: NVMeDoorbell(event: events[index].raw))
        }
        let count = events.count
        binding = Mutex(
            Binding(bound: Array(repeating: nil, count: count), wanted: Array(repeating: nil, count: count)))
    }

    deinit {
        unsafe cells.deinitialize(count: count)
        unsafe cells.deallocate()
    }

    /// The guest moved a queue's tail.
    @inline(__always)
    func ringTail(_ queue: Int, _ value: UInt32) {
        let cell = unsafe cells + queue
        // Sequentially consistent, like the thread's own steps: either it sees the tail or we see that it sleeps.
        unsafe cell.pointee.tail.store(value, ordering: .sequentiallyConsistent)
        if unsafe !cell.pointee.isPolled.load(ordering: .sequentiallyConsistent) {
            unsafe EventFD.signal(raw: cell.pointee.tailEvent.load(ordering: .relaxed))
        }
    }

    /// The guest moved a queue's head.
    @inline(__always)
    func ringHead(_ queue: Int, _ value: UInt32) {
        let cell = unsafe cells + queue
        unsafe cell.pointee.head.store(value, ordering: .sequentiallyConsistent)
        if unsafe cell.pointee.wantsHead.load(ordering: .sequentiallyConsistent) {
            unsafe EventFD.signal(raw: cell.pointee.headEvent)
        }
    }

    /// Whether a completion queue that interrupts through one of `vectors` has entries the guest has not taken.
    func hasUnseen(_ vectors: UInt32) -> Bool {
        for index in 0..<count {
            let cell = unsafe cells + index
            guard unsafe cell.pointee.interruptBit.load(ordering: .sequentiallyConsistent) & vectors != 0 else {
                continue
            }
            if unsafe cell.pointee.posted.load(ordering: .sequentiallyConsistent)
                != cell.pointee.head.load(ordering: .sequentiallyConsistent)
            {
                return true
            }
        }
        return false
    }

    // MARK: Doorbells that the kernel rings

    /// Has the kernel signal `event` for a submission queue's doorbell.
    func bind(_ queue: Int, to event: EventFD) { update(queue) { $0.wanted[queue] = event } }

    func unbind(_ queue: Int) { update(queue) { $0.wanted[queue] = nil } }

    /// The registers are at this address now, or nowhere.
    func move(to base: UInt64?) {
        binding.withLock { $0.base = base }
        for queue in 1..<max(count, 1) { update(queue) { _ in } }
    }

    private func update(_ queue: Int, _ change: (inout Binding) -> Void) {
        guard let binder, queue < count else { return }
        binding.withLock { state in
            change(&state)
            let event = state.wanted[queue]
            let place = state.base.map { $0 + NVMeRegisters.Offset.doorbells + 8 * UInt64(queue) }
            if let old = state.bound[queue] {
                if old.place == place && old.event === event { return }
                binder.unbind(old.event, at: .memory(old.place))
                state.bound[queue] = nil
            }
            // A doorbell that cannot be bound still works: the write comes to the function.
            guard let event, let place, (try? binder.bind(event, at: .memory(place))) != nil else { return }
            state.bound[queue] = (place, event)
        }
    }
}
