public import DeviceModel
public import GuestMemory
public import Linux
import Synchronization

/// VMware's paravirtual SCSI host adapter with disks and CD drives on up to 15 targets, each with one unit.
///
/// As Linux's, SeaBIOS's and Windows' drivers know it: rings for requests, completions and messages, MSI-X with one vector and the
/// wire. Left out: commands outside of the requests, the configuration pages, the call threshold.
///
/// Disks can be hung on and taken off while the guest runs.
public final class PVSCSIAdapter: PCIFunction, SCSIHostAdapter, @unchecked Sendable {
    // @unchecked: the command registers are guarded by their mutex, the doorbells by theirs; the rest is immutable.

    /// How many requests are in flight at most.
    static let depth = 256
    private static let vendor: UInt16 = 0x15ad
    private static let device: UInt16 = 0x07c0
    /// Base class 01 (mass storage), subclass 07 (Serial Attached SCSI), as VMware has it.
    private static let classCode: UInt32 = 0x01_07_00
    private static let revision: UInt8 = 2
    private static let bar = 0
    private static let msixBar = 1

    let engine: PVSCSIEngine
    private let interrupts: StatusInterrupt
    private let commands = Mutex(PVSCSICommands())
    private let binder: (any DoorbellBinder)?
    /// Where the doorbells are bound.
    private let base = Mutex<UInt64?>(nil)
    private let isClosed = Atomic<Bool>(false)

    /// - Parameters:
    ///   - drives: by target number, up to 15; number 7 is the adapter's own and nil.
    ///   - loop: where everything is done. A vCPU that resets the adapter waits for it. Nil stands for a test that has
    ///     everything done in place.
    ///   - interrupts: one vector, for MSI-X. Nil leaves only INTx.
    ///   - binder: lets the kernel ring the doorbells; nil has each cost an exit.
    ///   - trayMoved: the guest opened or closed a CD drive's tray. On the loop's thread.
    ///   - log: takes one line a fault.
    public init(
        _ drives: [SCSIDrive?], ram: GuestRAM, loop: EventLoop?, interrupts messages: (any MessageInterrupts)?,
        binder: (any DoorbellBinder)?,
        trayMoved: @escaping @Sendable (_ target: Int, _ isOut: Bool) -> Void = { _, _ in },
        log: @escaping @Sendable (String) -> Void
    ) throws(SystemError) {
        self.binder = binder
        let interrupts = StatusInterrupt(messages)
        self.interrupts = interrupts
        engine = try PVSCSIEngine(
            drives, ram: ram, loop: loop, depth: Self.depth, interrupts: interrupts, trayMoved: trayMoved, log: log)
        var space = PCIConfigurationSpace(
            vendor: Self.vendor, device: Self.device, revision: Self.revision, classCode: Self.classCode,
            subsystemVendor: Self.vendor, subsystem: Self.device)
        space.set(PCIConfigurationSpace.Offset.interruptPin, UInt8(1))
        super.init(
            space: space,
            bars: [PCIBar(index: Self.bar, kind: .memory32, count: PVSCSIRegister.barSize)], interrupts: messages,
            msixBar: Self.msixBar)
        interrupts.connect { [weak self] in self?.setInterrupt($0) }
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
        guard bar == Self.bar else { return allOnes(width: width) }
        switch offset {
        case PVSCSIRegister.commandStatus: return UInt64(commands.withLock { $0.result }) & allOnes(width: width)
        case PVSCSIRegister.interruptStatus: return UInt64(interrupts.bits) & allOnes(width: width)
        case PVSCSIRegister.interruptMask: return UInt64(interrupts.mask) & allOnes(width: width)
        default: return 0
        }
    }

    public override func writeBar(_ bar: Int, offset: UInt64, width: Int, value: UInt64) {
        guard bar == Self.bar, width >= 4 else { return }
        let word = UInt32(truncatingIfNeeded: value)
        switch offset {
        case PVSCSIRegister.kickOther, PVSCSIRegister.kickTransfer: engine.ring()
        case PVSCSIRegister.interruptStatus: interrupts.clear(word)
        case PVSCSIRegister.interruptMask: interrupts.enable(word & PVSCSIInterrupt.all)
        case PVSCSIRegister.command: perform { $0.begin(word) }
        case PVSCSIRegister.commandData: perform { $0.add(word) }
        default: break
        }
    }

    /// Lets the registers take a write, and does what it asks for. Under their lock, so that commands come one after another.
    private func perform(_ write: (inout PVSCSICommands) -> PVSCSICommands.Command?) {
        commands.withLock { commands in
            guard let command = write(&commands) else { return }
            commands.finish(run(command))
        }
    }

    private func run(_ command: PVSCSICommands.Command) -> Bool {
        let engine = engine
        let result = Result()
        engine.onLoop {
            switch command {
            case .reset: engine.resetAdapter(tells: false)
            case .setUpRings(let state): result.isDone.store(engine.setUp(state), ordering: .relaxed)
            case .setUpMessageRing(let pages): result.isDone.store(engine.setUpMessages(pages), ordering: .relaxed)
            case .resetBus: engine.resetAllTargets()
            case .resetTarget(let target): engine.reset(target: target)
            case .abort(let context, let target): engine.abort(context, target: target)
            }
        }
        return result.isDone.load(ordering: .relaxed)
    }

    private final class Result: Sendable { let isDone = Atomic<Bool>(true) }

    public override func barMoved(_ bar: Int, to address: UInt64?) {
        guard bar == Self.bar, let binder else { return }
        let event = engine.event
        base.withLock { base in
            for register in [PVSCSIRegister.kickTransfer, PVSCSIRegister.kickOther] {
                if let base { binder.unbind(event, at: .memory(base &+ register)) }
            }
            base = address
            guard let address, engine.loop != nil else { return }
            for register in [PVSCSIRegister.kickTransfer, PVSCSIRegister.kickOther] {
                // Where the kernel cannot ring, each ring is an exit.
                try? binder.bind(event, at: .memory(address &+ register))
            }
        }
    }

    public override func messageInterruptsChanged() { interrupts.use(messages: msix?.isEnabled ?? false) }

    // MARK: Life

    /// Stops with nothing in flight, so that the guest's memory and the device can be saved. Waits.
    public override func pause() { engine.onLoop { [engine] in engine.pause() } }

    /// Goes on after `pause`.
    public override func resume() { engine.onLoop { [engine] in engine.resume() } }

    public override func reset() {
        commands.withLock { $0 = PVSCSICommands() }
        engine.onLoop { [engine] in engine.resetAdapter(tells: false) }
        interrupts.use(messages: false)
    }

    public override func close() {
        if isClosed.exchange(true, ordering: .relaxed) { return }
        engine.onLoop { [engine] in engine.close() }
    }
}
