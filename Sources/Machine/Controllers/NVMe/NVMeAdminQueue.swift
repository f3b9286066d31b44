import DeviceModel
import GuestMemory
import Linux
import Synchronization

/// The admin queues: what the driver asks the controller itself (NVM Express 1.4, section 5).
///
/// Served on the control loop, which may wait for the loops of the I/O queues.
final class NVMeAdminQueue: EventHandler, @unchecked Sendable {
    // @unchecked: the state belongs to the control loop's thread.

    /// How a command is answered.
    enum Answer {
        case done(NVMeStatus, UInt32)
        /// Later: an asynchronous event request.
        case later

        static let success = Answer.done(.success, 0)
        static func failed(_ status: NVMeStatus) -> Answer { .done(status, 0) }
    }

    /// An asynchronous event (section 5.2): its kind in bits 2:0, what it is in 15:8, the log page about it in 23:16.
    enum Event {
        static let invalidDoorbell: UInt32 = 1 << 8 | UInt32(NVMeLogPages.Identifier.errors) << 16
        static let namespacesChanged: UInt32 = 2 | UInt32(NVMeLogPages.Identifier.changedNamespaces) << 16
    }

    /// Commands before the loop's other work gets its turn.
    private static let batch = 32

    let backends: [any BlockBackend]
    let ram: GuestRAM
    let shared: NVMeShared
    let groups: [NVMeQueueGroup]
    let identify: NVMeIdentify
    /// How many I/O queues there are of either kind.
    let queuesMax: Int
    let event: EventFD
    private let loop: EventLoop?
    private let eventOf: @Sendable (Int) -> CInt?
    private unowned let owner: any NVMeQueueGroup.Owner

    // What a snapshot saves.
    var features = NVMeFeatures()
    /// Commands that wait for an event.
    private var eventRequests: [UInt16] = []
    /// Events that wait for a command.
    private var events: [UInt32] = []
    /// Kinds of events that were told and whose log page was not read yet.
    private var maskedEvents: Set<UInt32> = []
    var changedNamespaces: Set<UInt32> = []
    /// Which group has the queue; by identifier.
    var submissionGroups: [Int?]
    var completionGroups: [Int?]
    /// Which completion queue a submission queue has; by its identifier.
    var completionQueues: [UInt16]
    /// Pages with the driver's indices and for our answers.
    var doorbellBuffers: (values: GuestAddress, events: GuestAddress)?

    private var submission: NVMeSubmissionQueue?
    private var completion: NVMeCompletionQueue?
    private(set) var isRunning = false
    private var isWatching = false
    private var isServing = false
    var segments: SegmentList
    /// Whether the driver set the sizes of the I/O queues' entries.
    var hasEntrySizes = false

    /// - Parameter eventOf: event of an interrupt vector; nil if there is none.
    init(
        _ backends: [any BlockBackend], ram: GuestRAM, shared: NVMeShared, groups: [NVMeQueueGroup], queuesMax: Int,
        serial: String, event: EventFD, loop: EventLoop?, owner: any NVMeQueueGroup.Owner,
        eventOf: @escaping @Sendable (Int) -> CInt?
    ) {
        self.backends = backends
        self.ram = ram
        self.shared = shared
        self.groups = groups
        self.queuesMax = queuesMax
        self.event = event
        self.loop = loop
        self.owner = owner
        self.eventOf = eventOf
        identify = NVMeIdentify(serial: serial, namespaceCount: backends.count)
        submissionGroups = Array(repeating: nil, count: queuesMax + 1)
        completionGroups = Array(repeating: nil, count: queuesMax + 1)
        completionQueues = Array(repeating: 0, count: queuesMax + 1)
        segments = SegmentList(ram, limit: 3)
    }

    // MARK: Life (on the control thread)

    /// The driver enabled the controller.
    ///
    /// - Returns: false if the queues are not in guest memory, or cannot be served.
    func enable(_ registers: NVMeRegisters) -> Bool {
        let cell = unsafe shared.doorbells.cells
        unsafe cell.pointee.tail.store(0, ordering: .sequentiallyConsistent)
        unsafe cell.pointee.head.store(0, ordering: .sequentiallyConsistent)
        unsafe cell.pointee.posted.store(0, ordering: .sequentiallyConsistent)
        submission = unsafe NVMeSubmissionQueue(
            .init(address: registers.adminSubmissionQueue, size: registers.adminSubmissionSize, completionQueue: 0),
            ram, doorbell: cell)
        completion = unsafe NVMeCompletionQueue(
            .init(
                address: registers.adminCompletionQueue, size: registers.adminCompletionSize, vector: 0,
                interrupts: true),
            ram, event: eventOf(0) ?? -1, doorbell: cell)
        guard submission != nil, completion != nil else { return false }
        unsafe cell.pointee.interruptBit.store(1, ordering: .sequentiallyConsistent)
        hasEntrySizes = registers.hasEntrySizes
        return run()
    }

    private func run() -> Bool {
        if let loop, !isWatching {
            guard (try? loop.watch(event.raw, for: [.readable, .edgeTriggered], self)) != nil else { return false }
            isWatching = true
        }
        isRunning = true
        return true
    }

    private func halt() {
        if isWatching { loop?.unwatch(event.raw) }
        isWatching = false
        isRunning = false
    }

    /// Stops all queues with nothing in flight, and forgets them.
    func disable() {
        halt()
        for group in groups {
            group.onLoop {
                group.stop()
                group.removeAll()
            }
        }
        for queue in 0...queuesMax {
            let cell = unsafe shared.doorbells.cells + queue
            unsafe cell.pointee.interruptBit.store(0, ordering: .sequentiallyConsistent)
            unsafe cell.pointee.wantsHead.store(false, ordering: .sequentiallyConsistent)
            shared.doorbells.unbind(queue)
        }
        submission = nil
        completion = nil
        eventRequests = []
        events = []
        maskedEvents = []
        changedNamespaces = []
        doorbellBuffers = nil
        features = NVMeFeatures()
        shared.isWriteback.store(true, ordering: .relaxed)
        submissionGroups = Array(repeating: nil, count: queuesMax + 1)
        completionGroups = Array(repeating: nil, count: queuesMax + 1)
        owner.updateWire()
    }

    /// Stops with nothing in flight; `resume` goes on.
    func pause() {
        halt()
        for group in groups { group.onLoop { group.stop() } }
    }

    /// Goes on after `pause`.
    func resume() {
        guard submission != nil, run() else { return }
        for (index, group) in groups.enumerated() where submissionGroups.contains(index) {
            group.onLoop { try? group.start() }
        }
        serve()
    }

    /// The driver shuts the controller down: whatever was written goes to stable storage.
    func shutDown() {
        pause()
        if let group = groups.first { group.onLoop { group.flushDisks() } }
        resume()
    }

    // MARK: Working off

    override func ready(_ events: Readiness) { serve() }

    /// Answers what the driver has asked.
    func serve() {
        if isServing || !isRunning { return }
        isServing = true
        var left = Self.batch
        while left > 0, isRunning, let command = take() {
            left -= 1
            let answer = command.isPlain ? perform(command) : .failed(.invalidField)
            switch answer {
            case .done(let status, let result): post(status, result, command.identifier)
            case .later: completion?.release()
            }
        }
        if left == 0 { event.signal() }
        tellEvents()
        if submission?.isBroken == true && submission?.isFaultReported == false {
            submission?.isFaultReported = true
            owner.doorbellFault(0)
        }
        isServing = false
    }

    private func take() -> NVMeCommand? {
        guard submission?.hasNext() == true, completion?.reserve() == true else { return nil }
        return submission?.next()
    }

    private func post(_ status: NVMeStatus, _ result: UInt32, _ identifier: UInt16) {
        completion?.post(
            status, result: result, command: identifier, queue: 0, head: submission?.state.head ?? 0)
        let wire = !shared.usesMessages.load(ordering: .relaxed)
        guard completion?.takeNotification(wire: wire) == true else { return }
        if wire { owner.updateWire() } else if let event = completion?.event, event >= 0 { EventFD.signal(raw: event) }
    }

    /// The event of an interrupt vector; nil if there is none.
    func vectorEvent(_ vector: Int) -> CInt? { eventOf(vector) }

    func updateWire() { owner.updateWire() }

    /// Something of the host failed.
    func report(_ reason: String) { owner.failed(reason) }

    // MARK: Asynchronous events

    func requestEvent(_ command: NVMeCommand) -> Answer {
        guard eventRequests.count <= Int(NVMeIdentify.eventRequestsMax) else { return .failed(.tooManyEventRequests) }
        eventRequests.append(command.identifier)
        return .later
    }

    /// Something happened that the driver may have asked to be told.
    func raise(_ event: UInt32) {
        guard isRunning, !events.contains(event), !maskedEvents.contains(event) else { return }
        events.append(event)
        tellEvents()
    }

    /// A namespace has another size.
    func namespaceChanged(_ number: UInt32) {
        changedNamespaces.insert(number)
        if features.asynchronousEvents & NVMeFeatures.namespaceNotice != 0 { raise(Event.namespacesChanged) }
    }

    /// The driver read a log page, so that it can be told of more.
    func unmaskEvents(about page: UInt8) {
        for event in [Event.invalidDoorbell, Event.namespacesChanged] where UInt8(event >> 16) == page {
            maskedEvents.remove(event)
        }
    }

    private func tellEvents() {
        while let event = events.first, let request = eventRequests.first, completion?.reserve() == true {
            events.removeFirst()
            eventRequests.removeFirst()
            maskedEvents.insert(event)
            post(.success, event, request)
        }
    }
}
