import GuestMemory
import Linux
import NetEngine

/// One queue of the back end and the card's queues that use it: one that receives, and any number that transmit. All of
/// it is touched by one loop's thread only, while the port runs.
@safe final class VMXNET3Port: EventHandler, @unchecked Sendable {
    // @unchecked: belongs to the loop's thread (without one, to the caller's) but for the immutable parts.

    private final class Doorbell: EventHandler, @unchecked Sendable {
        // @unchecked: immutable. The port owns this and unwatches it before it goes.
        unowned(unsafe) let port: VMXNET3Port
        init(_ port: VMXNET3Port) { unsafe self.port = port }
        override func ready(_ events: Readiness) { unsafe port.doorbellRang() }
    }

    private static let interest: Readiness = [.readable, .writable, .edgeTriggered]

    let backend: any NetQueue
    /// Rung for all of the port's queues.
    let doorbell: EventFD
    private let loop: EventLoop?
    private let interrupts: VMXNET3Interrupts
    private let log: @Sendable (String) -> Void
    private var transmitters: [VMXNET3TransmitQueue] = []
    private var receiver: VMXNET3ReceiveQueue?
    // The same once more: calls through these count no references. The owning ones above outlive each call.
    private let transmitterCalls: UnsafeMutablePointer<Unmanaged<VMXNET3TransmitQueue>?>
    private var receiverCall: Unmanaged<VMXNET3ReceiveQueue>?
    private var shared: VMXNET3Shared?
    private var doorbellHandler: Doorbell?
    private var isRunning = false

    init(
        _ backend: any NetQueue, loop: EventLoop?, interrupts: VMXNET3Interrupts,
        log: @escaping @Sendable (String) -> Void
    ) throws(SystemError) {
        self.backend = backend
        self.loop = loop
        self.interrupts = interrupts
        self.log = log
        doorbell = try EventFD()
        unsafe transmitterCalls = .allocate(capacity: VMXNET3.transmitQueuesMax)
        unsafe transmitterCalls.initialize(repeating: nil, count: VMXNET3.transmitQueuesMax)
        super.init()
        doorbellHandler = Doorbell(self)
    }

    deinit { unsafe transmitterCalls.deallocate() }

    // MARK: From the control thread

    /// Runs on the port's thread and waits.
    func perform(_ work: @escaping @Sendable (VMXNET3Port) -> Void) {
        guard let loop else { return work(self) }
        loop.performAndWait { work(self) }
    }

    /// Serves what waits, in a test's place of a loop.
    func serve() { perform { $0.serveAll() } }

    // MARK: On the port's thread

    /// Takes the queues of a card that was activated.
    func install(_ transmitters: [VMXNET3TransmitQueue], _ receiver: VMXNET3ReceiveQueue?, _ shared: VMXNET3Shared) {
        self.transmitters = Array(transmitters.prefix(VMXNET3.transmitQueuesMax))
        self.receiver = receiver
        self.shared = shared
        for (index, queue) in self.transmitters.enumerated() {
            unsafe transmitterCalls[index] = .passUnretained(queue)
        }
        unsafe receiverCall = receiver.map { unsafe .passUnretained($0) }
    }

    func remove() {
        stop()
        transmitters = []
        receiver = nil
        unsafe receiverCall = nil
        shared = nil
    }

    func start() {
        guard !isRunning, shared != nil, let doorbellHandler else { return }
        isRunning = true
        do {
            try loop?.watch(doorbell.raw, for: [.readable, .edgeTriggered], doorbellHandler)
            try loop?.watch(backend.descriptor, for: Self.interest, self)
        } catch { log("the queues cannot run: \(error)") }
        serveAll()
    }

    func stop() {
        guard isRunning else { return }
        isRunning = false
        loop?.unwatch(doorbell.raw)
        loop?.unwatch(backend.descriptor)
    }

    func setLink(up: Bool) {
        for queue in transmitters { queue.isLinkUp = up }
        receiver?.isLinkUp = up
    }

    func setMode(_ mode: VMXNET3ReceiveQueue.Mode) { receiver?.mode = mode }

    func storeStatistics() {
        guard let shared else { return }
        for queue in transmitters {
            queue.tally.store(
                shared.ram, at: shared.queueDescriptor(transmit: queue.index) &+ VMXNET3.Queue.statistics)
        }
        if let receiver { receiver.tally.store(shared.ram, at: receiver.descriptor &+ VMXNET3.Queue.statistics) }
    }

    override func ready(_ events: Readiness) {
        guard isRunning else { return }
        if !events.isDisjoint(with: [.readable, .hangUp, .failed]) { receive() }
        if !events.isDisjoint(with: [.writable, .failed]) { transmit() }
    }

    private func doorbellRang() {
        guard isRunning else { return }
        transmit()
        if unsafe receiverCall?._withUnsafeGuaranteedRef({ $0.isStarved }) ?? false { receive() }
    }

    private func serveAll() {
        guard isRunning else { return }
        transmit()
        receive()
    }

    private func transmit() {
        for index in 0..<transmitters.count {
            unsafe transmitterCalls[index]?._withUnsafeGuaranteedRef { transmit($0) }
        }
    }

    private func transmit(_ queue: VMXNET3TransmitQueue) {
        var completed = false
        let outcome = queue.process(completed: &completed)
        if completed { interrupts.raise(queue.interrupt, isHeld: shared?.holdsInterrupts ?? false) }
        switch outcome {
        case .idle: break
        case .again: doorbell.signal()
        // Sockets note who waits for room only while being asked.
        case .blocked: try? loop?.rewatch(backend.descriptor, for: Self.interest)
        case .broken(let error):
            report(error, VMXNET3.Event.transmitError, "transmit queue \(queue.index)") {
                $0.queueDescriptor(transmit: queue.index)
            }
        }
    }

    private func receive() { unsafe receiverCall?._withUnsafeGuaranteedRef { receive($0) } }

    private func receive(_ queue: VMXNET3ReceiveQueue) {
        var received = false
        let outcome = queue.process(received: &received)
        if received { interrupts.raise(queue.interrupt, isHeld: shared?.holdsInterrupts ?? false) }
        switch outcome {
        case .idle, .starved: break
        // The back end's edge is not seen again while packets wait: ask for it.
        case .again: try? loop?.rewatch(backend.descriptor, for: Self.interest)
        case .broken(let error):
            report(error, VMXNET3.Event.receiveError, "receive queue") { _ in queue.descriptor }
        }
    }

    private func report(
        _ error: UInt32, _ event: UInt32, _ queue: String, _ descriptor: (VMXNET3Shared) -> GuestAddress
    ) {
        log("\(queue) is stopped: the driver broke its ring (0x\(String(error, radix: 16)))")
        guard let shared else { return }
        shared.setError(error, at: descriptor(shared))
        shared.raise(event, interrupts)
    }
}
