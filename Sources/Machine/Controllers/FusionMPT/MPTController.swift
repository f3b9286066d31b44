public import DeviceModel
public import GuestMemory
public import Linux
import Synchronization

/// LSI Logic's Fusion MPT controllers (MPI 1.5) with disks and CD drives on up to 15 targets, each with one unit: the parallel
/// 53C1030 and SAS1068, as VMware's machines have them.
///
/// Served are SCSI requests with chains of 32- and 64-bit elements, task management, the configuration pages that drivers read,
/// events on SAS; MSI and the wire. Left out: RAID, target mode, firmware transfer, the diagnostic windows.
///
/// Disks can be hung on and taken off while the guest runs. A driver of SAS is told; one of the parallel bus finds out when it looks
/// for targets again.
public final class MPTController: PCIFunction, SCSIHostAdapter, @unchecked Sendable {
    // @unchecked: the doorbell is guarded by its mutex; the rest is immutable or atomic.

    private enum Bar {
        /// The registers once more, as ports.
        static let ports = 0
        static let registers = 1
        /// The diagnostic window, in which there is nothing.
        static let diagnostic = 3
    }

    let engine: MPTEngine
    private let shared: MPTShared
    private let doorbell = Mutex(MPTDoorbellPort())
    private let who = Atomic<UInt32>(0)
    private let msi: MSI?
    private let isClosed = Atomic<Bool>(false)

    /// - Parameters:
    ///   - drives: by target number, up to 15; number 7 is the controller's own and nil.
    ///   - sasAddress: of the SAS controller; the following ones are its drives'.
    ///   - loop: where everything is done. A vCPU that resets the controller waits for it. Nil stands for a test that has
    ///     everything done in place.
    ///   - interrupts: one vector, for MSI. Nil leaves only INTx.
    ///   - trayMoved: the guest opened or closed a CD drive's tray. On the loop's thread.
    ///   - log: takes one line a fault.
    public init(
        _ model: MPTModel, _ drives: [SCSIDrive?], sasAddress: UInt64 = 0x5005_0560_0000_0000, ram: GuestRAM,
        loop: EventLoop?, interrupts messages: (any MessageInterrupts)?,
        trayMoved: @escaping @Sendable (_ target: Int, _ isOut: Bool) -> Void = { _, _ in },
        log: @escaping @Sendable (String) -> Void
    ) throws(SystemError) {
        let interrupt = StatusInterrupt(messages)
        shared = MPTShared(interrupt)
        engine = try MPTEngine(
            model, drives, sasAddress: sasAddress, ram: ram, loop: loop, shared: shared, trayMoved: trayMoved, log: log)
        var space = PCIConfigurationSpace(
            vendor: MPTModel.vendor, device: model.device, revision: model.revision, classCode: model.classCode,
            subsystemVendor: MPTModel.subsystemVendor, subsystem: MPTModel.subsystem)
        space.set(PCIConfigurationSpace.Offset.interruptPin, UInt8(1))
        msi = messages.map { MSI($0, in: &space) }
        super.init(
            space: space,
            bars: [
                PCIBar(index: Bar.ports, kind: .port, count: 256),
                PCIBar(index: Bar.registers, kind: .memory64(prefetchable: false), count: 16 << 10),
                PCIBar(index: Bar.diagnostic, kind: .memory64(prefetchable: false), count: 64 << 10),
            ])
        interrupt.connect { [weak self] in self?.setInterrupt($0) }
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

    // MARK: Registers

    public override func readBar(_ bar: Int, offset: UInt64, width: Int) -> UInt64 {
        guard bar != Bar.diagnostic else { return 0 }
        let shift = 8 &* (offset & 3)
        return (UInt64(readRegister(offset & ~3)) &>> shift) & allOnes(width: width)
    }

    private func readRegister(_ offset: UInt64) -> UInt32 {
        switch offset {
        case MPTRegister.replyQueue: return shared.takeReply()
        case MPTRegister.interruptStatus: return shared.interrupt.bits
        case MPTRegister.interruptMask: return ~shared.interrupt.mask & MPTInterrupt.all
        case MPTRegister.doorbell:
            return doorbell.withLock { doorbell in
                let state = shared.state.load(ordering: .acquiring)
                let base = who.load(ordering: .relaxed) & 7 << MPTDoorbell.whoShift
                guard let data = doorbell.read() else {
                    return base | state | (doorbell.isActive ? MPTDoorbell.active : 0)
                }
                return base | state & 0xf000_0000 | MPTDoorbell.active | data
            }
        case MPTRegister.diagnostic:
            return doorbell.withLock { $0.isDiagnosticEnabled ? MPTDiagnostic.writeEnabled : 0 }
        default: return 0
        }
    }

    public override func writeBar(_ bar: Int, offset: UInt64, width: Int, value: UInt64) {
        guard bar != Bar.diagnostic, width >= 4 else { return }
        let word = UInt32(truncatingIfNeeded: value)
        switch offset {
        case MPTRegister.requestQueue:
            if !shared.isOperational {
                fail(MPTStatus.invalidState, "a message for a controller that is not initialised")
            } else if shared.requests.put(word) {
                engine.ring()
            } else {
                fail(MPTStatus.insufficientResources, "more messages than the driver was allowed")
            }
        case MPTRegister.replyQueue:
            if !shared.frames.put(word) {
                fail(MPTStatus.insufficientResources, "more memory for replies than the driver was allowed")
            }
            if shared.wantsFrames.load(ordering: .sequentiallyConsistent) { engine.ring() }
        case MPTRegister.interruptMask: shared.interrupt.enable(~word & MPTInterrupt.all)
        case MPTRegister.interruptStatus:
            doorbell.withLock { if $0.acknowledge() { shared.interrupt.clear(MPTInterrupt.doorbell) } }
        case MPTRegister.doorbell: doorbell.withLock { ring(&$0, word) }
        case MPTRegister.writeSequence: doorbell.withLock { $0.writeKey(word) }
        case MPTRegister.diagnostic:
            doorbell.withLock { doorbell in
                guard doorbell.isDiagnosticEnabled, word & MPTDiagnostic.resetAdapter != 0 else { return }
                doorbell.reset()
                resetAdapter()
            }
        default: break
        }
    }

    private func fail(_ status: UInt16, _ reason: String) {
        engine.soonOnLoop { [engine] in engine.failed(status, reason) }
    }

    /// The doorbell was written. Under its lock, so that handshakes come one after another.
    private func ring(_ doorbell: inout MPTDoorbellPort, _ word: UInt32) {
        let engine = engine
        switch doorbell.write(word) {
        case .none: break
        case .messageUnitReset: engine.onLoop { engine.resetMessages() }
        case .unitReset: engine.onLoop { engine.resetAdapter() }
        case .handshake: shared.interrupt.raise(MPTInterrupt.doorbell)
        case .message(let message):
            let reply = Reply()
            engine.onLoop {
                // A request that the queue still holds comes first.
                engine.serve()
                // SCSI requests come by the queue only: their elements have to be in memory.
                guard message.function != MPTFunction.scsiIO, let bytes = engine.process(message) else { return }
                if message.function == MPTFunction.taskManagement {
                    // Its reply comes as those of the queue do.
                    engine.post(bytes)
                    engine.notify()
                } else {
                    reply.bytes.withLock { $0 = bytes.bytes }
                }
                let who = UInt32(engine.settings.who)
                reply.who.store(who, ordering: .relaxed)
            }
            who.store(reply.who.load(ordering: .relaxed) << MPTDoorbell.whoShift, ordering: .relaxed)
            let bytes = reply.bytes.withLock { $0 }
            if !bytes.isEmpty { doorbell.answer(bytes) }
            shared.interrupt.raise(MPTInterrupt.doorbell)
        }
    }

    private final class Reply: Sendable {
        let bytes = Mutex<[UInt8]>([])
        let who = Atomic<UInt32>(0)
    }

    // MARK: Life

    private func resetAdapter() {
        engine.onLoop { [engine] in engine.resetAdapter() }
        who.store(0, ordering: .relaxed)
    }

    public override func configurationWritten(_ offset: Int, width: Int) {
        if msi?.configurationWritten(offset, width: width, of: self) == true {
            shared.interrupt.use(messages: msi?.isEnabled ?? false)
        }
    }

    /// Stops with nothing in flight, so that the guest's memory and the device can be saved. Waits.
    public override func pause() { engine.onLoop { [engine] in engine.pause() } }

    /// Goes on after `pause`.
    public override func resume() { engine.onLoop { [engine] in engine.resume() } }

    public override func reset() {
        msi?.reset()
        shared.interrupt.use(messages: false)
        doorbell.withLock { $0 = MPTDoorbellPort() }
        resetAdapter()
    }

    public override func close() {
        if isClosed.exchange(true, ordering: .relaxed) { return }
        engine.onLoop { [engine] in engine.close() }
    }
}
