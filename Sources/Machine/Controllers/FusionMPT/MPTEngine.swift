import DeviceModel
import GuestMemory
import Linux
import Synchronization

/// What the controller's loop and the guest's processors share: queues, interrupt and state. From any thread.
final class MPTShared: Sendable {
    /// How many messages the driver can have under way.
    static let credits = 256
    /// Memory for replies that the driver can hand over.
    static let repliesMax = 256

    /// Addresses of requests.
    let requests = MPTQueue(capacity: 2 * credits)
    /// Addresses of memory for replies.
    let frames = MPTQueue(capacity: 2 * repliesMax)
    /// Replies that the driver has not taken: contexts, or addresses with the highest bit set.
    let replies = MPTQueue(capacity: 2 * (credits + repliesMax))
    let interrupt: StatusInterrupt
    /// One of `MPTState`, for faults with a code.
    let state = Atomic<UInt32>(MPTState.ready)
    /// Replies wait for memory.
    let wantsFrames = Atomic<Bool>(false)

    init(_ interrupt: StatusInterrupt) { self.interrupt = interrupt }

    var isOperational: Bool { state.load(ordering: .acquiring) == MPTState.operational }

    /// The next reply for the driver; all ones if there is none.
    func takeReply() -> UInt32 {
        // Under the lock, so that a reply that is put in meanwhile raises the bit again.
        replies.take { [interrupt] isEmpty in
            if isEmpty { interrupt.clear(MPTInterrupt.reply) }
        } ?? .max
    }
}

/// Takes Fusion MPT's messages and answers them. Belongs to the controller's loop.
@safe final class MPTEngine: SCSIEngine, @unchecked Sendable {
    // @unchecked: as for SCSIEngine.

    /// What answering a SCSI request needs of it.
    private struct Pending: BitwiseCopyable {
        var context: UInt32 = 0
        var sense: GuestAddress = 0
        var senseCount: UInt8 = 0
        var target: UInt8 = 0
        var bus: UInt8 = 0
        var commandCount: UInt8 = 0
        var messageFlags: UInt8 = 0
        var length: UInt32 = 0
    }

    /// What the driver chose: what a snapshot saves, besides the queues.
    struct Settings {
        /// Who initialised the controller.
        var who: UInt8 = 0
        var replySize: UInt16 = 0
        var maxDevices = UInt8(SCSIEngine.targetCount)
        var maxBuses: UInt8 = 1
        /// The highest 32 bits of messages' and sense data's addresses.
        var messageHigh: UInt64 = 0
        var senseHigh: UInt64 = 0
        /// Context for events; nil while they are switched off.
        var eventContext: UInt32?
        /// Of the parallel bus: what each target was asked to negotiate.
        var negotiated = [UInt32](repeating: 0, count: SCSIEngine.targetCount)
    }

    let model: MPTModel
    /// The controller's own SAS address; the drives' follow.
    let sasAddress: UInt64
    let shared: MPTShared
    var settings = Settings()
    private let log: @Sendable (String) -> Void
    /// By slot.
    private let pending: UnsafeMutablePointer<Pending>
    /// Replies for which there is no memory yet.
    private var waiting: [StructureBytes] = []
    /// A message that has to wait until no disk's queue is delivering.
    private var deferred: MPTMessage?
    private var needsInterrupt = false

    init(
        _ model: MPTModel, _ drives: [SCSIDrive?], sasAddress: UInt64, ram: GuestRAM, loop: EventLoop?,
        shared: MPTShared, trayMoved: @escaping @Sendable (_ target: Int, _ isOut: Bool) -> Void,
        log: @escaping @Sendable (String) -> Void
    ) throws(SystemError) {
        self.model = model
        self.sasAddress = sasAddress
        self.shared = shared
        self.log = log
        unsafe pending = .allocate(capacity: MPTShared.credits)
        unsafe pending.initialize(repeating: Pending(), count: MPTShared.credits)
        try super.init(drives, ram: ram, loop: loop, depth: MPTShared.credits, trayMoved: trayMoved)
    }

    deinit { unsafe pending.deallocate() }

    /// The controller stops until it is reset, which is said once.
    func failed(_ status: UInt16, _ reason: String) {
        if shared.state.load(ordering: .relaxed) & MPTState.fault == 0 { log("\(model.name): \(reason)") }
        shared.state.store(MPTState.fault | UInt32(status), ordering: .releasing)
    }

    // MARK: Resets

    /// The driver resets the controller: messages under way are gone. What was initialised stays known.
    func resetMessages() {
        // What the disks finish meanwhile is not told.
        shared.state.store(MPTState.ready, ordering: .releasing)
        resetAll(tells: false)
        shared.requests.clear()
        shared.frames.clear()
        shared.replies.clear()
        shared.interrupt.clear(MPTInterrupt.all)
        waiting = []
        deferred = nil
        shared.wantsFrames.store(false, ordering: .relaxed)
        needsInterrupt = false
        settings.eventContext = nil
    }

    func resetAdapter() {
        resetMessages()
        shared.interrupt.reset()
        settings = Settings()
    }

    /// The driver has initialised the controller.
    func becomeOperational() {
        do throws(SystemError) { try start() } catch {
            return failed(MPTStatus.insufficientResources, "\(error)")
        }
        shared.state.store(MPTState.operational, ordering: .releasing)
    }

    // MARK: Requests

    override func hasNext() -> Bool {
        if deferred != nil { return !isDelivering }
        return (!shared.requests.isEmpty && waiting.count < MPTShared.credits)
            || (!waiting.isEmpty && !shared.frames.isEmpty)
    }

    override func takeCommands() -> Bool {
        isStarved = false
        postWaiting()
        if let message = deferred {
            if isDelivering { return false }
            deferred = nil
            if let reply = process(message) { post(reply) }
        }
        var immediate = 0
        for _ in 0..<depth {
            // A driver that gives no memory for replies gets no more of them.
            guard !shared.requests.isEmpty, waiting.count < MPTShared.credits, let index = takeSlot() else {
                return !isStarved
            }
            guard let low = shared.requests.take() else {
                giveBack(index)
                return true
            }
            guard shared.isOperational else {
                giveBack(index)
                // It was reset or failed meanwhile.
                return true
            }
            // The lowest bits are a hint of the message's length.
            let address = settings.messageHigh | UInt64(low & ~3)
            guard let message = MPTMessage(ram, at: address) else {
                giveBack(index)
                failed(MPTStatus.invalidField, "a message that is not in memory")
                return true
            }
            if message.function == MPTFunction.scsiIO {
                if unsafe begin(index, &slots[index], message, at: address) { continue }
            } else {
                giveBack(index)
                if isDelivering {
                    deferred = message
                    event.signal()
                    return false
                }
                if let reply = process(message) { post(reply) }
            }
            immediate &+= 1
            if immediate == Self.immediateMax && loop != nil {
                event.signal()
                return false
            }
        }
        return true
    }

    /// Begins a SCSI request: target u8, bus u8, chain offset u8; CDB length u8 at 4, sense length u8, message flags u8 at 7,
    /// context u32, LUN of 8 bytes at 12, control u32 at 20, CDB of 16 bytes, data length u32 at 40, sense address u32, then the
    /// scatter-gather elements.
    ///
    /// - Returns: whether a disk is at work on it; else it has ended.
    private func begin(
        _ index: Int, _ slot: inout SCSISlot, _ message: MPTMessage, at address: GuestAddress
    ) -> Bool {
        let control = message.word(20) >> 24 & 3
        unsafe pending[index] = Pending(
            context: message.context, sense: settings.senseHigh | UInt64(message.word(44)),
            senseCount: message.byte(5), target: message.byte(0), bus: message.byte(1), commandCount: message.byte(4),
            messageFlags: message.byte(7), length: message.word(40))
        slot.target = message.byte(1) == 0 ? Int(message.byte(0)) : -1
        slot.unit = message.long(12)
        slot.direction = control == 2 ? .toHost : control == 1 ? .toDevice : .none
        let length = slot.direction == .none ? 0 : Int(message.word(40))
        guard slot.segments.fill(ram, request: address, elements: 48, chainOffset: message.byte(2), length: length)
        else {
            finish(index, &slot, .lost(.invalid))
            return false
        }
        let command = SCSICommand(high: message.long(24).byteSwapped, low: message.long(32).byteSwapped)
        return execute(index, &slot, command)
    }

    /// How many requests match; for task management.
    func isPending(_ index: Int, context: UInt32) -> Bool { unsafe pending[index].context == context }

    // MARK: Replies

    override func commandDone(_ index: Int, _ slot: inout SCSISlot, _ outcome: SCSIOutcome) {
        guard shared.isOperational else { return }
        let request = unsafe pending[index]
        let isWhole = slot.direction == .none || outcome.moved == Int(request.length)
        if outcome.delivery == .answered && outcome.status == SCSIOutcome.Status.good && isWhole
            && request.context >> 31 == 0
        {
            return put(request.context)
        }
        post(reply(request, outcome, isWhole: isWhole))
    }

    private func reply(_ request: Pending, _ outcome: SCSIOutcome, isWhole: Bool) -> StructureBytes {
        var reply = StructureBytes(count: 36)
        reply.set(0, request.target)
        reply.set(1, request.bus)
        reply.set(2, UInt8(9))
        reply.set(3, MPTFunction.scsiIO)
        reply.set(4, request.commandCount)
        reply.set(5, request.senseCount)
        reply.set(7, request.messageFlags)
        reply.set(8, request.context)
        reply.set(12, outcome.status)
        reply.set(20, UInt32(clamping: outcome.moved))
        switch outcome.delivery {
        case .answered:
            if outcome.status == SCSIOutcome.Status.checkCondition {
                let count = outcome.sense.store(ram, at: request.sense, room: Int(request.senseCount))
                reply.set(13, count > 0 ? MPTSCSIState.autosenseValid : 0)
                reply.set(24, UInt32(clamping: count))
            } else if !isWhole {
                reply.set(14, MPTStatus.dataUnderrun)
            }
        case .noTarget:
            reply.set(13, MPTSCSIState.noStatus)
            reply.set(14, request.bus == 0 ? MPTStatus.deviceNotThere : MPTStatus.invalidBus)
        case .overrun:
            reply.set(13, MPTSCSIState.noStatus)
            reply.set(14, MPTStatus.dataOverrun)
        case .aborted, .reset:
            reply.set(13, MPTSCSIState.noStatus | MPTSCSIState.terminated)
            reply.set(14, MPTStatus.taskTerminated)
        case .invalid:
            reply.set(13, MPTSCSIState.noStatus)
            reply.set(14, MPTStatus.invalidList)
        }
        return reply
    }

    /// Puts a reply into memory that the driver handed over for it, as soon as there is some.
    func post(_ reply: StructureBytes) {
        guard waiting.isEmpty, let low = shared.frames.take() else {
            // More than all requests and messages that can be under way come by the doorbell only.
            guard waiting.count < 4 * MPTShared.credits else {
                return failed(MPTStatus.insufficientResources, "no memory for replies")
            }
            waiting.append(reply)
            shared.wantsFrames.store(true, ordering: .sequentiallyConsistent)
            // It may have come before we said so.
            if !shared.frames.isEmpty { event.signal() }
            return
        }
        write(reply, to: low)
    }

    private func write(_ reply: StructureBytes, to low: UInt32) {
        let bytes = Array(reply.bytes.prefix(Int(settings.replySize)))
        let address = settings.messageHigh | UInt64(low)
        guard (try? ram.write(bytes, at: address)) != nil else {
            return failed(MPTStatus.invalidField, "memory for replies that is none")
        }
        put(low >> 1 | 1 << 31)
    }

    /// Posts what waited for memory.
    private func postWaiting() {
        guard !waiting.isEmpty else { return }
        var done = 0
        while done < waiting.count, let low = shared.frames.take() {
            write(waiting[done], to: low)
            done += 1
        }
        waiting.removeFirst(done)
        if waiting.isEmpty { shared.wantsFrames.store(false, ordering: .sequentiallyConsistent) }
    }

    private func put(_ reply: UInt32) {
        if shared.replies.put(reply) {
            needsInterrupt = true
        } else {
            failed(MPTStatus.insufficientResources, "more replies than the driver can have asked for")
        }
    }

    override func interrupt() {
        if !needsInterrupt { return }
        needsInterrupt = false
        shared.interrupt.raise(MPTInterrupt.reply)
    }

    // MARK: Hot plug

    override func targetChanged(_ number: Int, isPresent: Bool) {
        // The parallel bus has no such event: a driver looks for targets when it is told to.
        guard model == .sas, let context = settings.eventContext, shared.isOperational else { return }
        var data = StructureBytes(count: 32)
        data.set(0, UInt8(clamping: number))
        data.set(2, isPresent ? MPTEvent.deviceAdded : MPTEvent.deviceGone)
        data.set(6, MPTSAS.handle(ofTarget: number))
        data.set(8, MPTSAS.targetInfo)
        data.set(12, MPTSAS.handle(ofPhy: number))
        data.set(14, UInt8(clamping: number))
        data.set(16, sasAddress + 1 + UInt64(number))
        post(event(MPTEvent.sasDeviceStatusChange, data.bytes, context: context))
    }

    /// The message that tells the driver of an event.
    func event(_ event: UInt32, _ data: [UInt8], context: UInt32) -> StructureBytes {
        var reply = StructureBytes(count: 28 + data.count)
        reply.set(0, UInt16(clamping: data.count / 4))
        reply.set(2, UInt8(clamping: reply.bytes.count / 4))
        reply.set(3, MPTFunction.eventNotification)
        reply.set(7, UInt8(0x80))  // more will follow for this context
        reply.set(8, context)
        reply.set(20, event)
        reply.set(28, data)
        return reply
    }
}
