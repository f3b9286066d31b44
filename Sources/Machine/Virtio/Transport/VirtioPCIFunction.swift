public import DeviceModel
public import Linux
public import SavedState
import Synchronization

/// A virtio device on PCI, modern interface only (virtio 1.2, section 4.1).
///
/// Everything that starts or stops queues runs on one thread, the control loop's. A vCPU that resets the device waits for
/// it there, and it waits for the loops of the queues. So neither may ever wait for a vCPU: a machine whose main loop
/// waits until its vCPUs are parked gives its devices a loop of their own. The main loop may wait for that one.
public final class VirtioPCIFunction: PCIFunction, @unchecked Sendable {
    // @unchecked: `isActive` and `isPaused` belong to the control thread; the rest is immutable, atomic or guarded.

    public let device: VirtioDevice
    private let control: EventLoop?
    private let log: @Sendable (String) -> Void
    /// Taken by vCPUs, the control thread and failing queues; nobody waits for another thread while holding it.
    private let registers: Mutex<CommonRegisters>
    private let interruptStatus = Mutex<UInt8>(0)
    private let doorbells: Doorbells
    private let accessOffset: Int

    private var isActive = false
    private var isPaused = false
    private let isClosed = Atomic<Bool>(false)

    private enum InterruptStatus {
        static let queue: UInt8 = 1
        static let configuration: UInt8 = 2
    }

    /// - Parameters:
    ///   - interrupts: MSI-X vectors; one a queue and one for the configuration is best. Nil leaves only INTx.
    ///   - binder: lets the kernel ring doorbells; without it each costs an exit to us.
    ///   - control: the loop that starts and stops queues. Nil does it on the calling thread, for tests.
    ///   - log: takes one line a fault.
    public init(
        _ device: VirtioDevice, interrupts: (any MessageInterrupts)?, binder: (any DoorbellBinder)?,
        control: EventLoop?, log: @escaping @Sendable (String) -> Void
    ) {
        precondition(device.queues.count <= VirtioPCILayout.queuesMax, "no room for so many doorbells")
        self.device = device
        self.control = control
        self.log = log
        registers = Mutex(
            CommonRegisters(
                offered: device.features, sizesMax: device.queues.map(\.ring.sizeMax),
                vectorCount: interrupts?.vectorCount ?? 0))
        doorbells = Doorbells(device.queues, binder)
        let portCount = VirtioPCILayout.portCount(device.queues.count)
        let (space, access) = VirtioPCILayout.space(device.type, portCount: portCount)
        accessOffset = access
        var bars = [
            PCIBar(index: VirtioPCILayout.bar, kind: .memory64(prefetchable: true), count: VirtioPCILayout.barSize)
        ]
        if let portCount { bars.append(PCIBar(index: VirtioPCILayout.portBar, kind: .port, count: portCount)) }
        super.init(space: space, bars: bars, interrupts: interrupts, msixBar: VirtioPCILayout.msixBar)
        device.function = self
        routeInterrupts()
    }

    // MARK: Registers

    public override func readBar(_ bar: Int, offset: UInt64, width: Int) -> UInt64 {
        // Doorbells are write-only; QEMU reads zero.
        if bar == VirtioPCILayout.portBar { return 0 }
        guard bar == VirtioPCILayout.bar else { return allOnes(width: width) }
        let register = offset % VirtioPCILayout.regionSize
        switch offset - register {
        case VirtioPCILayout.common where register < CommonRegisters.size:
            return registers.withLock { $0.read(register, width: width) }
        case VirtioPCILayout.interruptStatus where register == 0:
            return UInt64(takeInterruptStatus())
        case VirtioPCILayout.device:
            return device.readConfiguration(Int(register), width: width)
        case VirtioPCILayout.notify: return 0
        default: return allOnes(width: width)
        }
    }

    public override func writeBar(_ bar: Int, offset: UInt64, width: Int, value: UInt64) {
        if bar == VirtioPCILayout.portBar {
            return doorbells.ring(Int(offset / VirtioPCILayout.portMultiplier))
        }
        guard bar == VirtioPCILayout.bar else { return }
        let register = offset % VirtioPCILayout.regionSize
        switch offset - register {
        case VirtioPCILayout.common: writeCommon(register, width: width, value: value)
        case VirtioPCILayout.device:
            device.writeConfiguration(Int(register), width: width, value: value)
        case VirtioPCILayout.notify:
            doorbells.ring(Int(register / VirtioPCILayout.notifyMultiplier))
        default: break
        }
    }

    private func writeCommon(_ offset: UInt64, width: Int, value: UInt64) {
        let (action, fault) = registers.withLock { registers -> (CommonRegisters.Action, VirtQueueFault?) in
            let action = registers.write(offset, width: width, value: value) { device.accepts($0) }
            guard case .enableQueue(let index) = action else { return (action, nil) }
            // A queue that is not enabled is not being processed, so its ring may be set up here.
            do throws(VirtQueueFault) {
                let layout = registers.queues[index].layout
                try device.queues[index].ring.configure(layout, features: registers.accepted)
                return (action, nil)
            } catch {
                return (.none, error)
            }
        }
        switch action {
        case .none: break
        case .reset: onControl { $0.resetDevice() }
        case .activate: soonOnControl { $0.activate() }
        // Before the driver is ready, activation starts the queue.
        case .enableQueue: soonOnControl { $0.startQueues() }
        case .resetQueue(let index): onControl { $0.resetQueue(index) }
        case .routeInterrupts: routeInterrupts()
        }
        if let fault { needsReset("enabling a queue: \(fault)") }
    }

    // MARK: Starting and stopping (on the control thread)

    /// Runs on the control thread and waits.
    private func onControl(_ work: @escaping @Sendable (VirtioPCIFunction) -> Void) {
        guard let control else { return work(self) }
        control.performAndWait { work(self) }
    }

    private func soonOnControl(_ work: @escaping @Sendable (VirtioPCIFunction) -> Void) {
        guard let control else { return work(self) }
        control.perform { work(self) }
    }

    private func activate() {
        // A reset may have come before us.
        let (ready, features) = registers.withLock { ($0.isReady, $0.accepted) }
        guard ready, !isActive, !isClosed.load(ordering: .relaxed) else { return }
        isActive = true
        device.negotiated = features
        device.activate(features)
        startQueues()
    }

    private func startQueues() {
        guard isActive, !isPaused, !isClosed.load(ordering: .relaxed) else { return }
        let enabled = registers.withLock { $0.queues.map(\.isEnabled) }
        for (queue, isEnabled) in zip(device.queues, enabled) where isEnabled {
            doorbells.bind(queue.index)
            queue.start()
        }
    }

    private func stopQueues() {
        for queue in device.queues { queue.stop() }
    }

    private func resetDevice() {
        doorbells.unbindAll()
        stopQueues()
        if isActive { device.reset() }
        isActive = false
        device.negotiated = []
        registers.withLock { registers in
            registers.reset()
            for queue in device.queues { queue.ring.unconfigure() }
        }
        for queue in device.queues { queue.doorbell.drain() }
        _ = takeInterruptStatus()
        routeInterrupts()
    }

    private func resetQueue(_ index: Int) {
        let queue = device.queues[index]
        doorbells.unbind(index)
        queue.stop()
        registers.withLock { registers in
            registers.finishQueueReset(index)
            queue.ring.unconfigure()
        }
        queue.doorbell.drain()
    }

    /// Stops all queues with nothing in flight, so that the guest's memory and the device can be saved. Waits.
    public override func pause() {
        onControl { function in
            guard !function.isPaused else { return }
            function.isPaused = true
            function.stopQueues()
            if function.isActive { function.device.pause() }
        }
    }

    /// Goes on after `pause`.
    public override func resume() {
        onControl { function in
            guard function.isPaused else { return }
            function.isPaused = false
            if function.isActive { function.device.resume() }
            function.startQueues()
        }
    }

    public override func reset() { onControl { $0.resetDevice() } }

    public override func close() {
        if isClosed.exchange(true, ordering: .relaxed) { return }
        onControl { function in
            function.doorbells.unbindAll()
            function.stopQueues()
            function.device.close()
        }
    }

    public override func barMoved(_ bar: Int, to address: UInt64?) {
        switch bar {
        case VirtioPCILayout.bar: doorbells.move(memory: address.map { $0 + VirtioPCILayout.notify })
        case VirtioPCILayout.portBar: doorbells.move(ports: address)
        default: break
        }
    }

    // MARK: Saved state

    public override var stateVersion: UInt32? { 1 }

    public override var stateParts: [(suffix: String, part: any StateHolder)] {
        [(".pci", pciState), (".virtio", self), ("", device)]
    }

    public override func saveState(_ coder: inout FieldCoder) {
        var status = interruptStatus.withLock { $0 }
        coder.field(&status, "interrupt status")
        registers.withLock { $0.code(&coder) }
        for queue in device.queues { queue.saveState(&coder) }
    }

    /// Becomes paused: queues start, and look for what was offered before, with `resume`.
    public override func restoreState(_ coder: inout FieldCoder) {
        var status: UInt8 = 0
        coder.field(&status, "interrupt status")
        var restored = registers.withLock { $0 }
        restored.code(&coder)
        var rings = device.queues.map { _ in VirtioQueue.State() }
        for index in rings.indices { coder.field(&rings[index]) }
        guard coder.failure == nil else { return }
        if restored.status & CommonRegisters.Status.featuresAccepted != 0, !device.accepts(restored.accepted) {
            return coder.fail("the driver uses features that this machine's device cannot be used with")
        }
        for (index, ring) in rings.enumerated() {
            // Only an enabled queue has a ring, and one that the driver set up badly had none.
            guard ring.isConfigured else { continue }
            let queue = restored.queues[index]
            let fault =
                queue.isEnabled
                ? device.queues[index].restore(ring, queue.layout, restored.accepted) : "it is not enabled"
            if let fault { return coder.fail("queue \(index): \(fault)") }
        }
        interruptStatus.withLock { $0 = status }
        registers.withLock { $0 = restored }
        onControl { function in
            function.isPaused = true
            function.activate()
        }
        routeInterrupts()
    }

    // MARK: Interrupts

    public override func messageInterruptsChanged() { routeInterrupts() }

    /// Works out anew what interrupts the guest for each queue.
    private func routeInterrupts() {
        let vectors = registers.withLock { $0.queues.map(\.vector) }
        let enabled = msix?.isEnabled ?? false
        for (queue, vector) in zip(device.queues, vectors) {
            let call =
                enabled ? msix?.event(Int(vector))?.raw ?? VirtioQueue.Call.none : VirtioQueue.Call.wire
            if queue.call.exchange(call, ordering: .acquiringAndReleasing) != call { queue.interruptChanged() }
        }
    }

    /// A queue interrupts through INTx.
    func raiseWire(_ bits: UInt8 = InterruptStatus.queue) {
        interruptStatus.withLock { status in
            status |= bits
            setInterrupt(true)
        }
    }

    private func takeInterruptStatus() -> UInt8 {
        interruptStatus.withLock { status in
            let taken = status
            status = 0
            setInterrupt(false)
            return taken
        }
    }

    private func interruptConfiguration() {
        if let msix, msix.isEnabled {
            let vector = registers.withLock { $0.configurationVector }
            msix.event(Int(vector))?.signal()
        } else {
            raiseWire(InterruptStatus.configuration)
        }
    }

    // MARK: For the device

    func needsReset(_ reason: String) {
        let (changed, ready) = registers.withLock { ($0.setNeedsReset(), $0.isReady) }
        guard changed else { return }
        log("\(device.type): the driver must reset the device: \(reason)")
        if ready { interruptConfiguration() }
    }

    func updateConfiguration(_ change: () -> Void) {
        let ready = registers.withLock { registers in
            change()
            registers.bumpGeneration()
            return registers.isReady
        }
        if ready { interruptConfiguration() }
    }

    // MARK: Access to the registers through the configuration space (4.1.4.9)

    private var accessData: Int { accessOffset + 16 }

    /// Which register the driver pointed at; nil if it is none.
    private func accessTarget() -> (bar: Int, offset: UInt64, width: Int)? {
        let (bar, offset, width) = withSpace { space in
            (
                space.get(accessOffset + 4, as: UInt8.self), space.get(accessOffset + 8, as: UInt32.self),
                space.get(accessOffset + 12, as: UInt32.self)
            )
        }
        guard Int(bar) == VirtioPCILayout.bar, width == 1 || width == 2 || width == 4, offset % width == 0,
            UInt64(offset) < VirtioPCILayout.barSize
        else { return nil }
        return (Int(bar), UInt64(offset), Int(width))
    }

    public override func configurationRead(_ offset: Int, width: Int) -> UInt64? {
        guard offset == accessData, let target = accessTarget(), width >= target.width else { return nil }
        return readBar(target.bar, offset: target.offset, width: target.width)
    }

    public override func configurationWritten(_ offset: Int, width: Int) {
        guard offset == accessData, let target = accessTarget(), width >= target.width else { return }
        let value = withSpace { $0.get(accessData, as: UInt32.self) }
        writeBar(
            target.bar, offset: target.offset, width: target.width,
            value: UInt64(value) & allOnes(width: target.width))
    }
}
