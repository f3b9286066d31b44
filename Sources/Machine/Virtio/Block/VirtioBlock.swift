public import DeviceModel
public import GuestMemory
public import Linux
public import SavedState
import Synchronization

/// The block device (virtio 1.2, section 5.2) over a `BlockBackend`.
///
/// Offered: SEG_MAX, BLK_SIZE, FLUSH, TOPOLOGY, CONFIG_WCE, WRITE_ZEROES, and as they apply MQ, DISCARD, RO. Left out:
/// SIZE_MAX and GEOMETRY (no driver needs them), LIFETIME, SECURE_ERASE and zones.
///
/// A driver that accepts neither FLUSH nor CONFIG_WCE gets write-through: each write is durable when it completes.
public final class VirtioBlock: VirtioDevice, @unchecked Sendable {
    // @unchecked: the configuration is guarded by its mutex, the rest immutable.

    /// How many stretches of data a request may have. Linux fills 1 MiB of single pages with them.
    static let segmentsMax = 254
    /// A ring entry too is taken for each.
    public static let queueSizeDefault: UInt16 = 256

    private let backend: any BlockBackend
    private let blockQueues: [VirtioBlockQueue]
    private let settings: VirtioBlockQueue.Settings
    private let configuration: Mutex<BlockConfiguration>

    /// - Parameters:
    ///   - loops: where the queues are served, in turn; nil stands for a test that serves them itself. Not empty.
    ///   - queueCount: how many queues the driver can use; not more than there are vCPUs is useful.
    ///   - queueSize: the most ring entries a queue can have, which is also how many requests are in flight at most.
    public init(
        _ backend: any BlockBackend, ram: GuestRAM, loops: [EventLoop?], queueCount: Int = 1,
        queueSize: UInt16 = VirtioBlock.queueSizeDefault
    ) throws(SystemError) {
        precondition(!loops.isEmpty && queueCount > 0, "a block device has a queue, and the queue a loop")
        precondition(queueSize <= 4096, "a disk's queue has at most 4096 requests in flight")
        self.backend = backend
        let geometry = backend.geometry
        settings = VirtioBlockQueue.Settings(geometry)
        configuration = Mutex(
            BlockConfiguration(geometry, queueCount: queueCount, segmentsMax: Self.segmentsMax))
        var queues: [VirtioBlockQueue] = []
        for index in 0..<queueCount {
            let loop = loops[index % loops.count]
            let disk = try backend.makeQueue(on: loop, depth: Int(queueSize))
            queues.append(
                try VirtioBlockQueue(
                    index: index, size: queueSize, ram: ram, loop: loop, disk: disk, settings: settings,
                    segmentsMax: Self.segmentsMax))
        }
        blockQueues = queues
        super.init(.block, features: Self.features(geometry, queueCount: queueCount), queues: queues)
        backend.observeGeometry { [weak self] geometry in self?.resized(geometry) }
    }

    private static func features(_ geometry: BlockGeometry, queueCount: Int) -> VirtioFeatures {
        var features: VirtioFeatures = [.blockSegmentsMax, .blockSize, .blockFlush, .blockTopology]
        if geometry.isReadOnly {
            features.insert(.blockReadOnly)
        } else {
            features.formUnion([.blockConfigurableCache, .blockWriteZeroes])
            if geometry.canDiscard { features.insert(.blockDiscard) }
        }
        if queueCount > 1 { features.insert(.blockMultiQueue) }
        return features
    }

    /// What each queue has done. Readable from any thread.
    public var counters: [BlockCounters] { blockQueues.map(\.disk.counters) }

    // MARK: Configuration

    public override func readConfiguration(_ offset: Int, width: Int) -> UInt64 {
        configuration.withLock { $0.registers.read(offset, width: width) }
    }

    public override func writeConfiguration(_ offset: Int, width: Int, value: UInt64) {
        // The only field a driver may write, if the choice was negotiated.
        guard offset == BlockConfiguration.Offset.writeback, width == 1, negotiated.contains(.blockConfigurableCache)
        else { return }
        setWriteback(value & 0xff != 0)
    }

    /// Whether writes complete before they are durable. Part of the device's saved state.
    public private(set) var isWriteback: Bool {
        get { settings.isWriteback.load(ordering: .relaxed) }
        set { settings.isWriteback.store(newValue, ordering: .relaxed) }
    }

    /// Sets what the driver chose; for the driver's own write and for restoring.
    public func setWriteback(_ on: Bool) {
        configuration.withLock { $0.isWriteback = on }
        isWriteback = on
    }

    private func resized(_ geometry: BlockGeometry) {
        updateConfiguration { configuration.withLock { $0.setCapacity(geometry.capacity) } }
    }

    // MARK: Saved state

    public override func saveState(_ coder: inout FieldCoder) {
        var (capacity, writeback) = (backend.geometry.capacity, isWriteback)
        coder.field(&capacity, "capacity")
        coder.field(&writeback, "write cache")
    }

    public override func restoreState(_ coder: inout FieldCoder) {
        var (capacity, writeback): (UInt64, Bool) = (0, false)
        coder.field(&capacity, "capacity")
        let present = backend.geometry.capacity
        coder.check(capacity == present, "the disk had \(capacity) bytes and has \(present) now")
        coder.field(&writeback, "write cache")
        if coder.failure == nil { setWriteback(writeback) }
    }

    // MARK: Life

    public override func activate(_ features: VirtioFeatures) {
        settings.features.store(features.rawValue, ordering: .relaxed)
        // 5.2.5.2: write-back is only for drivers that know how to flush.
        if !features.contains(.blockFlush) { setWriteback(false) }
    }

    public override func reset() {
        settings.features.store(0, ordering: .relaxed)
        setWriteback(true)
        for queue in blockQueues { queue.onLoop { queue.abandonWaiting() } }
    }

    public override func close() {
        backend.observeGeometry(nil)
        for queue in blockQueues { queue.onLoop { queue.disk.close() } }
    }
}

extension VirtioBlockQueue {
    /// Runs on the queue's thread and waits.
    fileprivate func onLoop(_ work: @escaping @Sendable () -> Void) {
        if let loop { loop.performAndWait(work) } else { work() }
    }
}
