public import GuestMemory
public import Linux
import SavedState
import Synchronization

/// A device's queue with its doorbell and its interrupt, served by one event loop. Devices subclass it.
///
/// Everything but `interrupt` and the immutable parts belongs to the loop's thread while the queue runs.
open class VirtioQueue: EventHandler, @unchecked Sendable {
    // @unchecked: `device` is set once before the guest runs, `isRunning` belongs to the loop (without one, to the
    // transport's control thread), the rest is immutable or atomic.

    enum Call {
        /// The guest wants no interrupt for this queue.
        static let none: CInt = -1
        /// The function's INTx wire.
        static let wire: CInt = -2
    }

    /// The ring itself.
    public final let ring: VirtQueue
    /// Signalled when the driver has put something into the ring: by the kernel (ioeventfd) or by the transport.
    public final let doorbell: EventFD
    /// The loop whose thread serves the queue. Nil: somebody else does (vhost, a test), and the doorbell is theirs.
    public final let loop: EventLoop?
    /// Between `started` and `stopped`. For the loop's thread.
    public private(set) final var isRunning = false
    /// Number of the event that interrupts the guest, or one of `Call`. Kept up to date by the transport.
    final let call = Atomic<CInt>(Call.none)
    final weak var device: VirtioDevice?

    /// - Parameter sizeMax: the largest size the driver may choose; a power of two up to 32768.
    public init(index: Int, sizeMax: UInt16, ram: GuestRAM, loop: EventLoop?) throws(SystemError) {
        ring = VirtQueue(index: index, sizeMax: sizeMax, ram: ram)
        doorbell = try EventFD()
        self.loop = loop
        super.init()
    }

    public final var index: Int { ring.index }

    // MARK: What a device implements (called on the loop's thread)

    /// The doorbell rang, or the queue has just started. Serves the ring for a bounded time: a guest that keeps it full
    /// must not keep the loop from its other work. `again()` asks to be called once more.
    open func process() {}

    /// The queue begins to run; `process` follows.
    open func started() {}

    /// The queue stops. When this returns, nothing of the device touches the ring or guest memory for this queue, so
    /// requests in flight are finished or put back here.
    open func stopped() {}

    /// The event behind `interruptDescriptor` changed. Called on any thread.
    open func interruptChanged() {}

    // MARK: What a device uses

    /// Takes the next chain.
    ///
    /// - Returns: false if there is none, or the ring is broken; the device then needs a reset, and says so.
    @inline(__always)
    public final func next(into chain: inout DescriptorChain) -> Bool {
        switch ring.next(into: &chain) {
        case .chain: return true
        case .empty: return false
        case .broken:
            reportFault()
            return false
        }
    }

    /// Shows what was pushed to the driver, and interrupts it if it wants that.
    public final func publish() {
        ring.publish()
        notify()
    }

    /// Interrupts the driver if it wants that for what was published since it was last asked.
    public final func notify() {
        if ring.shouldNotify() { interrupt() }
    }

    /// Breaks the queue because a request is malformed beyond an error answer.
    public final func breakDown(_ fault: VirtQueueFault = .malformedRequest) {
        ring.breakDown(fault)
        reportFault()
    }

    /// Calls `process` again soon, after the loop's other work.
    public final func again() { doorbell.signal() }

    /// Interrupts the guest for this queue, without asking the ring. From any thread.
    public final func interrupt() {
        let call = call.load(ordering: .acquiring)
        if call >= 0 {
            EventFD.signal(raw: call)
        } else if call == Call.wire {
            device?.function?.raiseWire()
        }
    }

    /// The event that interrupts the guest when signalled, for the kernel's use (vhost). Nil while the guest uses INTx or
    /// has given the queue no vector: `interrupt` is the way then.
    public final var interruptDescriptor: CInt? {
        let call = call.load(ordering: .acquiring)
        return call >= 0 ? call : nil
    }

    private func reportFault() {
        guard let fault = ring.fault else { return }
        device?.needsReset("queue \(index): \(fault)")
    }

    // MARK: Saved state

    /// What a queue has to be saved besides what the driver has told the transport.
    ///
    /// No doorbells: a queue that starts looks into its ring whether or not it was rung.
    struct State: FieldCoded {
        var isConfigured = false
        var isBroken = false
        var position = VirtQueuePosition()

        mutating func code(_ coder: inout FieldCoder) {
            coder.field(&isConfigured, "ring set up")
            coder.field(&isBroken, "ring broken")
            coder.field(&position.available, "ring next available")
            coder.field(&position.used, "ring next used")
            coder.field(&position.availableWrap, "ring available wrap")
            coder.field(&position.usedWrap, "ring used wrap")
        }
    }

    final func saveState(_ coder: inout FieldCoder) {
        // A broken ring has nothing in flight any more: its device must be reset.
        let inFlight = ring.fault == nil ? ring.inFlight : 0
        if inFlight > 0 { coder.fail("queue \(index): \(inFlight) requests are not finished") }
        var state = State()
        state.isConfigured = ring.isConfigured
        state.isBroken = ring.fault != nil
        if state.isConfigured { state.position = ring.currentPosition }
        if state.isBroken {
            state.position.used = state.position.available
            state.position.usedWrap = state.position.availableWrap
        }
        coder.field(&state)
    }

    /// - Returns: why the ring cannot be used.
    final func restore(_ state: State, _ layout: VirtQueueLayout, _ features: VirtioFeatures) -> String? {
        do throws(VirtQueueFault) {
            try ring.configure(layout, features: features, position: state.position)
        } catch { return "\(error)" }
        guard ring.inFlight == 0, ring.currentPosition == state.position else { return "its position makes no sense" }
        if state.isBroken { ring.breakDown(.malformedRequest) }
        return nil
    }

    // MARK: Running (on the loop's thread, or the control thread without one)

    public final override func ready(_ events: Readiness) {
        // Edge-triggered: every signal calls, so the event's count need not be read.
        if isRunning { process() }
    }

    final func begin() {
        guard !isRunning, ring.isConfigured else { return }
        isRunning = true
        if let loop {
            do {
                try loop.watch(doorbell.raw, for: [.readable, .edgeTriggered], self)
            } catch {
                isRunning = false
                device?.needsReset("queue \(index): \(error)")
                return
            }
        }
        started()
        process()
    }

    final func end() {
        guard isRunning else { return }
        isRunning = false
        loop?.unwatch(doorbell.raw)
        stopped()
    }

    /// Starts soon, on the queue's own thread.
    final func start() {
        guard let loop else { return begin() }
        loop.perform { self.begin() }
    }

    /// Stops, and returns when it has.
    final func stop() {
        guard let loop else { return end() }
        loop.performAndWait { self.end() }
    }
}
