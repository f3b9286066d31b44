public import GuestMemory
public import Linux
public import SavedState
import Synchronization

/// What a guest says about its memory, in bytes or counts; nil where it says nothing (virtio 1.2, section 5.5.6.4).
public struct BalloonStatistics: Equatable, Sendable {
    public var swappedIn: UInt64?
    public var swappedOut: UInt64?
    public var majorFaults: UInt64?
    public var minorFaults: UInt64?
    public var free: UInt64?
    public var total: UInt64?
    /// What could be taken without pushing the guest into swapping.
    public var available: UInt64?
    public var caches: UInt64?

    public init() {}

    mutating func set(_ tag: UInt16, _ value: UInt64) {
        switch tag {
        case 0: swappedIn = value
        case 1: swappedOut = value
        case 2: majorFaults = value
        case 3: minorFaults = value
        case 4: free = value
        case 5: total = value
        case 6: available = value
        case 7: caches = value
        default: break
        }
    }
}

/// The memory balloon (virtio 1.2, section 5.5): the guest gives pages back when the host asks, and by itself reports
/// those that are free.
///
/// Pages come back by being touched, so the guest need not wait for the host when it takes some.
public final class VirtioBalloon: VirtioDevice, @unchecked Sendable {
    // @unchecked: queues belong to their loop; the rest is guarded.

    private enum Feature {
        static let statistics = VirtioFeatures(bit: 1)
        static let deflateOnOutOfMemory = VirtioFeatures(bit: 2)
        static let pagePoison = VirtioFeatures(bit: 4)
        static let pageReporting = VirtioFeatures(bit: 5)
    }

    /// Offsets in the configuration.
    private enum Field {
        static let actual = 4
        static let poison = 12
    }

    private let shared: BalloonState
    private let pages: [BalloonQueue]

    /// - Parameters:
    ///   - deflatesOnOutOfMemory: let the guest take pages back on its own when it runs short.
    ///   - reportsFreePages: let the guest give free pages back on its own.
    public init(
        _ memory: GuestMemory, loop: EventLoop?, deflatesOnOutOfMemory: Bool = true, reportsFreePages: Bool = true
    ) throws(SystemError) {
        shared = BalloonState(memory)
        var features: VirtioFeatures = [Feature.statistics, Feature.pagePoison]
        if reportsFreePages { features.insert(Feature.pageReporting) }
        if deflatesOnOutOfMemory { features.insert(Feature.deflateOnOutOfMemory) }
        var queues: [BalloonQueue] = []
        for index in 0..<4 {
            queues.append(try BalloonQueue(index: index, ram: memory.ram, loop: loop, shared: shared))
        }
        pages = queues
        super.init(.balloon, features: features, queues: queues)
    }

    // MARK: The host's side (from any thread)

    /// How many bytes the guest should give back.
    public var target: Int {
        get { shared.values.withLock { Int($0.target) << 12 } }
        set {
            let pages = UInt32(clamping: max(newValue, 0) >> 12)
            if shared.values.withLock({ $0.target == pages }) { return }
            updateConfiguration { shared.values.withLock { $0.target = pages } }
        }
    }

    /// How many bytes the guest says it has given back.
    public var actual: Int { shared.values.withLock { Int($0.actual) << 12 } }

    /// What the guest said last about its memory.
    public var statistics: BalloonStatistics { shared.values.withLock { $0.statistics } }

    /// Bytes given back to the host so far, counting a page again each time it is given.
    public var reclaimedBytes: UInt64 { shared.reclaimed.load(ordering: .relaxed) }

    /// Asks the guest for new statistics; they appear in `statistics` when it answers.
    public func requestStatistics() {
        for queue in pages { queue.requestStatistics() }
    }

    // MARK: Saved state

    public override func saveState(_ coder: inout FieldCoder) {
        var values = shared.values.withLock { $0 }
        code(&values, &coder)
    }

    public override func restoreState(_ coder: inout FieldCoder) {
        var values = BalloonState.Values()
        code(&values, &coder)
        guard coder.failure == nil else { return }
        shared.values.withLock { [values] in $0 = values }
    }

    /// Statistics come anew when somebody asks.
    private func code(_ values: inout BalloonState.Values, _ coder: inout FieldCoder) {
        coder.field(&values.target, "target")
        coder.field(&values.actual, "actual")
        coder.field(&values.poison, "poison")
    }

    // MARK: Device

    public override func readConfiguration(_ offset: Int, width: Int) -> UInt64 {
        // num_pages u32, actual u32, free_page_hint_cmd_id u32, poison_val u32.
        let values = shared.values.withLock { $0 }
        var configuration = DeviceConfiguration()
        configuration.append(values.target)
        configuration.append(values.actual)
        configuration.append(UInt32(0))
        configuration.append(values.poison)
        return configuration.read(offset, width: width)
    }

    public override func writeConfiguration(_ offset: Int, width: Int, value: UInt64) {
        guard width == 4 else { return }
        let word = UInt32(truncatingIfNeeded: value)
        shared.values.withLock { values in
            if offset == Field.actual { values.actual = word }
            if offset == Field.poison { values.poison = word }
        }
    }

    public override func activate(_ features: VirtioFeatures) {
        // Drivers number the queues of the features they accepted without gaps.
        var roles: [BalloonQueue.Role] = [.inflate, .deflate]
        if features.contains(Feature.statistics) { roles.append(.statistics) }
        if features.contains(Feature.pageReporting) { roles.append(.reporting) }
        for (index, queue) in pages.enumerated() {
            queue.role = index < roles.count ? roles[index] : .none
            queue.knowsPoison = features.contains(Feature.pagePoison)
        }
    }

    public override func reset() {
        shared.values.withLock { values in
            values.actual = 0
            values.poison = 0
            values.statistics = BalloonStatistics()
        }
        for queue in pages { queue.role = .none }
    }
}

/// What the device and its queues share.
final class BalloonState: Sendable {
    struct Values {
        /// How many pages of 4 KiB the guest should give.
        var target: UInt32 = 0
        /// How many it says it has given.
        var actual: UInt32 = 0
        /// What the guest fills free pages with.
        var poison: UInt32 = 0
        var statistics = BalloonStatistics()
    }

    let values = Mutex(Values())
    let reclaimed = Atomic<UInt64>(0)
    private let memory: GuestMemory

    init(_ memory: GuestMemory) { self.memory = memory }

    func discard(_ address: GuestAddress, count: Int) {
        reclaimed.add(UInt64(memory.discard(address, count: count)), ordering: .relaxed)
    }
}
