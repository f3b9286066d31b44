import GuestMemory
import Linux
import Synchronization

/// One queue that the kernel serves in our place: hands it over and takes it back.
///
/// Doorbells then wake the kernel's thread and its interrupts go to the guest without us. Only while the guest has no
/// message vector for the queue do interrupts pass through here.
final class VhostRing: @unchecked Sendable {
    // @unchecked: `queue` belongs to the queue's thread, `state` is guarded by its mutex, the rest is immutable.

    /// Passes the kernel's interrupts on for a queue without message vector.
    private final class Relay: EventHandler, @unchecked Sendable {
        let event: EventFD
        weak var queue: VirtioQueue?
        init(_ event: EventFD) { self.event = event }
        override func ready(_ events: Readiness) {
            event.drain()
            queue?.interrupt()
        }
    }

    /// Hears that the kernel found the ring broken.
    private final class Failure: EventHandler, @unchecked Sendable {
        let event: EventFD
        weak var queue: VirtioQueue?
        init(_ event: EventFD) { self.event = event }
        override func ready(_ events: Readiness) {
            event.drain()
            guard let queue else { return }
            queue.device?.needsReset("queue \(queue.index): the kernel found the ring broken")
        }
    }

    private let device: VhostDevice
    /// The ring's number in the kernel's device.
    private let index: UInt32
    /// Begins and ends the kernel's work, once the ring is set up.
    private let run: @Sendable (Bool) throws(SystemError) -> Void
    private let log: @Sendable (String) -> Void
    private let relay: Relay
    private let failure: Failure
    private struct State {
        /// The kernel has the ring.
        var isRunning = false
        /// The kernel is not to work on it for now.
        var isHeld = false
    }
    private let state = Mutex(State())

    /// - Parameters:
    ///   - run: starts (true) and stops (false) the kernel's work on this ring.
    ///   - log: takes one line a hand-over that failed.
    init(
        _ device: VhostDevice, index: UInt32, log: @escaping @Sendable (String) -> Void,
        run: @escaping @Sendable (Bool) throws(SystemError) -> Void
    ) throws(SystemError) {
        self.device = device
        self.index = index
        self.log = log
        self.run = run
        relay = Relay(try EventFD())
        failure = Failure(try EventFD())
    }

    // MARK: On the queue's thread

    /// Hands the queue over. The device has its features and memory by now.
    ///
    /// - Returns: false if the kernel does not take it; the queue is then to be served here.
    func start(_ queue: VirtioQueue) -> Bool {
        guard let loop = queue.loop else { return false }
        do {
            try setUp(queue)
            relay.queue = queue
            failure.queue = queue
            try loop.watch(relay.event.raw, for: .readable, relay)
            try loop.watch(failure.event.raw, for: .readable, failure)
            try begin()
        } catch {
            unwatch(loop)
            log("queue \(queue.index) is not served by the kernel: \(error)")
            return false
        }
        // A change between setting the ring up and now went unnoticed.
        routeInterrupt(queue)
        // The kernel hears the doorbell itself, and must not miss one that rang before.
        loop.unwatch(queue.doorbell.raw)
        queue.doorbell.signal()
        return true
    }

    private func begin() throws(SystemError) {
        let failure = state.withLock { state -> SystemError? in
            do throws(SystemError) {
                if !state.isHeld { try run(true) }
                state.isRunning = true
                return nil
            } catch {
                return error
            }
        }
        if let failure { throw failure }
    }

    private func setUp(_ queue: VirtioQueue) throws(SystemError) {
        let layout = queue.ring.layout
        let size = Int(layout.size)
        let ram = queue.ring.ram
        guard let descriptors = unsafe ram.pointer(at: layout.descriptors, count: 16 * size),
            let available = unsafe ram.pointer(at: layout.driver, count: 6 + 2 * size),
            let used = unsafe ram.pointer(at: layout.device, count: 6 + 8 * size)
        else { throw SystemError(number: 14, operation: "find the ring") }  // EFAULT
        try device.setSize(of: index, UInt32(layout.size))
        try device.setBase(of: index, queue.ring.currentPosition.available)
        try device.setAddresses(
            of: index, unsafe VhostRingAddresses(descriptors: descriptors, available: available, used: used))
        try device.setKick(of: index, queue.doorbell)
        try device.setCall(of: index, descriptor: queue.interruptDescriptor ?? relay.event.raw)
        try device.setError(of: index, failure.event)
    }

    /// Takes the queue back: when this returns, the kernel touches neither the ring nor guest memory for it.
    func stop(_ queue: VirtioQueue) {
        state.withLock { $0.isRunning = false }
        var position = queue.ring.currentPosition
        do {
            try run(false)
            try device.setCall(of: index, nil)
            try device.setKick(of: index, nil)
            // The kernel leaves nothing half done: what it took it has given back.
            position.available = try device.base(of: index)
            position.used = position.available
        } catch {
            log("queue \(queue.index) cannot be taken back from the kernel: \(error)")
        }
        if let loop = queue.loop { unwatch(loop) }
        let features = queue.device?.negotiated ?? []
        do throws(VirtQueueFault) {
            try queue.ring.configure(queue.ring.layout, features: features, position: position)
        } catch {
            log("queue \(queue.index): \(error)")
        }
    }

    private func unwatch(_ loop: EventLoop) {
        loop.unwatch(relay.event.raw)
        loop.unwatch(failure.event.raw)
        relay.queue = nil
        failure.queue = nil
    }

    // MARK: On any thread

    /// Tells the kernel what interrupts the guest now.
    func routeInterrupt(_ queue: VirtioQueue) {
        state.withLock { state in
            guard state.isRunning else { return }
            try? device.setCall(of: index, descriptor: queue.interruptDescriptor ?? relay.event.raw)
        }
    }

    /// Lets the kernel leave the ring alone for a while, or go on with it.
    func hold(_ on: Bool, _ queue: VirtioQueue) {
        state.withLock { state in
            guard state.isHeld != on else { return }
            state.isHeld = on
            guard state.isRunning else { return }
            do throws(SystemError) {
                try run(!on)
            } catch {
                log("queue \(queue.index) cannot be \(on ? "held" : "let go"): \(error)")
            }
        }
        // What was offered meanwhile.
        if !on { queue.doorbell.signal() }
    }
}

extension GuestMemory {
    /// Where RAM is, for the kernel. As long as this object lives.
    var vhostRegions: [VhostMemoryRegion] {
        regions.map { unsafe VhostMemoryRegion(start: $0.start, count: $0.count, host: host(of: $0)) }
    }
}
