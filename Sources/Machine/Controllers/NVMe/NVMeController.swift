public import DeviceModel
public import GuestMemory
public import Linux
import Synchronization

/// An NVM Express controller (NVM Express 1.4) whose namespaces are disks: 1 is the first, and so on.
///
/// What a guest sees is VMware's: its PCI numbers and model name. Namespaces have the disk's logical block and no metadata. Data
/// pointers are physical region pages of 4 KiB; scatter-gather lists, fused commands, a controller memory buffer,
/// namespace management and firmware updates are not offered.
///
/// Everything that starts or stops queues runs on one thread, the control loop's. A vCPU that resets the controller waits
/// for it there, and it waits for the loops of the queues; see `VirtioPCIFunction`.
public final class NVMeController: PCIFunction, NVMeQueueGroup.Owner, @unchecked Sendable {
    // @unchecked: the admin queue belongs to the control thread; the rest is immutable, atomic or guarded.

    /// How many I/O queues a driver can make at most.
    public static let queuesMax = 64
    /// How many commands of a loop are in flight at most.
    static let depth = 256
    /// Registers and doorbells.
    private static let bar = 0
    private static let barSize: UInt64 = 16 << 10
    private static let msixBar = 4
    /// Base class 01 (mass storage), subclass 08 (non-volatile memory), interface 02 (NVM Express).
    private static let classCode: UInt32 = 0x01_08_02

    private let backends: [any BlockBackend]
    private let control: EventLoop?
    private let log: @Sendable (String) -> Void
    private let registers = Mutex(NVMeRegisters())
    private let shared: NVMeShared
    private let groups: [NVMeQueueGroup]
    private let isInline: Bool
    // Made last, because it refers to us.
    private var admin: NVMeAdminQueue?
    // Of the control thread.
    private var isEnabled = false
    private var isPaused = false
    private var hasFault = false
    private let isClosed = Atomic<Bool>(false)

    /// - Parameters:
    ///   - backends: the disks, at least one, in the order of their namespace numbers.
    ///   - serial: the controller's serial number, at most 20 bytes of printable ASCII, which no other controller of the
    ///     machine has. Nil takes the first disk's identity.
    ///   - loops: where the I/O queues are served, in turn. Each serves its queues together. Nil stands for a test that has
    ///     everything done in place. Not empty.
    ///   - queueCount: how many I/O queues a driver can make, 1 to 64; as many as there are vCPUs is best.
    ///   - interrupts: MSI-X vectors; one more than I/O queues is best. Nil leaves only INTx.
    ///   - binder: lets the kernel ring doorbells for drivers that keep theirs in memory; nil has each cost an exit.
    ///   - control: the loop that serves the admin queue and starts and stops the others. Nil does it in place, for tests.
    ///   - log: takes one line a fault.
    public init(
        _ backends: [any BlockBackend], serial: String? = nil, ram: GuestRAM, loops: [EventLoop?], queueCount: Int = 1,
        interrupts: (any MessageInterrupts)?, binder: (any DoorbellBinder)?, control: EventLoop?,
        log: @escaping @Sendable (String) -> Void
    ) throws(SystemError) {
        precondition(!backends.isEmpty && !loops.isEmpty, "a controller has a namespace, and its queues a loop")
        precondition((1...Self.queuesMax).contains(queueCount), "a controller has 1 to 64 I/O queues")
        self.backends = backends
        self.control = control
        self.log = log
        isInline = control == nil || loops.contains { $0 == nil }
        let groupCount = min(loops.count, queueCount)
        let adminEvent = try EventFD()
        var groupEvents: [EventFD] = []
        for _ in 0..<groupCount { groupEvents.append(try EventFD()) }
        // The queues of a number go to the groups in turn. A submission queue is served by the group of its completion
        // queue, which has the same number with every driver, though it need not.
        let events = [adminEvent] + (0..<queueCount).map { groupEvents[$0 % groupCount] }
        shared = NVMeShared(NVMeDoorbells(events: events, binder: binder))
        var groups: [NVMeQueueGroup] = []
        for index in 0..<groupCount {
            groups.append(
                try NVMeQueueGroup(
                    backends, loop: loops[index], ram: ram, shared: shared, event: groupEvents[index],
                    queuesMax: queueCount, depth: Self.depth))
        }
        self.groups = groups
        var space = PCIConfigurationSpace(
            vendor: NVMeIdentify.vendor, device: NVMeIdentify.device, classCode: Self.classCode,
            subsystemVendor: NVMeIdentify.vendor, subsystem: NVMeIdentify.device)
        space.set(PCIConfigurationSpace.Offset.interruptPin, UInt8(1))
        super.init(
            space: space,
            bars: [PCIBar(index: Self.bar, kind: .memory64(prefetchable: false), count: Self.barSize)],
            interrupts: interrupts, msixBar: Self.msixBar)
        admin = NVMeAdminQueue(
            backends, ram: ram, shared: shared, groups: groups, queuesMax: queueCount,
            serial: serial ?? backends[0].geometry.identity, event: adminEvent, loop: control, owner: self,
            eventOf: { [msix] in msix?.event($0)?.raw })
        for group in groups { unsafe group.owner = self }
        for (index, backend) in backends.enumerated() {
            backend.observeGeometry { [weak self] _ in
                self?.soonOnControl { $0.admin?.namespaceChanged(UInt32(index + 1)) }
            }
        }
    }

    /// What the queues have done, those of each loop in turn. Readable from any thread.
    public var counters: [BlockCounters] { groups.flatMap(\.counters) }

    // MARK: Registers

    public override func readBar(_ bar: Int, offset: UInt64, width: Int) -> UInt64 {
        guard bar == Self.bar else { return allOnes(width: width) }
        // Doorbells read as zero.
        guard offset < NVMeRegisters.Offset.end else { return 0 }
        return registers.withLock { $0.read(offset, width: width) }
    }

    public override func writeBar(_ bar: Int, offset: UInt64, width: Int, value: UInt64) {
        guard bar == Self.bar else { return }
        if offset >= NVMeRegisters.Offset.doorbells {
            return ring(offset &- NVMeRegisters.Offset.doorbells, width, UInt32(truncatingIfNeeded: value))
        }
        let (action, mask) = registers.withLock { registers in
            (registers.write(offset, width: width, value: value), registers.interruptMask)
        }
        switch action {
        case .none: break
        case .enable: soonOnControl { $0.enable() }
        case .disable: onControl { $0.disable() }
        case .shutDown: soonOnControl { $0.shutDown() }
        case .interruptMask:
            shared.setMask(mask)
            updateWire()
        }
    }

    /// A doorbell was written: the tails' are the even ones.
    private func ring(_ offset: UInt64, _ width: Int, _ value: UInt32) {
        let queue = Int(truncatingIfNeeded: offset >> 3)
        guard offset & 3 == 0, width >= 4, queue < shared.doorbells.count else { return }
        if offset & 4 == 0 {
            shared.doorbells.ringTail(queue, value)
        } else {
            shared.doorbells.ringHead(queue, value)
            if !shared.usesMessages.load(ordering: .relaxed) { updateWire() }
        }
        if isInline { serveInPlace(queue) }
    }

    /// For tests: what the loops do otherwise.
    private func serveInPlace(_ queue: Int) {
        if queue == 0 && control == nil { admin?.serve() }
        for group in groups where group.loop == nil { group.serve() }
    }

    public override func barMoved(_ bar: Int, to address: UInt64?) {
        if bar == Self.bar { shared.doorbells.move(to: address) }
    }

    // MARK: Starting and stopping (on the control thread)

    /// Runs on the control thread and waits.
    private func onControl(_ work: @escaping @Sendable (NVMeController) -> Void) {
        guard let control else { return work(self) }
        control.performAndWait { work(self) }
    }

    private func soonOnControl(_ work: @escaping @Sendable (NVMeController) -> Void) {
        guard let control else { return work(self) }
        control.perform { work(self) }
    }

    private func enable() {
        let present = registers.withLock { $0 }
        guard present.isEnabled, !isEnabled, !isClosed.load(ordering: .relaxed) else { return }
        isEnabled = true
        let isGood = present.isSensible && admin?.enable(present) == true
        registers.withLock { $0.status |= isGood ? NVMeRegisters.Status.ready : NVMeRegisters.Status.fatal }
        if !isGood { failed("the admin queues or the configuration are not usable") }
        if isPaused { admin?.pause() }
    }

    private func disable() {
        admin?.disable()
        isEnabled = false
        hasFault = false
        registers.withLock { $0.resetController() }
        shared.setMask(0)
        updateWire()
    }

    private func shutDown() {
        if isEnabled && !isPaused { admin?.shutDown() }
        registers.withLock { registers in
            registers.status = registers.status & ~NVMeRegisters.Status.shutdown | NVMeRegisters.Status.shutdownComplete
        }
    }

    /// Stops all queues with nothing in flight, so that the guest's memory and the device can be saved. Waits.
    public override func pause() {
        onControl { function in
            guard !function.isPaused else { return }
            function.isPaused = true
            if function.isEnabled { function.admin?.pause() }
        }
    }

    /// Goes on after `pause`.
    public override func resume() {
        onControl { function in
            guard function.isPaused else { return }
            function.isPaused = false
            if function.isEnabled { function.admin?.resume() }
        }
    }

    public override func reset() {
        onControl { function in
            function.disable()
            function.registers.withLock { $0 = NVMeRegisters() }
        }
    }

    public override func close() {
        if isClosed.exchange(true, ordering: .relaxed) { return }
        for backend in backends { backend.observeGeometry(nil) }
        onControl { function in
            function.admin?.disable()
            for group in function.groups { group.onLoop { group.close() } }
        }
    }

    // MARK: Interrupts

    public override func messageInterruptsChanged() {
        shared.usesMessages.store(msix?.isEnabled ?? false, ordering: .sequentiallyConsistent)
        updateWire()
    }

    func updateWire() { shared.updateWire { setInterrupt($0) } }

    // MARK: Faults (from any thread)

    func doorbellFault(_ queue: UInt16) {
        soonOnControl { function in
            function.failed("the driver moved queue \(queue) to an entry that it does not have")
            function.admin?.raise(NVMeAdminQueue.Event.invalidDoorbell)
        }
    }

    /// On the control thread: says so, once until the next reset.
    func failed(_ reason: String) {
        if hasFault { return }
        hasFault = true
        log("NVMe: \(reason)")
    }
}
