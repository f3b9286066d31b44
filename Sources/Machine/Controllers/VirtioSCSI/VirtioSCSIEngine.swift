import DeviceModel
import GuestMemory
import Linux
import Synchronization
import Virtio

/// Takes requests from virtio queues and gives them back. Belongs to the host's loop.
@safe final class VirtioSCSIEngine: SCSIEngine, @unchecked Sendable {
    // @unchecked: as for SCSIEngine; the sizes are atomic.

    /// What giving a request back needs of it.
    private struct Pending: ~Copyable {
        /// Where the response goes.
        var response: SegmentList
        var head = ChainHead()
        /// Index of the queue among those of requests; -1 once the queue was reset.
        var queue = -1
        var tag: UInt64 = 0
        var length = 0

        init(_ ram: GuestRAM) { response = SegmentList(ram, limit: 64) }
    }

    /// Lengths of a request and a response without their variable parts.
    private static let requestSize = 19
    private static let responseSize = 12

    private let queues: [VirtioSCSIRequestQueue]
    /// The same once more: reaching them counts no references.
    private let hotQueues: UnsafeMutablePointer<Unmanaged<VirtioSCSIRequestQueue>>
    private let queueCount: Int
    let events: VirtioSCSIEventQueue
    let senseSize = Atomic<UInt32>(VirtioSCSIConfiguration.senseSizeDefault)
    let commandSize = Atomic<UInt32>(VirtioSCSIConfiguration.commandSizeDefault)
    /// Whether the driver wants to know of targets that come and go, and of units that change.
    let tellsTargets = Atomic<Bool>(false)
    let tellsUnits = Atomic<Bool>(false)
    private let log: @Sendable (String) -> Void
    /// By slot; as many are made as there are slots.
    private let pending: UnsafeMutablePointer<Pending>
    private var madePending = 0
    private var chain: DescriptorChain
    private var isPolled = false
    /// The queue that is looked at first.
    private var firstQueue = 0

    init(
        _ drives: [SCSIDrive?], queues: [VirtioSCSIRequestQueue], events: VirtioSCSIEventQueue, ram: GuestRAM,
        loop: EventLoop?, depth: Int, segmentsMax: Int,
        trayMoved: @escaping @Sendable (_ target: Int, _ isOut: Bool) -> Void, log: @escaping @Sendable (String) -> Void
    ) throws(SystemError) {
        self.queues = queues
        self.events = events
        self.log = log
        queueCount = queues.count
        unsafe hotQueues = .allocate(capacity: queues.count)
        for (index, queue) in queues.enumerated() {
            unsafe (hotQueues + index).initialize(to: .passUnretained(queue))
        }
        unsafe pending = .allocate(capacity: depth)
        // A header and a response besides the data.
        chain = DescriptorChain(ram, capacity: segmentsMax + 2)
        try super.init(drives, ram: ram, loop: loop, depth: depth, trayMoved: trayMoved)
        for queue in queues { unsafe queue.engine = self }
    }

    deinit {
        unsafe hotQueues.deallocate()
        unsafe pending.deinitialize(count: madePending)
        unsafe pending.deallocate()
    }

    @inline(__always)
    private func withQueue<T>(_ index: Int, _ body: (VirtioSCSIRequestQueue) -> T) -> T {
        unsafe hotQueues[index]._withUnsafeGuaranteedRef { body($0) }
    }

    // MARK: Queues that start and stop

    func started(_ queue: VirtioSCSIRequestQueue) {
        do throws(SystemError) { try start() } catch { return log("virtio-scsi: \(error)") }
        // Requests that waited for an answer while the ring was reset are nobody's any more.
        if queue.ring.inFlight == 0 { disown(queue) }
    }

    /// Everything of the queue comes back now, except what waits for an answer because the storage is full.
    func stopped(_ queue: VirtioSCSIRequestQueue) {
        settleDisks()
        publish()
    }

    private func disown(_ queue: VirtioSCSIRequestQueue) {
        guard let number = queues.firstIndex(where: { $0 === queue }) else { return }
        let pending = unsafe self.pending
        var isAny = false
        for index in 0..<made where unsafe slots[index].isInFlight && pending[index].queue == number {
            unsafe pending[index].queue = -1
            isAny = true
        }
        guard isAny else { return }
        for number in 0..<Self.targetCount {
            guard let target = target(number) else { continue }
            endCommands(of: target, .lost(.reset)) { unsafe pending[$0].queue < 0 }
        }
    }

    // MARK: Polling

    override func beginPolling() {
        isPolled = true
        for index in 0..<queueCount { withQueue(index) { $0.ring.disableNotifications() } }
    }

    override func endPolling() {
        isPolled = false
        if isServing && !isStarved && awaitDriver() { serve() }
    }

    // MARK: Requests

    override func hasNext() -> Bool {
        for index in 0..<queueCount where withQueue(index, { $0.isRunning && $0.ring.hasNext }) { return true }
        return false
    }

    override func awaitDriver() -> Bool {
        if isPolled { return hasNext() }
        var isWaiting = false
        for index in 0..<queueCount
        where withQueue(index, { $0.isRunning && $0.ring.enableNotifications() }) { isWaiting = true }
        return isWaiting
    }

    override func takeCommands() -> Bool {
        isStarved = false
        var immediate = 0
        for step in 0..<queueCount {
            let number = (firstQueue &+ step) % queueCount
            guard withQueue(number, { $0.isRunning }) else { continue }
            withQueue(number) { $0.ring.disableNotifications() }
            for _ in 0..<depth {
                guard withQueue(number, { $0.ring.hasNext }) else { break }
                guard let index = takeSlot() else {
                    // Who had to wait is first the next time.
                    firstQueue = number
                    return false
                }
                guard withQueue(number, { $0.next(into: &chain) }) else {
                    giveBack(index)
                    break
                }
                if index == madePending {
                    unsafe (pending + index).initialize(to: Pending(ram))
                    madePending &+= 1
                }
                if unsafe begin(index, &slots[index], &pending[index], queue: number) { continue }
                immediate &+= 1
                if immediate == Self.immediateMax && loop != nil {
                    event.signal()
                    return false
                }
            }
        }
        return true
    }

    /// Begins a request (virtio 1.2, section 5.6.6.1): address of 8 bytes, tag u64, attributes of 3 bytes, command, then data to
    /// the device; and back the response, then data to the host.
    ///
    /// - Returns: whether a disk is at work on it; else it has ended.
    private func begin(_ index: Int, _ slot: inout SCSISlot, _ request: inout Pending, queue: Int) -> Bool {
        let commandSize = Int(commandSize.load(ordering: .relaxed))
        let responseSize = Self.responseSize &+ Int(senseSize.load(ordering: .relaxed))
        guard let address = chain.load(UInt64.self), let tag = chain.load(UInt64.self, at: 8),
            let high = command(0, commandSize), let low = command(8, commandSize),
            Self.take(&request.response, responseSize, &chain)
        else {
            // There is nowhere to put an answer, or nothing to answer: ask for a reset.
            withQueue(queue) { $0.breakDown() }
            giveBack(index)
            return false
        }
        request.head = chain.head
        request.queue = queue
        request.tag = tag
        chain.dropReadable(first: Self.requestSize &+ commandSize)
        let place = VirtioSCSIAddress(address)
        slot.target = place.target
        slot.unit = place.unit
        slot.direction = chain.writableCount > 0 ? .toHost : chain.readableCount > 0 ? .toDevice : .none
        request.length = slot.direction == .toHost ? chain.writableCount : chain.readableCount
        guard fill(&slot) else {
            finish(index, &slot, .lost(.invalid))
            return false
        }
        return execute(index, &slot, SCSICommand(high: high, low: low))
    }

    /// Eight bytes of the command, the first in the highest bits; zeros beyond its end.
    private func command(_ offset: Int, _ size: Int) -> UInt64? {
        if offset &+ 8 <= size { return chain.load(UInt64.self, at: Self.requestSize &+ offset)?.byteSwapped }
        var bytes: UInt64 = 0
        for index in 0..<8 {
            bytes <<= 8
            guard offset &+ index < size else { continue }
            guard let byte = chain.load(UInt8.self, at: Self.requestSize &+ offset &+ index) else { return nil }
            bytes |= UInt64(byte)
        }
        return bytes
    }

    /// Moves the first bytes of a chain's writable part to a list.
    ///
    /// - Returns: whether there were so many, in not too many pieces.
    private static func take(_ list: inout SegmentList, _ count: Int, _ chain: inout DescriptorChain) -> Bool {
        list.clear()
        guard chain.writableCount >= count else { return false }
        let pieces = unsafe chain.writable
        for index in 0..<pieces.count {
            guard list.byteCount < count, let address = chain.writableAddress(index) else { break }
            let length = unsafe min(pieces[index].count, count &- list.byteCount)
            guard (try? list.append(address, length)) != nil else { return false }
        }
        chain.dropWritable(first: count)
        return list.byteCount == count
    }

    private func fill(_ slot: inout SCSISlot) -> Bool {
        slot.segments.clear()
        switch slot.direction {
        case .none: return true
        case .toHost:
            let pieces = unsafe chain.writable
            for index in 0..<pieces.count {
                guard let address = chain.writableAddress(index),
                    (try? slot.segments.append(address, unsafe pieces[index].count)) != nil
                else { return false }
            }
        case .toDevice:
            let pieces = unsafe chain.readable
            for index in 0..<pieces.count {
                guard let address = chain.readableAddress(index),
                    (try? slot.segments.append(address, unsafe pieces[index].count)) != nil
                else { return false }
            }
        }
        return true
    }

    override func commandDone(_ index: Int, _ slot: inout SCSISlot, _ outcome: SCSIOutcome) {
        unsafe giveBack(&pending[index], outcome, isRead: slot.direction == .toHost)
    }

    private func giveBack(_ request: inout Pending, _ outcome: SCSIOutcome, isRead: Bool) {
        let number = request.queue
        request.queue = -1
        guard number >= 0 else { return }
        let hasSense = outcome.status == SCSIOutcome.Status.checkCondition
        let room = max(request.response.byteCount &- Self.responseSize, 0)
        let senseCount = hasSense ? min(SCSISense.size, room) : 0
        var header: InlineArray<12, UInt8> = InlineArray(repeating: 0)
        let residual = UInt32(clamping: max(request.length &- outcome.moved, 0))
        header[0] = UInt8(truncatingIfNeeded: senseCount)
        for byte in 0..<4 { header[4 &+ byte] = UInt8(truncatingIfNeeded: residual >> UInt32(8 &* byte)) }
        header[10] = outcome.status
        header[11] = Self.response(outcome.delivery)
        _ = unsafe withUnsafeBytes(of: &header) { unsafe request.response.scatter($0) }
        if senseCount > 0 { request.response.scatter(Array(outcome.sense.bytes.prefix(senseCount)), at: 12) }
        let written = request.response.byteCount &+ (isRead ? outcome.moved : 0)
        withQueue(number) { queue in
            queue.ring.push(request.head, written: UInt32(truncatingIfNeeded: written))
            queue.needsPublish = true
        }
    }

    private static func response(_ delivery: SCSIOutcome.Delivery) -> UInt8 {
        switch delivery {
        case .answered: VirtioSCSIResponse.done
        case .noTarget: VirtioSCSIResponse.badTarget
        case .overrun: VirtioSCSIResponse.overrun
        case .aborted: VirtioSCSIResponse.aborted
        case .reset: VirtioSCSIResponse.reset
        case .invalid: VirtioSCSIResponse.failure
        }
    }

    override func publish() {
        for index in 0..<queueCount {
            withQueue(index) { queue in
                guard queue.needsPublish else { return }
                queue.needsPublish = false
                queue.ring.publish()
            }
        }
    }

    override func interrupt() {
        for index in 0..<queueCount { withQueue(index) { $0.notify() } }
    }

    // MARK: Tasks

    private enum Task {
        static let abort: UInt32 = 0
        static let abortSet: UInt32 = 1
        static let clearSet: UInt32 = 3
        static let nexusReset: UInt32 = 4
        static let unitReset: UInt32 = 5
        static let query: UInt32 = 6
        static let querySet: UInt32 = 7
    }

    func manageTask(_ kind: UInt32, _ address: VirtioSCSIAddress, tag: UInt64) -> UInt8 {
        // A request that it is about may not have been taken yet.
        serve()
        guard let target = target(address.target) else { return VirtioSCSIResponse.badTarget }
        if kind != Task.nexusReset && address.unit != 0 { return VirtioSCSIResponse.incorrectUnit }
        let pending = unsafe self.pending
        let mine = (0..<made).filter { index in
            unsafe slots[index].isInFlight && slots[index].target == target.number
        }
        switch kind {
        case Task.abort:
            endCommands(of: target, .lost(.aborted)) { unsafe pending[$0].tag == tag }
        case Task.abortSet, Task.clearSet:
            endCommands(of: target, .lost(.aborted)) { _ in true }
        case Task.nexusReset, Task.unitReset: resetTarget(target.number)
        case Task.query:
            return mine.contains { unsafe pending[$0].tag == tag }
                ? VirtioSCSIResponse.succeeded : VirtioSCSIResponse.done
        case Task.querySet: return mine.isEmpty ? VirtioSCSIResponse.done : VirtioSCSIResponse.succeeded
        default: return VirtioSCSIResponse.rejected
        }
        return VirtioSCSIResponse.done
    }

    // MARK: Events

    private func tell(_ event: UInt32, _ number: Int, _ reason: UInt32) {
        events.tell(VirtioSCSIEvent(event: event, target: UInt8(clamping: number), reason: reason))
    }

    override func targetChanged(_ number: Int, isPresent: Bool) {
        guard tellsTargets.load(ordering: .relaxed) else { return }
        tell(
            VirtioSCSIEvent.transportReset, number, isPresent ? VirtioSCSIEvent.rescan : VirtioSCSIEvent.removed)
    }

    override func sizeChanged(_ number: Int) {
        guard tellsUnits.load(ordering: .relaxed) else { return }
        let sense = SCSISense.capacityChanged
        tell(VirtioSCSIEvent.parameterChange, number, UInt32(sense.code) | UInt32(sense.qualifier) << 8)
    }
}
