import DeviceModel
import SavedState

/// The common configuration structure (virtio 1.2, section 4.1.4.3) as a state machine without side effects: a write
/// returns what is to be done.
struct CommonRegisters: Equatable, Sendable {
    enum Status {
        static let acknowledge: UInt8 = 1
        static let driver: UInt8 = 2
        static let driverReady: UInt8 = 4
        static let featuresAccepted: UInt8 = 8
        static let needsReset: UInt8 = 0x40
        static let failed: UInt8 = 0x80
    }

    /// MSI-X vector number that means none.
    static let noVector: UInt16 = 0xffff
    /// Bytes the structure takes, with queue_notify_data and queue_reset.
    static let size: UInt64 = 0x40

    struct Queue: Equatable, Sendable {
        var layout: VirtQueueLayout
        var vector = CommonRegisters.noVector
        var isEnabled = false
        /// Between a queue reset and the next enable.
        var isReset = false
    }

    /// What a write asks for.
    enum Action: Equatable {
        case none
        case reset
        /// The driver is ready.
        case activate
        case enableQueue(Int)
        case resetQueue(Int)
        /// A vector changed.
        case routeInterrupts
    }

    let offered: VirtioFeatures
    /// Sizes that queues have out of reset.
    let sizesMax: [UInt16]
    let vectorCount: Int

    private var offeredSelect: UInt32 = 0
    private var acceptedSelect: UInt32 = 0
    private(set) var accepted = VirtioFeatures()
    private(set) var configurationVector = CommonRegisters.noVector
    private(set) var status: UInt8 = 0
    private(set) var generation: UInt8 = 0
    private var select: UInt16 = 0
    private(set) var queues: [Queue]

    init(offered: VirtioFeatures, sizesMax: [UInt16], vectorCount: Int) {
        self.offered = offered
        self.sizesMax = sizesMax
        self.vectorCount = vectorCount
        queues = Self.fresh(sizesMax)
    }

    private static func fresh(_ sizesMax: [UInt16]) -> [Queue] {
        sizesMax.map { size in
            var layout = VirtQueueLayout()
            layout.size = size
            return Queue(layout: layout)
        }
    }

    var isReady: Bool { status & Status.driverReady != 0 }

    // MARK: What the device changes

    mutating func reset() {
        offeredSelect = 0
        acceptedSelect = 0
        accepted = []
        configurationVector = Self.noVector
        status = 0
        select = 0
        queues = Self.fresh(sizesMax)
    }

    mutating func bumpGeneration() { generation &+= 1 }

    /// - Returns: whether it did not need one before.
    mutating func setNeedsReset() -> Bool {
        if status & Status.needsReset != 0 { return false }
        status |= Status.needsReset
        return true
    }

    mutating func finishQueueReset(_ index: Int) {
        guard index < queues.count else { return }
        queues[index].isEnabled = false
        queues[index].isReset = true
        queues[index].layout = VirtQueueLayout()
        queues[index].layout.size = sizesMax[index]
    }

    // MARK: Saved state

    /// All that a driver has set. What it cannot have set is refused.
    mutating func code(_ coder: inout FieldCoder) {
        coder.field(&offeredSelect, "device feature select")
        coder.field(&acceptedSelect, "driver feature select")
        var features = accepted.rawValue
        coder.field(&features, "driver features")
        coder.field(&configurationVector, "configuration vector")
        coder.check(isVector(configurationVector), "there is no vector \(configurationVector)")
        coder.field(&status, "status")
        coder.field(&generation, "configuration generation")
        coder.field(&select, "queue select")
        var count = UInt16(truncatingIfNeeded: queues.count)
        coder.field(&count, "queues")
        coder.check(count == queues.count, "\(count) queues, this machine has \(queues.count)")
        guard coder.failure == nil else { return }
        accepted = VirtioFeatures(rawValue: features)
        if status & Status.featuresAccepted != 0 {
            let foreign = accepted.subtracting(offered)
            coder.check(
                foreign.isEmpty && accepted.contains(.version1),
                "the driver uses features 0x\(String(foreign.rawValue, radix: 16)), which this machine does not offer")
        } else {
            coder.check(!isReady, "the driver is ready without features")
        }
        for index in queues.indices where coder.failure == nil { codeQueue(index, &coder) }
    }

    private mutating func codeQueue(_ index: Int, _ coder: inout FieldCoder) {
        coder.field(&queues[index].layout.size, "queue size")
        let size = queues[index].layout.size
        let isPowerOfTwo = size & (size &- 1) == 0 || accepted.contains(.packedRing)
        coder.check(size > 0 && size <= sizesMax[index] && isPowerOfTwo, "a size of \(size)")
        coder.field(&queues[index].layout.descriptors, "queue descriptors")
        coder.field(&queues[index].layout.driver, "queue driver area")
        coder.field(&queues[index].layout.device, "queue device area")
        coder.field(&queues[index].vector, "queue vector")
        coder.check(isVector(queues[index].vector), "there is no vector \(queues[index].vector)")
        coder.field(&queues[index].isEnabled, "queue enable")
        coder.check(
            !queues[index].isEnabled || status & Status.featuresAccepted != 0, "it is enabled without features")
        coder.field(&queues[index].isReset, "queue reset")
    }

    private func isVector(_ number: UInt16) -> Bool { number == Self.noVector || Int(number) < vectorCount }

    // MARK: Reading

    /// Reads any width inside two neighbouring words.
    func read(_ offset: UInt64, width: Int) -> UInt64 {
        let low = UInt64(word(offset >> 2))
        let high = UInt64(word((offset >> 2) &+ 1))
        let shift = 8 * (offset & 3)
        let pair = high << 32 | low
        return (pair >> shift) & allOnes(width: width)
    }

    private var selected: Queue? { Int(select) < queues.count ? queues[Int(select)] : nil }

    private func word(_ index: UInt64) -> UInt32 {
        func pack(_ low: UInt16, _ high: UInt16) -> UInt32 { UInt32(high) << 16 | UInt32(low) }
        func half(_ value: UInt64?, _ upper: Bool) -> UInt32 {
            UInt32(truncatingIfNeeded: upper ? (value ?? 0) >> 32 : value ?? 0)
        }
        switch index {
        case 0: return offeredSelect
        case 1: return offeredSelect < 2 ? half(offered.rawValue, offeredSelect == 1) : 0
        case 2: return acceptedSelect
        case 3: return acceptedSelect < 2 ? half(accepted.rawValue, acceptedSelect == 1) : 0
        case 4: return pack(configurationVector, UInt16(truncatingIfNeeded: queues.count))
        case 5: return pack(UInt16(generation) << 8 | UInt16(status), select)
        case 6: return pack(selected?.layout.size ?? 0, selected?.vector ?? Self.noVector)
        // The doorbell of queue n is the nth.
        case 7: return pack(selected?.isEnabled == true ? 1 : 0, selected == nil ? 0 : select)
        case 8, 9: return half(selected?.layout.descriptors, index & 1 == 1)
        case 10, 11: return half(selected?.layout.driver, index & 1 == 1)
        case 12, 13: return half(selected?.layout.device, index & 1 == 1)
        // queue_notify_data is the queue's number; a queue reset is over before the write returns.
        case 14: return pack(selected == nil ? 0 : select, 0)
        default: return 0
        }
    }

    // MARK: Writing

    /// Applies a write of a whole field; others are dropped, as are writes that come at the wrong time.
    ///
    /// - Parameter accepts: whether the device can work with these features.
    mutating func write(
        _ offset: UInt64, width: Int, value: UInt64, accepts: (VirtioFeatures) -> Bool
    ) -> Action {
        let word = UInt32(truncatingIfNeeded: value)
        let short = UInt16(truncatingIfNeeded: value)
        switch (offset, width) {
        case (0x00, 4): offeredSelect = word
        case (0x08, 4): acceptedSelect = word
        case (0x0c, 4): setAccepted(word)
        case (0x10, 2):
            configurationVector = vector(short)
            return .routeInterrupts
        case (0x14, 1): return setStatus(UInt8(truncatingIfNeeded: value), accepts)
        case (0x16, 2): select = short
        case (0x18...0x3b, _):
            guard Int(select) < queues.count else { return .none }
            return writeQueue(Int(select), offset, width: width, value: value)
        default: break
        }
        return .none
    }

    private func vector(_ number: UInt16) -> UInt16 { Int(number) < vectorCount ? number : Self.noVector }

    private mutating func setAccepted(_ word: UInt32) {
        guard status & Status.featuresAccepted == 0, acceptedSelect < 2 else { return }
        let shift = UInt64(32 * acceptedSelect)
        let kept = accepted.rawValue & ~(0xffff_ffff << shift)
        accepted = VirtioFeatures(rawValue: kept | UInt64(word) << shift)
    }

    private mutating func setStatus(_ value: UInt8, _ accepts: (VirtioFeatures) -> Bool) -> Action {
        if value == 0 { return .reset }
        // A driver never takes a bit back but by reset.
        var set = value & ~status & ~Status.needsReset
        if set & Status.featuresAccepted != 0 {
            let sound = offered.isSuperset(of: accepted) && accepted.contains(.version1) && accepts(accepted)
            if !sound { set &= ~Status.featuresAccepted }
        }
        if (status | set) & Status.featuresAccepted == 0 { set &= ~Status.driverReady }
        status |= set
        return set & Status.driverReady != 0 ? .activate : .none
    }

    private mutating func writeQueue(_ index: Int, _ offset: UInt64, width: Int, value: UInt64) -> Action {
        let short = UInt16(truncatingIfNeeded: value)
        switch (offset, width) {
        case (0x1a, 2):
            queues[index].vector = vector(short)
            return .routeInterrupts
        case (0x3a, 2):
            guard short == 1, accepted.contains(.ringReset), isReady, queues[index].isEnabled else { return .none }
            return .resetQueue(index)
        default: break
        }
        // The rest is fixed once the queue is enabled, and once the driver is ready unless the queue was reset.
        guard !queues[index].isEnabled, !isReady || queues[index].isReset else { return .none }
        switch (offset, width) {
        case (0x18, 2):
            let powerOfTwo = short & (short &- 1) == 0 || accepted.contains(.packedRing)
            if short > 0, short <= sizesMax[index], powerOfTwo { queues[index].layout.size = short }
        case (0x1c, 2):
            guard short == 1, status & Status.featuresAccepted != 0 else { return .none }
            queues[index].isEnabled = true
            queues[index].isReset = false
            return .enableQueue(index)
        default: setAddress(index, offset, width: width, value: value)
        }
        return .none
    }

    private mutating func setAddress(_ index: Int, _ offset: UInt64, width: Int, value: UInt64) {
        let field: WritableKeyPath<VirtQueueLayout, UInt64>
        switch offset & ~7 {
        case 0x20: field = \.descriptors
        case 0x28: field = \.driver
        case 0x30: field = \.device
        default: return
        }
        let before = queues[index].layout[keyPath: field]
        let after: UInt64
        switch (offset & 7, width) {
        case (0, 8): after = value
        case (0, 4): after = before & ~0xffff_ffff | value & 0xffff_ffff
        case (4, 4): after = before & 0xffff_ffff | value << 32
        default: return
        }
        queues[index].layout[keyPath: field] = after
    }
}
