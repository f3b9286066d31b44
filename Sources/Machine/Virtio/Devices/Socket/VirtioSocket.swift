public import GuestMemory
public import Linux
public import SavedState

/// A virtio socket device (virtio 1.2, section 5.10): streams between the guest and programs on the host, by context
/// identifier and port instead of address. The kernel (vhost-vsock) serves its packets; here is only its set-up.
///
/// Queues 0 and 1 receive and transmit; queue 2 carries events to the guest.
public final class VirtioSocket: VirtioDevice, @unchecked Sendable {
    // @unchecked: all is immutable but what the queues guard.

    /// The identifiers a guest may have: 0 to 2 and the highest are taken (vsock(7)).
    public static let identifiers: ClosedRange<UInt32> = 3...(UInt32.max - 1)
    /// Sockets that keep packets apart (VIRTIO_VSOCK_F_SEQPACKET).
    public static let sequencedPackets = VirtioFeatures(bit: 1)

    /// The guest's context identifier.
    public let identifier: UInt32
    private let kernel: VhostDevice
    private let memory: GuestMemory
    private let run: SocketRun
    private let events: SocketEventQueue

    /// - Parameters:
    ///   - identifier: the guest's context identifier; nobody else on this host may have it.
    ///   - memory: the guest's, which outlives the device.
    ///   - loop: serves the event queue.
    ///   - kernel: a `/dev/vhost-vsock` of this device's own.
    /// - Throws: also when the identifier is not allowed or another guest has it.
    public init(
        identifier: UInt32, memory: GuestMemory, loop: EventLoop, kernel: VhostDevice,
        log: @escaping @Sendable (String) -> Void = { _ in }
    ) throws(SystemError) {
        guard Self.identifiers.contains(identifier) else {
            throw SystemError(number: 22, operation: "use vsock context", subject: "\(identifier)")
        }
        try kernel.setVsockGuest(UInt64(identifier))
        self.identifier = identifier
        self.memory = memory
        self.kernel = kernel
        let run = SocketRun(kernel)
        self.run = run
        var queues: [VirtioQueue] = []
        for index in 0..<2 {
            let ring = try VhostRing(kernel, index: UInt32(index), log: log) { (on: Bool) throws(SystemError) in
                try run.set(index, on)
            }
            let queue = try SocketPacketQueue(index: index, ram: memory.ram, loop: loop, kernel: ring)
            run.doorbells.append(queue.doorbell)
            queues.append(queue)
        }
        events = try SocketEventQueue(index: 2, sizeMax: 64, ram: memory.ram, loop: loop)
        let able = VirtioFeatures(rawValue: kernel.features)
        super.init(
            .socket, features: able.intersection(Self.sequencedPackets),
            ringFeatures: VirtioDevice.ringFeatures.intersection(able).union(.ringReset), queues: queues + [events])
    }

    /// Tells the guest that all its connections are gone, because it runs somewhere else now (5.10.6.7). On the event
    /// queue's loop.
    public func resetTransport() { events.resetTransport() }

    /// Connections end with the machine that had them: nothing is saved, and the guest hears of it when it goes on.
    public override func restoreState(_ coder: inout FieldCoder) { events.resetTransport() }

    public override func readConfiguration(_ offset: Int, width: Int) -> UInt64 {
        var configuration = DeviceConfiguration()
        configuration.append(UInt64(identifier))
        return configuration.read(offset, width: width)
    }

    public override func activate(_ features: VirtioFeatures) {
        do {
            try kernel.setFeatures(features.rawValue & kernel.features)
            try kernel.setMemory(memory.vhostRegions)
        } catch {
            needsReset("\(error)")
        }
    }
}

/// Starts the kernel's device when both its rings are set up, and stops it when the first is taken back.
private final class SocketRun: @unchecked Sendable {
    // @unchecked: belongs to the thread of the packet queues' loop; `doorbells` is set before the guest runs.
    private let device: VhostDevice
    var doorbells: [EventFD] = []
    private var ready = [false, false]
    private var isRunning = false

    init(_ device: VhostDevice) { self.device = device }

    func set(_ ring: Int, _ on: Bool) throws(SystemError) {
        ready[ring] = on
        let both = ready[0] && ready[1]
        if both == isRunning { return }
        do {
            try device.setVsockRunning(both)
        } catch {
            ready[ring] = false
            throw error
        }
        isRunning = both
        // The kernel ignored doorbells that rang while only one ring was set up.
        if both { for doorbell in doorbells { doorbell.signal() } }
    }
}

/// A queue whose packets only the kernel serves.
private final class SocketPacketQueue: VirtioQueue, @unchecked Sendable {
    // @unchecked: as for VirtioQueue.
    private let kernel: VhostRing
    private var isInKernel = false

    init(index: Int, ram: GuestRAM, loop: EventLoop, kernel: VhostRing) throws(SystemError) {
        self.kernel = kernel
        try super.init(index: index, sizeMax: 256, ram: ram, loop: loop)
    }

    override func started() {
        isInKernel = kernel.start(self)
        if !isInKernel { device?.needsReset("queue \(index) cannot be handed to the kernel") }
    }

    override func stopped() {
        if isInKernel { kernel.stop(self) }
        isInKernel = false
    }

    override func interruptChanged() { kernel.routeInterrupt(self) }
}

/// The event queue: holds the guest's buffers until there is something to tell.
final class SocketEventQueue: VirtioQueue, @unchecked Sendable {
    // @unchecked: as for VirtioQueue.
    private enum Event {
        static let transportReset: UInt32 = 0
    }

    private var chain: DescriptorChain
    private var owesReset = false

    override init(index: Int, sizeMax: UInt16, ram: GuestRAM, loop: EventLoop?) throws(SystemError) {
        chain = DescriptorChain(ram, capacity: 8)
        try super.init(index: index, sizeMax: sizeMax, ram: ram, loop: loop)
    }

    func resetTransport() {
        owesReset = true
        if isRunning { process() }
    }

    override func process() {
        // Without something to tell, buffers stay in the ring and their doorbell means nothing.
        guard owesReset, next(into: &chain) else { return }
        owesReset = false
        ring.push(chain, written: chain.store(Event.transportReset) ? 4 : 0)
        publish()
    }
}
