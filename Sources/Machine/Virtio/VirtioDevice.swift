import DeviceModel
public import SavedState
import Synchronization

/// A virtio device without its transport: features, device configuration and queues. Devices subclass it.
///
/// Calls come on the transport's control thread unless said otherwise; queues have threads of their own.
open class VirtioDevice: StateHolder, @unchecked Sendable {
    // @unchecked: `function` is set once before the guest runs; the rest is immutable or atomic.

    /// Everything a ring can do. A device that hands its queues to somebody less able (vhost) offers less.
    public static let ringFeatures: VirtioFeatures = [
        .indirectDescriptors, .eventIndex, .packedRing, .ringReset,
    ]

    public final let type: VirtioDeviceType
    /// What is offered to the driver.
    public final let features: VirtioFeatures
    public final let queues: [VirtioQueue]
    private let accepted = Atomic<UInt64>(0)
    final weak var function: VirtioPCIFunction?

    /// - Parameters:
    ///   - features: the device type's own bits; `version1` is added.
    ///   - ringFeatures: the ring's bits.
    ///   - queues: in order of their index.
    public init(
        _ type: VirtioDeviceType, features: VirtioFeatures, ringFeatures: VirtioFeatures = VirtioDevice.ringFeatures,
        queues: [VirtioQueue]
    ) {
        precondition(queues.enumerated().allSatisfy { $0.offset == $0.element.index }, "queues are numbered in order")
        self.type = type
        self.features = features.union(ringFeatures).union(.version1)
        self.queues = queues
        for queue in queues { queue.device = self }
    }

    // MARK: What a device implements

    /// Reads the device's configuration. On any vCPU's thread. What lies outside reads as all ones.
    open func readConfiguration(_ offset: Int, width: Int) -> UInt64 { allOnes(width: width) }

    /// Writes the device's configuration. On any vCPU's thread.
    open func writeConfiguration(_ offset: Int, width: Int, value: UInt64) {}

    /// Whether the driver's choice, already a part of what is offered, makes sense. On any vCPU's thread.
    open func accepts(_ features: VirtioFeatures) -> Bool { true }

    /// The driver is ready. The queues it enabled start after this.
    open func activate(_ features: VirtioFeatures) {}

    /// The driver reset the device. All queues have stopped; forget what the driver set.
    open func reset() {}

    /// The machine pauses, to be saved or moved. All queues have stopped.
    open func pause() {}

    /// The machine goes on. Queues start after this.
    open func resume() {}

    /// The device goes away for good. All queues have stopped.
    open func close() {}

    // MARK: Saved state

    /// Of the device's own fields; the transport saves features, status and rings.
    open var stateVersion: UInt32? { 1 }

    /// All queues have stopped.
    open func saveState(_ coder: inout FieldCoder) {}

    /// Comes after `activate` if the driver was ready; queues start later.
    open func restoreState(_ coder: inout FieldCoder) {}

    // MARK: What a device uses

    /// The features that the driver accepted; empty until it is ready, and after a reset. From any thread.
    public final var negotiated: VirtioFeatures {
        get { VirtioFeatures(rawValue: accepted.load(ordering: .acquiring)) }
        set { accepted.store(newValue.rawValue, ordering: .releasing) }
    }

    /// The device cannot go on: logs why, and asks the driver for a reset. From any thread.
    public final func needsReset(_ reason: String) { function?.needsReset(reason) }

    /// Changes the device's configuration so that the driver sees all of it or nothing, and tells the driver. From any
    /// thread.
    ///
    /// - Parameter change: makes `readConfiguration` answer anew; must not call the transport.
    public final func updateConfiguration(_ change: () -> Void) {
        if let function { function.updateConfiguration(change) } else { change() }
    }
}
