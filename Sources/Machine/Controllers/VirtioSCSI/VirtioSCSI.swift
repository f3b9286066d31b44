public import DeviceModel
public import GuestMemory
public import Linux
import Synchronization
public import Virtio

/// The SCSI host device (virtio 1.2, section 5.6) with disks and CD drives on up to 15 targets, each with one unit.
///
/// Offered: HOTPLUG, CHANGE. Left out: requests that move data both ways, protection information.
///
/// All queues are served on one loop; several only spread the interrupts.
public final class VirtioSCSI: VirtioDevice, SCSIHostAdapter, @unchecked Sendable {
    // @unchecked: the configuration is guarded by its mutex, the rest immutable.

    /// How many request queues there can be.
    public static let queuesMax = 16
    /// How many requests are in flight at most.
    static let depth = 256
    /// How many stretches of data a request may have.
    static let segmentsMax = 254
    private static let queueSize: UInt16 = 256

    let engine: VirtioSCSIEngine
    private let control: VirtioSCSIControlQueue
    private let configuration: Mutex<VirtioSCSIConfiguration>

    /// - Parameters:
    ///   - drives: by target number, up to 15; number 7 is nil.
    ///   - loop: where everything is done; nil stands for a test that serves the queues itself.
    ///   - queueCount: how many request queues the driver can use, 1 to 16.
    ///   - trayMoved: the guest opened or closed a CD drive's tray. On the loop's thread.
    ///   - log: takes one line a fault of the host.
    public init(
        _ drives: [SCSIDrive?], ram: GuestRAM, loop: EventLoop?, queueCount: Int = 1,
        trayMoved: @escaping @Sendable (_ target: Int, _ isOut: Bool) -> Void = { _, _ in },
        log: @escaping @Sendable (String) -> Void
    ) throws(SystemError) {
        precondition((1...Self.queuesMax).contains(queueCount), "a SCSI host has 1 to 16 request queues")
        control = try VirtioSCSIControlQueue(index: 0, sizeMax: 64, ram: ram, loop: loop)
        let events = try VirtioSCSIEventQueue(index: 1, sizeMax: 64, ram: ram, loop: loop)
        var requests: [VirtioSCSIRequestQueue] = []
        for index in 0..<queueCount {
            requests.append(
                try VirtioSCSIRequestQueue(index: 2 + index, sizeMax: Self.queueSize, ram: ram, loop: loop))
        }
        engine = try VirtioSCSIEngine(
            drives, queues: requests, events: events, ram: ram, loop: loop, depth: Self.depth,
            segmentsMax: Self.segmentsMax, trayMoved: trayMoved, log: log)
        unsafe control.engine = engine
        configuration = Mutex(
            VirtioSCSIConfiguration(queueCount: queueCount, segmentsMax: Self.segmentsMax, depth: Self.depth))
        super.init(.scsi, features: [.scsiHotplug, .scsiChange], queues: [control, events] + requests)
    }

    public var counters: [BlockCounters] { engine.counters }

    // MARK: Drives

    public func changeMedium(
        port: Int, to medium: (any BlockBackend)?, force: Bool = false
    ) throws(SystemError) -> Bool {
        try engine.changeMediumAndWait(port, to: medium, force: force)
    }

    public func attach(_ drive: SCSIDrive, target: Int) throws(SystemError) { try engine.attach(drive, at: target) }

    public func detach(target: Int) { engine.detach(target) }

    // MARK: Configuration

    public override func readConfiguration(_ offset: Int, width: Int) -> UInt64 {
        configuration.withLock { $0.registers.read(offset, width: width) }
    }

    public override func writeConfiguration(_ offset: Int, width: Int, value: UInt64) {
        guard let sizes = configuration.withLock({ $0.write(offset, width: width, value: value) }) else { return }
        engine.senseSize.store(sizes.sense, ordering: .relaxed)
        engine.commandSize.store(sizes.command, ordering: .relaxed)
    }

    // MARK: Life

    public override func activate(_ features: VirtioFeatures) {
        engine.tellsTargets.store(features.contains(.scsiHotplug), ordering: .relaxed)
        engine.tellsUnits.store(features.contains(.scsiChange), ordering: .relaxed)
    }

    public override func reset() {
        configuration.withLock { $0.resetSizes() }
        engine.senseSize.store(VirtioSCSIConfiguration.senseSizeDefault, ordering: .relaxed)
        engine.commandSize.store(VirtioSCSIConfiguration.commandSizeDefault, ordering: .relaxed)
        engine.tellsTargets.store(false, ordering: .relaxed)
        engine.tellsUnits.store(false, ordering: .relaxed)
        engine.onLoop { [engine] in
            engine.resetAll(tells: false)
            engine.events.forget()
        }
    }

    public override func pause() { engine.onLoop { [engine] in engine.pause() } }

    public override func resume() { engine.onLoop { [engine] in engine.resume() } }

    public override func close() { engine.onLoop { [engine] in engine.close() } }
}
