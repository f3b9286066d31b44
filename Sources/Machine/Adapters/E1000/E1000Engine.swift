import GuestMemory
import Linux
import NetEngine
import Synchronization

/// A card's queues on their loop's thread.
@safe final class E1000Engine: EventHandler, @unchecked Sendable {
    // @unchecked: belongs to the loop's thread (without one, to the caller's) but for the immutable and atomic parts.

    private final class Doorbell: EventHandler, @unchecked Sendable {
        // @unchecked: immutable. The engine owns this and unwatches it before it goes.
        unowned(unsafe) let engine: E1000Engine
        init(_ engine: E1000Engine) { unsafe self.engine = engine }
        override func ready(_ events: Readiness) { unsafe engine.doorbellRang() }
    }

    private static let interest: Readiness = [.readable, .writable, .edgeTriggered]

    let ends = E1000Ends()
    let numbers = E1000Counters()
    private let doorbell: EventFD
    private let backend: any NetQueue
    private let loop: EventLoop?
    private let interrupts: E1000Interrupts
    private let log: @Sendable (String) -> Void
    private let transmit0: E1000TransmitQueue
    private let transmit1: E1000TransmitQueue
    private let receiver: E1000ReceiveQueue
    private var configuration = E1000Configuration()
    private var doorbellHandler: Doorbell?
    private var isRunning = false
    /// Nothing runs before the driver has touched the card, nor while the machine is paused.
    private var mayRun = true

    /// Raised when the filter has changed; the new one waits in `newFilter`.
    private let filterGeneration = Atomic<UInt32>(0)
    private var filterSeen: UInt32 = 0
    private let newFilter = Mutex(E1000Filter())

    init(
        _ ram: GuestRAM, _ backend: any NetQueue, offloads: NetOffloads, loop: EventLoop?, interrupts: E1000Interrupts,
        log: @escaping @Sendable (String) -> Void
    ) throws(SystemError) {
        self.backend = backend
        self.loop = loop
        self.interrupts = interrupts
        self.log = log
        doorbell = try EventFD()
        transmit0 = E1000TransmitQueue(0, ends, numbers, ram: ram, backend: backend, offloads: offloads)
        transmit1 = E1000TransmitQueue(1, ends, numbers, ram: ram, backend: backend, offloads: offloads)
        receiver = E1000ReceiveQueue(ends, numbers, ram: ram, backend: backend)
        super.init()
        doorbellHandler = Doorbell(self)
    }

    var statistics: (received: NetStatistics, transmitted: NetStatistics) {
        (receiver.counters.values, transmit0.counters.values + transmit1.counters.values)
    }

    // MARK: From any thread

    /// Runs on the queues' thread and waits.
    func perform(_ work: @escaping @Sendable (E1000Engine) -> Void) {
        guard let loop else { return work(self) }
        loop.performAndWait { work(self) }
    }

    /// The driver has moved the tail of a transmit ring.
    func moveTransmitTail(_ queue: Int, _ value: UInt32) {
        ends.setTransmitTail(queue, value)
        if !ends.isBusy.load(ordering: .sequentiallyConsistent) { EventFD.signal(raw: doorbell.raw) }
    }

    /// The driver has moved the tail of the receive ring.
    func moveReceiveTail(_ value: UInt32) {
        ends.receiveTail.store(value, ordering: .sequentiallyConsistent)
        if ends.isStarved.load(ordering: .sequentiallyConsistent) { EventFD.signal(raw: doorbell.raw) }
    }

    /// Takes effect with the next packet that comes.
    func setFilter(_ filter: E1000Filter) {
        newFilter.withLock { $0 = filter }
        filterGeneration.add(1, ordering: .releasing)
    }

    // MARK: On the queues' thread

    /// Goes on after `stop`, if the driver has ever set the card up.
    func resume() {
        mayRun = true
        if configuration.isInUse { start() }
        serveAll()
    }

    private func start() {
        guard mayRun, !isRunning, let doorbellHandler else { return }
        isRunning = true
        guard let loop else { return }
        do {
            try interrupts.makeTimer(on: loop)
            try loop.watch(doorbell.raw, for: [.readable, .edgeTriggered], doorbellHandler)
            try loop.watch(backend.descriptor, for: Self.interest, self)
        } catch { log("the queues cannot run: \(error)") }
    }

    func stop() {
        mayRun = false
        guard isRunning else { return }
        isRunning = false
        guard let loop else { return }
        loop.unwatch(doorbell.raw)
        loop.unwatch(backend.descriptor)
        interrupts.closeTimer(on: loop)
    }

    /// The driver changed registers that concern the queues.
    func configure(_ configuration: E1000Configuration) {
        self.configuration = configuration
        transmit0.reconfigured()
        transmit1.reconfigured()
        ends.isStarved.store(false, ordering: .relaxed)
        if configuration.isInUse { start() }
        serveAll()
    }

    func setHead(_ queue: Int?, _ value: UInt32) {
        if let queue {
            ends.setTransmitHead(queue, value)
        } else {
            ends.receiveHead.store(value, ordering: .relaxed)
        }
        transmit0.reconfigured()
        transmit1.reconfigured()
    }

    func reset(_ configuration: E1000Configuration) {
        ends.reset()
        transmit0.reset()
        transmit1.reset()
        self.configuration = configuration
    }

    override func ready(_ events: Readiness) {
        guard isRunning else { return }
        if !events.isDisjoint(with: [.readable, .hangUp, .failed]) { receive(packetsWait: true) }
        if !events.isDisjoint(with: [.writable, .failed]) { transmit() }
    }

    private func doorbellRang() {
        guard isRunning else { return }
        transmit()
        if ends.isStarved.load(ordering: .relaxed) { receive() }
    }

    func serveAll() {
        guard isRunning else { return }
        transmit()
        receive()
    }

    private func transmit() {
        // While this looks at the tails itself, moving one need not wake anybody.
        ends.isBusy.store(true, ordering: .relaxed)
        transmit(transmit0, E1000Cause.transmitQueue0)
        if configuration.transmitRings.1 != nil { transmit(transmit1, E1000Cause.transmitQueue1) }
        ends.isBusy.store(false, ordering: .sequentiallyConsistent)
        if transmit0.hasNews || transmit1.hasNews { doorbell.signal() }
    }

    private func transmit(_ queue: E1000TransmitQueue, _ cause: UInt32) {
        var reported = false
        let outcome = queue.process(configuration, reported: &reported)
        if reported {
            var causes = E1000Cause.transmitDone | (configuration.hasQueueCauses ? cause : 0)
            if queue.isEmpty { causes |= E1000Cause.transmitEmpty }
            interrupts.raise(causes)
        }
        switch outcome {
        case .idle: break
        case .again: doorbell.signal()
        // Sockets note who waits for room only while being asked.
        case .blocked: try? loop?.rewatch(backend.descriptor, for: Self.interest)
        }
    }

    private func receive(packetsWait: Bool = false) {
        guard configuration.receives else { return }
        let generation = filterGeneration.load(ordering: .acquiring)
        if generation != filterSeen {
            filterSeen = generation
            receiver.setFilter(newFilter.withLock { $0 })
        }
        var received = false
        var isLow = false
        let wasStarved = ends.isStarved.load(ordering: .relaxed)
        let outcome = receiver.process(configuration, received: &received, isLow: &isLow)
        var causes: UInt32 = 0
        if received { causes = E1000Cause.received | (configuration.hasQueueCauses ? E1000Cause.receiveQueue0 : 0) }
        if received, isLow { causes |= E1000Cause.receiveLow }
        switch outcome {
        case .idle: break
        // The back end's edge is not seen again while packets wait: ask for it.
        case .again: try? loop?.rewatch(backend.descriptor, for: Self.interest)
        case .starved:
            // Said once; the packets wait at the back end.
            if packetsWait, !wasStarved {
                causes |= E1000Cause.receiveOverrun
                numbers.add(E1000Counters.Number.noBuffer)
            }
        }
        interrupts.raise(causes)
    }
}
