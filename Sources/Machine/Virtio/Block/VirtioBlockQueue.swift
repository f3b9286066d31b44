import DeviceModel
import GuestMemory
import Linux
import Synchronization

/// A request queue of the block device.
///
/// Requests go from the ring to the disk's queue in batches: everything the driver offered with one doorbell is submitted
/// with one commit, and everything that completes together is given back with one interrupt. While a batch is worked off
/// the driver is asked not to ring; completions look into the ring as well.
@safe final class VirtioBlockQueue: VirtioQueue, @unchecked Sendable {
    // @unchecked: as for VirtioQueue; the state belongs to the loop's thread.

    /// What changes from request to request, behind a pointer: no exclusivity checks.
    @safe private struct State {
        /// How many slots exist. They are made when first needed, and stay.
        var made = 0
        /// How many are on the stack of free ones.
        var free = 0
        /// `process` is on the stack: it looks into the ring by itself.
        var isProcessing = false
        /// The ring may hold requests for which there was no free slot.
        var isStarved = false
        /// Requests were answered without the disk, and the driver has not seen it.
        var needsPublish = false
        /// The loop looks into the ring by itself.
        var isPolled = false
    }

    /// Tells the queue what the disk has done.
    @safe private final class Completions: BlockClient, @unchecked Sendable {  // belongs to the loop's thread
        // The queue owns this object and closes the disk's queue before it goes.
        private let queue: Unmanaged<VirtioBlockQueue>
        init(_ queue: VirtioBlockQueue) { unsafe self.queue = .passUnretained(queue) }

        override func blockRequestDone(_ tag: UInt32, _ status: BlockStatus) {
            unsafe queue._withUnsafeGuaranteedRef { $0.requestDone(Int(tag), status) }
        }
        override func blockBatchDone() { unsafe queue._withUnsafeGuaranteedRef { $0.batchDone() } }
        override func blockBatchesDone() { unsafe queue._withUnsafeGuaranteedRef { $0.notify() } }
    }

    /// What the device's queues share.
    final class Settings: Sendable {
        /// Twenty bytes, padded with zeros.
        let identity: [UInt8]
        let mayDiscard: Bool
        /// What the driver accepted.
        let features = Atomic<UInt64>(0)
        /// Whether completed writes may sit in a volatile cache.
        let isWriteback = Atomic<Bool>(true)

        init(_ geometry: BlockGeometry) {
            let text = geometry.identity.utf8.prefix(20).map { $0 >= 0x20 && $0 < 0x7f ? $0 : UInt8(ascii: "?") }
            identity = text + [UInt8](repeating: 0, count: 20 - text.count)
            mayDiscard = geometry.canDiscard
        }

        func accepted(_ feature: VirtioFeatures) -> Bool {
            features.load(ordering: .relaxed) & feature.rawValue != 0
        }
    }

    /// Requests that need no disk, before other handlers of the loop get a turn.
    private static let immediateMax = 64

    let disk: any BlockQueue
    private let settings: Settings
    private let ram: GuestRAM
    private let segmentsMax: Int
    private let depth: Int
    private let slots: UnsafeMutablePointer<BlockSlot>
    private let freeSlots: UnsafeMutablePointer<UInt16>
    private let state: UnsafeMutablePointer<State>
    private var completions: Completions?

    init(
        index: Int, size: UInt16, ram: GuestRAM, loop: EventLoop?, disk: any BlockQueue, settings: Settings,
        segmentsMax: Int
    ) throws(SystemError) {
        self.disk = disk
        self.settings = settings
        self.ram = ram
        self.segmentsMax = segmentsMax
        depth = disk.depth
        unsafe slots = .allocate(capacity: depth)
        unsafe freeSlots = .allocate(capacity: depth)
        unsafe state = .allocate(capacity: 1)
        unsafe state.initialize(to: State())
        try super.init(index: index, sizeMax: size, ram: ram, loop: loop)
        let completions = Completions(self)
        self.completions = completions
        disk.attach(completions)
    }

    deinit {
        unsafe slots.deinitialize(count: state.pointee.made)
        unsafe slots.deallocate()
        unsafe freeSlots.deallocate()
        unsafe state.deallocate()
    }

    // MARK: Running

    override func started() {
        // Requests that waited for an answer while the ring was reset are nobody's any more.
        if ring.inFlight == 0 { abandonWaiting() }
        do throws(SystemError) {
            try disk.resume()
            loop?.addPoller(self)
        } catch {
            device?.needsReset("queue \(index): \(error)")
        }
    }

    override func stopped() {
        // Everything comes back now, except what waits for an answer because the storage is full.
        loop?.removePoller(self)
        disk.suspend()
        unsafe state.pointee.isStarved = false
    }

    /// Forgets the requests that wait for an answer. Only while stopped.
    func abandonWaiting() {
        disk.abandonWaiting()
        for index in 0..<(unsafe state.pointee.made) { unsafe freeSlots[index] = UInt16(truncatingIfNeeded: index) }
        unsafe state.pointee.free = state.pointee.made
    }

    override func beginPolling() {
        ring.disableNotifications()
        unsafe state.pointee.isPolled = true
    }

    override func poll() -> Bool {
        guard ring.hasNext, unsafe !state.pointee.isStarved else { return false }
        process()
        return true
    }

    override func endPolling() {
        unsafe state.pointee.isPolled = false
        if unsafe !state.pointee.isStarved && ring.enableNotifications() { process() }
    }

    /// Asks the driver to ring again, or relies on being polled.
    ///
    /// - Returns: true if there is work already.
    private func awaitDriver() -> Bool {
        unsafe state.pointee.isPolled ? ring.hasNext : ring.enableNotifications()
    }

    override func process() {
        // Stopped by a failure that the driver has been told of, or called from within a commit.
        if unsafe state.pointee.isProcessing { return }
        unsafe state.pointee.isProcessing = true
        var isWaiting = false
        repeat {
            ring.disableNotifications()
            isWaiting = !takeRequests()
            disk.commit()
            publishAnswers()
        } while !isWaiting && awaitDriver()
        unsafe state.pointee.isProcessing = false
    }

    /// Submits what the driver offers.
    ///
    /// - Returns: false if there may be more, and we will come back by ourselves.
    private func takeRequests() -> Bool {
        var immediate = 0
        while true {
            guard let index = takeSlot() else {
                unsafe state.pointee.isStarved = true
                return false
            }
            guard next(into: &(unsafe slots[index].chain)) else {
                freeSlot(index)
                unsafe state.pointee.isStarved = false
                return true
            }
            if unsafe start(index, &slots[index]) { continue }
            immediate &+= 1
            if immediate == Self.immediateMax {
                again()
                return false
            }
        }
    }

    private func takeSlot() -> Int? {
        if unsafe state.pointee.free > 0 {
            unsafe state.pointee.free &-= 1
            return unsafe Int(freeSlots[state.pointee.free])
        }
        let index = unsafe state.pointee.made
        if index == depth { return nil }
        unsafe (slots + index).initialize(to: BlockSlot(ram, segmentsMax: segmentsMax))
        unsafe state.pointee.made = index &+ 1
        return index
    }

    private func freeSlot(_ index: Int) {
        // The one used last is the one in the processor's cache.
        unsafe freeSlots[state.pointee.free] = UInt16(truncatingIfNeeded: index)
        unsafe state.pointee.free &+= 1
    }

    private func publishAnswers() {
        if unsafe state.pointee.needsPublish {
            unsafe state.pointee.needsPublish = false
            publish()
        }
    }

    // MARK: Completion (from the disk)

    private func requestDone(_ index: Int, _ status: BlockStatus) {
        if unsafe status == .done && slots[index].rangeNext < slots[index].rangeCount {
            unsafe submitRange(index, &slots[index])
            return
        }
        unsafe finish(index, &slots[index], BlockRequestStatus.code(status))
    }

    private func batchDone() {
        unsafe state.pointee.needsPublish = false
        ring.publish()
        // What is taken now is committed together with whatever else the completions led to.
        guard isRunning else { return }
        if unsafe state.pointee.isProcessing {
            if ring.hasNext { _ = takeRequests() }
        } else if unsafe state.pointee.isStarved || ring.hasNext {
            repeat { ring.disableNotifications() } while takeRequests() && awaitDriver()
            publishAnswers()
        }
    }

    /// Gives a request back.
    private func finish(_ index: Int, _ slot: inout BlockSlot, _ code: UInt8) {
        if code != BlockRequestStatus.done { slot.filled = 0 }
        ring.push(slot.chain, written: slot.answer(code))
        unsafe state.pointee.needsPublish = true
        slot.rangeCount = 0
        slot.rangeNext = 0
        freeSlot(index)
    }

    // MARK: Requests

    /// Begins a request that was just taken.
    ///
    /// - Returns: false if it is answered already.
    private func start(_ index: Int, _ slot: inout BlockSlot) -> Bool {
        guard slot.takeStatus() else {
            // There is nowhere to put an answer: give it back unanswered, and ask for a reset.
            breakDown()
            freeSlot(index)
            return false
        }
        guard let header = slot.takeHeader() else {
            finish(index, &slot, BlockRequestStatus.failed)
            return false
        }
        let code: UInt8
        switch header.type {
        case BlockRequestType.read, BlockRequestType.write:
            if submitTransfer(index, &slot, isRead: header.type == BlockRequestType.read, header.sector) { return true }
            code = BlockRequestStatus.failed
        case BlockRequestType.flush:
            if disk.submit(BlockRequest(.flush, tag: UInt32(truncatingIfNeeded: index))) { return true }
            code = BlockRequestStatus.failed
        case BlockRequestType.discard:
            code = takeRanges(&slot, .discard)
        case BlockRequestType.writeZeroes:
            code = takeRanges(&slot, .writeZeroes)
        case BlockRequestType.getIdentity:
            code = answerIdentity(&slot)
        default:
            code = BlockRequestStatus.unsupported
        }
        if code == BlockRequestStatus.done && slot.rangeCount > 0 {
            submitRange(index, &slot)
            return true
        }
        finish(index, &slot, code)
        return false
    }

    private func submitTransfer(_ index: Int, _ slot: inout BlockSlot, isRead: Bool, _ sector: UInt64) -> Bool {
        // The length is checked against the block size, the range against the capacity by the disk.
        let (offset, overflow) = sector.multipliedReportingOverflow(by: BlockConfiguration.sectorSize)
        if overflow { return false }
        let segments = unsafe isRead ? slot.chain.writable : slot.chain.readable
        let count = isRead ? slot.chain.writableCount : slot.chain.readableCount
        if isRead { slot.filled = UInt32(truncatingIfNeeded: count) }
        let isDurable = !isRead && !settings.isWriteback.load(ordering: .relaxed)
        return unsafe disk.submit(
            BlockRequest(
                isRead ? .read : .write, tag: UInt32(truncatingIfNeeded: index), offset: offset,
                count: UInt64(truncatingIfNeeded: count), segments: segments.baseAddress, segmentCount: segments.count,
                options: isDurable ? .durable : []))
    }

    private func answerIdentity(_ slot: inout BlockSlot) -> UInt8 {
        let written = unsafe settings.identity.withUnsafeBytes { unsafe slot.chain.scatter($0) }
        slot.filled = UInt32(truncatingIfNeeded: written)
        return BlockRequestStatus.done
    }

    /// Copies and checks the ranges of a discard or write-zeroes request (5.2.6.2).
    private func takeRanges(_ slot: inout BlockSlot, _ operation: BlockOperation) -> UInt8 {
        let isDiscard = operation == .discard
        guard settings.accepted(isDiscard ? .blockDiscard : .blockWriteZeroes) else {
            return BlockRequestStatus.unsupported
        }
        let bytes = slot.chain.readableCount
        let count = bytes / BlockRange.size
        guard bytes % BlockRange.size == 0, count > 0, count <= BlockConfiguration.rangesMax else {
            return BlockRequestStatus.failed
        }
        for index in 0..<count {
            let at = index &* BlockRange.size
            guard let sector = slot.chain.load(UInt64.self, at: at),
                let length = slot.chain.load(UInt32.self, at: at + 8),
                let flags = slot.chain.load(UInt32.self, at: at + 12)
            else { return BlockRequestStatus.failed }
            let allowed = isDiscard || !settings.mayDiscard ? 0 : BlockRange.unmap
            guard flags & ~allowed == 0 else { return BlockRequestStatus.unsupported }
            guard length > 0, length <= BlockConfiguration.rangeSectorsMax,
                !sector.multipliedReportingOverflow(by: BlockConfiguration.sectorSize).overflow
            else { return BlockRequestStatus.failed }
            slot.ranges[index] = BlockRange(sector: sector, count: length, flags: flags)
        }
        slot.operation = operation
        slot.rangeNext = 0
        slot.rangeCount = count
        return BlockRequestStatus.done
    }

    /// Submits a request's next range.
    private func submitRange(_ index: Int, _ slot: inout BlockSlot) {
        let range = slot.ranges[slot.rangeNext & 15]
        slot.rangeNext &+= 1
        var options: BlockOptions = range.flags & BlockRange.unmap != 0 ? .mayUnmap : []
        if !settings.isWriteback.load(ordering: .relaxed) { options.insert(.durable) }
        let request = BlockRequest(
            slot.operation, tag: UInt32(truncatingIfNeeded: index),
            offset: range.sector &* BlockConfiguration.sectorSize,
            count: UInt64(range.count) &* BlockConfiguration.sectorSize, options: options)
        if !disk.submit(request) { finish(index, &slot, BlockRequestStatus.failed) }
    }
}
