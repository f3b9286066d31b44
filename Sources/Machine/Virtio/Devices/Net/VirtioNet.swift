public import GuestMemory
public import Linux
public import NetEngine
public import SavedState
import Synchronization

/// A virtio network card (virtio 1.2, section 5.1): any number of queue pairs, served by the kernel (vhost-net) where it
/// can, else by event loops here.
///
/// Queues 2n and 2n + 1 receive and transmit; the last is the control queue. A driver without multi-queue finds the
/// control queue third, whatever the number of pairs.
public final class VirtioNet: VirtioDevice, @unchecked Sendable {
    // @unchecked: `control`, `takenByGuest` belong to the control queue's thread while it runs, else to the control
    // thread; `isInKernel` to the control thread; the rest is immutable or guarded.

    /// What the card is made with.
    public struct Settings: Sendable {
        public var address: MACAddress
        /// Bytes of payload a frame may have, told to the guest; nil tells nothing, and guests then take 1500.
        public var mtu: UInt16?
        /// Entries of each ring; a power of two.
        public var queueSize: UInt16 = 256
        /// In Mbit/s, told to the guest.
        public var speed: UInt32 = 10_000
        /// Whether the cable is plugged in at first.
        public var isLinkUp = true

        public init(address: MACAddress) { self.address = address }
    }

    private let backend: any NetBackend
    private let memory: GuestMemory
    private let kernel: [VhostDevice]
    private let log: @Sendable (String) -> Void
    private let permanent: Settings
    private let settings: NetSettings
    private let configuration: Mutex<NetConfiguration>
    private let receivers: [NetReceiveQueue]
    private let transmitters: [NetTransmitQueue]
    private let controlQueue: NetControlQueue
    private let ports: [NetPort]
    private var control: NetControl?
    private let inKernel = Atomic<Bool>(false)
    private let pairs = Atomic<Int>(1)
    /// What the back end may hand the guest, as features: all that was negotiated, or what the driver chose since.
    private let guestOffloads = Atomic<UInt64>(0)

    /// How many buffers a control command may come in.
    private static let controlPieces = 64

    /// - Parameters:
    ///   - backend: each of its queues becomes a queue pair.
    ///   - memory: the guest's, which outlives the device.
    ///   - loops: serve the queue pairs in turn, the first one the control queue too. Empty leaves that to a test.
    ///   - kernel: a `/dev/vhost-net` for each queue pair; empty serves all packets here.
    ///   - log: takes one line for what an administrator may want to know.
    public init(
        _ settings: Settings, backend: any NetBackend, memory: GuestMemory, loops: [EventLoop],
        kernel: [VhostDevice] = [], log: @escaping @Sendable (String) -> Void = { _ in }
    ) throws(SystemError) {
        let pairs = backend.queueCount
        self.backend = backend
        self.memory = memory
        self.log = log
        permanent = settings
        let shared = NetSettings(NetFilter(settings.address), linkUp: settings.isLinkUp)
        self.settings = shared
        configuration = Mutex(
            NetConfiguration(
                address: settings.address, status: settings.isLinkUp ? NetConfiguration.Status.linkUp : 0,
                pairsMax: UInt16(pairs), mtu: settings.mtu ?? 1500, speed: settings.speed))

        var receivers: [NetReceiveQueue] = []
        var transmitters: [NetTransmitQueue] = []
        var ports: [NetPort] = []
        for pair in 0..<pairs {
            let loop = loops.isEmpty ? nil : loops[pair % loops.count]
            let queue = backend.queue(pair)
            let receiver = try NetReceiveQueue(
                index: 2 * pair, sizeMax: settings.queueSize, ram: memory.ram, loop: loop, backend: queue,
                settings: shared)
            let transmitter = try NetTransmitQueue(
                index: 2 * pair + 1, sizeMax: settings.queueSize, ram: memory.ram, loop: loop, backend: queue,
                settings: shared)
            let port = NetPort(receiver, transmitter, backend: queue, loop: loop)
            unsafe receiver.port = port
            unsafe transmitter.port = port
            receivers.append(receiver)
            transmitters.append(transmitter)
            ports.append(port)
        }
        controlQueue = try NetControlQueue(index: 2 * pairs, sizeMax: 64, ram: memory.ram, loop: loops.first)
        self.receivers = receivers
        self.transmitters = transmitters
        self.ports = ports

        let taps = (0..<pairs).compactMap { backend.queue($0).tap }
        let usable = kernel.count >= pairs && taps.count == pairs && !loops.isEmpty
        self.kernel = usable ? Array(kernel.prefix(pairs)) : []
        if usable {
            for pair in 0..<pairs {
                receivers[pair].kernel = try Self.ring(kernel[pair], 0, taps[pair], log)
                transmitters[pair].kernel = try Self.ring(kernel[pair], 1, taps[pair], log)
            }
        }

        var queues: [VirtioQueue] = []
        for pair in 0..<pairs { queues += [receivers[pair], transmitters[pair]] as [VirtioQueue] }
        super.init(
            .network, features: Self.features(settings, backend), ringFeatures: Self.ringFeatures(self.kernel),
            queues: queues + [controlQueue])
        if !settings.isLinkUp { carryLink(false) }
        control = NetControl(self, DescriptorChain(memory.ram, capacity: Self.controlPieces))
    }

    /// Ring 0 of a `/dev/vhost-net` receives, ring 1 transmits.
    private static func ring(
        _ device: VhostDevice, _ index: UInt32, _ tap: TapQueue, _ log: @escaping @Sendable (String) -> Void
    ) throws(SystemError) -> VhostRing {
        try VhostRing(device, index: index, log: log) { (on: Bool) throws(SystemError) in
            try device.setNetBackend(of: index, on ? tap : nil)
        }
    }

    private static func features(_ settings: Settings, _ backend: any NetBackend) -> VirtioFeatures {
        var features: VirtioFeatures = [
            .netAddress, .netMergeableBuffers, .netStatus, .netControlQueue, .netControlReceive, .netControlVLAN,
            .netControlAddress, .netGuestAnnounce, .netSpeed,
        ]
        features.formUnion(VirtioFeatures(hostTakes: backend.offloads))
        features.formUnion(VirtioFeatures(guestTakes: backend.offloads))
        if !backend.offloads.isEmpty { features.insert(.netControlOffloads) }
        if backend.queueCount > 1 { features.insert(.netMultiQueue) }
        if settings.mtu != nil { features.insert(.netMTU) }
        return features
    }

    /// What the kernel's device cannot do is not offered, so that it can be used whatever the driver chooses.
    private static func ringFeatures(_ kernel: [VhostDevice]) -> VirtioFeatures {
        guard let first = kernel.first else { return VirtioDevice.ringFeatures }
        let able = VirtioFeatures(rawValue: first.features)
        // Resetting one queue is done by taking it back, for which the kernel needs no feature.
        return VirtioDevice.ringFeatures.intersection(able).union(.ringReset)
    }

    // MARK: For the host

    /// Whether the kernel serves the queues now.
    public var isInKernel: Bool { inKernel.load(ordering: .relaxed) }
    /// How many queue pairs the driver uses.
    public var activePairs: Int { pairs.load(ordering: .relaxed) }
    /// The card's own address, which a driver may have changed.
    public var address: MACAddress { configuration.withLock { $0.address } }

    /// Packets to and from the guest. Of what the kernel moved, what the back end knows of it.
    public var statistics: (received: NetStatistics, transmitted: NetStatistics) {
        let received = receivers.reduce(NetStatistics()) { $0 + $1.counters.values }
        let transmitted = transmitters.reduce(NetStatistics()) { $0 + $1.counters.values }
        guard !kernel.isEmpty, let all = backend.statistics else { return (received, transmitted) }
        // Packets that went through here are among the back end's, drops and errors of ours are not.
        return (
            NetStatistics(
                packets: all.toGuest.packets, bytes: all.toGuest.bytes, drops: all.toGuest.drops &+ received.drops,
                errors: received.errors),
            NetStatistics(
                packets: all.fromGuest.packets, bytes: all.fromGuest.bytes,
                drops: all.fromGuest.drops &+ transmitted.drops, errors: transmitted.errors)
        )
    }

    /// Plugs the cable in or out. From any thread.
    public func setLink(up: Bool) {
        carryLink(up)
        updateConfiguration {
            configuration.withLock { configuration in
                if up {
                    configuration.status |= NetConfiguration.Status.linkUp
                } else {
                    configuration.status &= ~NetConfiguration.Status.linkUp
                }
            }
        }
    }

    private func carryLink(_ up: Bool) {
        settings.isLinkUp = up
        backend.setLink(up: up)
        for receiver in receivers { receiver.kernel?.hold(!up, receiver) }
        for transmitter in transmitters { transmitter.kernel?.hold(!up, transmitter) }
    }

    /// Asks the guest to make itself known to the network, after it has moved. From any thread.
    ///
    /// - Returns: false if its driver cannot.
    @discardableResult
    public func announce() -> Bool {
        guard negotiated.contains([.netGuestAnnounce, .netStatus, .netControlQueue]) else { return false }
        updateConfiguration {
            configuration.withLock { $0.status |= NetConfiguration.Status.announce }
        }
        return true
    }

    // MARK: Device

    public override func readConfiguration(_ offset: Int, width: Int) -> UInt64 {
        configuration.withLock { $0.registers }.read(offset, width: width)
    }

    public override func activate(_ features: VirtioFeatures) {
        let multiQueue = features.contains([.netMultiQueue, .netControlQueue])
        let inKernel = handOver(features)
        self.inKernel.store(inKernel, ordering: .relaxed)
        let merging = features.contains(.netMergeableBuffers)
        let mtu = max(Int(permanent.mtu ?? 0), 1500)
        let frame = features.guestTakes.isDisjoint(with: .large) ? mtu + Frame.filteredLength : Frame.lengthMax
        let hasControl = features.contains(.netControlQueue)
        controlQueue.control = hasControl ? control : nil
        for (pair, receiver) in receivers.enumerated() {
            // Without multi-queue the third queue is the control queue.
            let role = pair == 1 && !multiQueue && hasControl ? control : nil
            receiver.prepare(
                merging: merging, frameLength: frame, control: role, usesKernel: inKernel)
            transmitters[pair].prepare(offloads: features.hostTakes, usesKernel: inKernel)
        }
        updateFilter { filter in
            filter = NetFilter(permanent.address)
            filter.filtersVLANs = features.contains([.netControlQueue, .netControlVLAN])
        }
        guestOffloads.store(VirtioFeatures(guestTakes: features.guestTakes).rawValue, ordering: .relaxed)
        do {
            try backend.setGuestOffloads(features.guestTakes)
            try backend.setActiveQueues(1)
        } catch {
            needsReset("\(error)")
        }
    }

    /// Gives the kernel's devices features and memory.
    ///
    /// - Returns: whether they took them.
    private func handOver(_ features: VirtioFeatures) -> Bool {
        guard !kernel.isEmpty, !features.contains(.packedRing) else { return false }
        let shared: VirtioFeatures = [.version1, .indirectDescriptors, .eventIndex, .netMergeableBuffers]
        do {
            for device in kernel {
                try device.setFeatures(features.intersection(shared).rawValue & device.features)
                try device.setMemory(memory.vhostRegions)
            }
            return true
        } catch {
            log("packets are not served by the kernel: \(error)")
            return false
        }
    }

    public override func reset() {
        inKernel.store(false, ordering: .relaxed)
        pairs.store(1, ordering: .relaxed)
        configuration.withLock { configuration in
            configuration.address = permanent.address
            configuration.status &= ~NetConfiguration.Status.announce
        }
        updateFilter { $0 = NetFilter(permanent.address) }
        try? backend.setGuestOffloads([])
        try? backend.setActiveQueues(1)
    }

    // MARK: Saved state

    public override func saveState(_ coder: inout FieldCoder) {
        var state = NetState(
            configuration.withLock { $0 }, settings.filter, pairs: pairs.load(ordering: .relaxed),
            offloads: guestOffloads.load(ordering: .relaxed))
        coder.field(&state)
    }

    public override func restoreState(_ coder: inout FieldCoder) {
        var state = NetState()
        coder.field(&state)
        coder.check(1...receivers.count ~= Int(state.pairs), "\(state.pairs) queue pairs are used")
        let offloads = VirtioFeatures(rawValue: state.offloads)
        let possible = VirtioFeatures(guestTakes: .all).intersection(negotiated)
        coder.check(possible.isSuperset(of: offloads), "offloads that were not negotiated")
        guard coder.failure == nil else { return }
        configuration.withLock { $0.address = state.address }
        updateFilter { $0 = state.filter }
        let isReady = !negotiated.isEmpty
        if isReady, !setActivePairs(Int(state.pairs)) { return coder.fail("the queue pairs cannot be used") }
        if isReady, !setGuestOffloads(offloads) { return coder.fail("the offloads cannot be used") }
        if state.isLinkUp != settings.isLinkUp { setLink(up: state.isLinkUp) }
        // It may be another switch port now: who has asked for it makes itself known.
        if state.isLinkUp { announce() }
    }

    // MARK: Commands of the control queue (on its thread)

    func updateFilter(_ change: (inout NetFilter) -> Void) { backend.setFilter(settings.updateFilter(change)) }

    func setAddress(_ address: MACAddress) {
        configuration.withLock { $0.address = address }
        updateFilter { $0.address = address }
    }

    /// The driver has made itself known.
    func announced() { configuration.withLock { $0.status &= ~NetConfiguration.Status.announce } }

    func setActivePairs(_ count: Int) -> Bool {
        guard count >= 1, count <= receivers.count else { return false }
        do {
            try backend.setActiveQueues(count)
        } catch {
            log("\(count) queues cannot be used: \(error)")
            return false
        }
        pairs.store(count, ordering: .relaxed)
        return true
    }

    func setGuestOffloads(_ features: VirtioFeatures) -> Bool {
        let possible = VirtioFeatures(guestTakes: .all)
        guard possible.isSuperset(of: features), negotiated.isSuperset(of: features) else { return false }
        do {
            try backend.setGuestOffloads(features.guestTakes)
            guestOffloads.store(features.rawValue, ordering: .relaxed)
            return true
        } catch {
            log("offloads cannot be changed: \(error)")
            return false
        }
    }
}
