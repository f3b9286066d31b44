import DeviceModel
import GuestMemory
import Linux
import Synchronization

/// One port of the controller with the device behind it.
///
/// The registers are shared with the guest's processors under a lock of their own; the commands are worked off on the
/// port's loop. A processor that writes a register leaves there what there is to do, and wakes the loop.
@safe final class AHCIPort: EventHandler, @unchecked Sendable {
    // @unchecked: the registers are guarded by their mutex; the rest belongs to the loop's thread, but for what is immutable.

    /// What is plugged in.
    enum Device {
        case disk
        case cd
    }

    /// What the controller does for its ports. From any thread.
    protocol Owner: AnyObject {
        /// A port interrupts, or not any more. Called under the port's lock.
        func interruptChanged(port: Int, _ isInterrupting: Bool)
        /// Interrupts the guest if there is something it has not seen.
        func notify()
        /// The guest opened or closed a CD drive's tray.
        func trayMoved(port: Int, isOut: Bool)
        /// Says so.
        func failed(port: Int, _ reason: String)
    }

    /// The disk's queue; tells the port what the disk has done.
    final class Disk: BlockClient, @unchecked Sendable {  // belongs to the loop's thread
        let queue: any BlockQueue
        let backend: any BlockBackend
        let blockShift: UInt64
        private unowned(unsafe) let port: AHCIPort

        init(_ backend: any BlockBackend, _ port: AHCIPort) throws(SystemError) {
            self.backend = backend
            queue = try backend.makeQueue(on: port.loop, depth: AHCIPort.slotCount)
            blockShift = UInt64(backend.geometry.logicalBlock.trailingZeroBitCount)
            // The port owns this object and closes the queue before it goes.
            unsafe self.port = port
            super.init()
            queue.attach(self)
        }

        override func blockRequestDone(_ tag: UInt32, _ status: BlockStatus) {
            unsafe port.requestDone(Int(truncatingIfNeeded: tag), status)
        }
        override func blockBatchDone() { unsafe port.batchDone() }
        override func blockBatchesDone() { unsafe port.settle() }
    }

    static let slotCount = 32

    let index: Int
    let device: Device?
    let loop: EventLoop?
    let ram: GuestRAM
    let event: EventFD
    private let pendingWork = Atomic<UInt8>(0)
    let registers: Mutex<AHCIPortRegisters>
    /// Set once before the guest runs.
    unowned(unsafe) var owner: (any Owner)?

    // Of the loop's thread.
    var disk: Disk?
    /// The same once more: using it counts no references.
    var hotDisk: Unmanaged<Disk>?
    let presentCounters = Mutex<BlockCounters?>(nil)
    let slots: UnsafeMutablePointer<AHCISlot>
    /// Commands under way, a bit each, and which of them are queued ones.
    var inFlight: UInt32 = 0
    var queued: UInt32 = 0
    /// Queued commands that ended and were not told yet.
    var done: UInt32 = 0
    /// A command failed: nothing is taken until the driver stops the list.
    var isHalted = false
    var isInReset = false
    var isPaused = false
    var isStarted = false
    var isTaking = false
    var needsNotify = false

    // What a snapshot saves of the device.
    /// The failed queued command, for the log: tag, status, error.
    var queuedError: (command: ATACommand, tag: UInt8, error: UInt8)?
    var isWriteback = true
    var multiple: UInt8 = 16
    /// Transfer mode that SET FEATURES chose; Ultra DMA 5 at first.
    var transferMode: UInt8 = 0x45
    /// The CD drive.
    var unit: SCSIUnit?
    /// The guest opened the tray, with what is `disk` on it.
    var isTrayOut = false

    /// - Parameter medium: the disk, or the CD in the drive, if there is one.
    init(
        index: Int, device: Device?, serial: String, medium: (any BlockBackend)?, loop: EventLoop?, ram: GuestRAM
    ) throws(SystemError) {
        self.index = index
        self.device = device
        self.loop = device == nil ? nil : loop
        self.ram = ram
        event = try EventFD()
        var initial = AHCIPortRegisters()
        if device != nil { initial.status = AHCIPortRegisters.connected }
        registers = Mutex(initial)
        unsafe slots = .allocate(capacity: Self.slotCount)
        super.init()
        guard device != nil else { return }
        let none: [16 of UInt8] = [16 of UInt8](repeating: 0)
        let command = unsafe withUnsafeBytes(of: none) { bytes -> ATACommand? in
            unsafe bytes.baseAddress.map { unsafe ATACommand(at: $0) }
        }
        if let command {
            for slot in 0..<Self.slotCount { unsafe (slots + slot).initialize(to: AHCISlot(ram, command)) }
        }
        if let medium {
            use(try Disk(medium, self))
        }
        if device == .cd { unit = SCSIUnit(.cd, .cd(serial: serial), medium: medium?.geometry) }
    }

    deinit {
        if device != nil { unsafe slots.deinitialize(count: Self.slotCount) }
        unsafe slots.deallocate()
    }

    /// Runs on the port's thread and waits.
    func onLoop(_ work: @escaping @Sendable () -> Void) {
        if let loop { loop.performAndWait(work) } else { work() }
    }

    /// Runs on the port's thread soon.
    func soonOnLoop(_ work: @escaping @Sendable () -> Void) {
        if let loop { loop.perform(work) } else { work() }
    }

    // MARK: Registers (on any thread)

    func read(_ offset: UInt64) -> UInt32 { registers.withLock { $0.read(offset) } }

    func write(_ offset: UInt64, _ value: UInt32) {
        let hasDevice = device != nil
        let work = change { registers in
            let work = registers.write(offset, value, hasDevice: hasDevice)
            if !hasDevice {
                // Nothing is ever under way.
                if work.contains(.stop) { registers.command &= ~AHCIPortRegisters.Command.listRunning }
                return work
            }
            if work.contains(.stop) {
                registers.issue = 0
                registers.active = 0
            }
            // Under the lock: whoever completes a command sees by it that the command is not wanted any more.
            if work != [] { pendingWork.bitwiseOr(work.rawValue, ordering: .relaxed) }
            return work
        }
        switch offset {
        case AHCIPortRegisters.Offset.interruptStatus, AHCIPortRegisters.Offset.interruptEnable,
            AHCIPortRegisters.Offset.error:
            unsafe owner?.notify()
        default: break
        }
        guard hasDevice, work != [] else { return }
        if loop != nil { event.signal() } else { run() }
    }

    /// Changes registers on behalf of the device.
    ///
    /// - Returns: false, without a change, if the driver has stopped the list or reset the port meanwhile.
    @discardableResult
    func update(_ body: (inout AHCIPortRegisters) -> Void) -> Bool {
        let (changed, isInterrupting) = change { registers in
            let work = AHCIPortRegisters.Work(rawValue: pendingWork.load(ordering: .relaxed))
            if work.contains(.stop) || work.contains(.reset) { return (false, false) }
            body(&registers)
            return (true, registers.isInterrupting)
        }
        if isInterrupting { needsNotify = true }
        return changed
    }

    /// Changes registers, and tells the controller whether the port interrupts. Under the lock, so that two changes cannot
    /// tell it in the wrong order.
    @inline(__always)
    private func change<T>(_ body: (inout AHCIPortRegisters) -> T) -> T {
        registers.withLock { registers in
            let result = body(&registers)
            unsafe owner?.interruptChanged(port: index, registers.isInterrupting)
            return result
        }
    }

    // MARK: Life (on the loop's thread)

    /// Begins to serve the port.
    func start() {
        guard device != nil, !isStarted else { return }
        isStarted = true
        do throws(SystemError) {
            try loop?.watch(event.raw, for: [.readable, .edgeTriggered], self)
            try disk?.queue.resume()
        } catch {
            unsafe owner?.failed(port: index, "\(error)")
        }
        comeUp()
        run()
    }

    func pause() {
        guard !isPaused else { return }
        isPaused = true
        disk?.queue.suspend()
        settle()
    }

    func resume() {
        guard isPaused else { return }
        isPaused = false
        do throws(SystemError) { try disk?.queue.resume() } catch {
            unsafe owner?.failed(port: index, "\(error)")
        }
        run()
    }

    func close() {
        if isStarted { loop?.unwatch(event.raw) }
        isStarted = false
        isPaused = true
        disk?.queue.close()
        use(nil)
    }

    func use(_ disk: Disk?) {
        self.disk = disk
        unsafe hotDisk = unsafe disk.map { unsafe .passUnretained($0) }
        presentCounters.withLock { $0 = disk?.queue.counters }
    }

    /// Everything as after power-on.
    func resetAll() {
        abort()
        pendingWork.store(0, ordering: .relaxed)
        change { registers in
            registers = AHCIPortRegisters()
            if device != nil { registers.status = AHCIPortRegisters.connected }
        }
        if device != nil { comeUp() }
    }

    override func ready(_ events: Readiness) { run() }

    /// Does what the registers ask for.
    func run() {
        guard isStarted, !isPaused else { return }
        var work = AHCIPortRegisters.Work(rawValue: pendingWork.load(ordering: .acquiring))
        if work.contains(.stop) || work.contains(.reset) {
            abort()
            work = change { registers in
                // More may have been asked for while the disk finished; what stands there now is what counts.
                let all = AHCIPortRegisters.Work(rawValue: pendingWork.exchange(0, ordering: .relaxed))
                if registers.command & AHCIPortRegisters.Command.start == 0 {
                    registers.command &= ~AHCIPortRegisters.Command.listRunning
                }
                if all.contains(.reset) && registers.control & 0xf == 0 {
                    registers.status = AHCIPortRegisters.connected
                    registers.error |= AHCIPortRegisters.linkChanges
                    registers.interruptStatus |=
                        AHCIPortRegisters.Interrupt.connectChange | AHCIPortRegisters.Interrupt.phyReady
                }
                return all
            }
            if work.contains(.reset) {
                needsNotify = true
                comeUp()
            }
        } else {
            pendingWork.bitwiseAnd(~work.rawValue, ordering: .relaxed)
        }
        if work.contains(.receive) { tellSignature() }
        takeCommands()
        settle()
    }

    /// Ends everything that is under way without a word.
    private func abort() {
        if let disk {
            disk.queue.suspend()
            // Requests that wait because the storage is full are nobody's any more.
            disk.queue.abandonWaiting()
            if !isPaused { try? disk.queue.resume() }
        }
        for slot in 0..<Self.slotCount where inFlight & 1 << UInt32(slot) != 0 {
            unsafe slots[slot].isInFlight = false
        }
        inFlight = 0
        queued = 0
        done = 0
        isHalted = false
    }

    /// The device has been reset: it tells what it is.
    func comeUp() {
        isInReset = false
        isWriteback = true
        multiple = 16
        transferMode = 0x45
        queuedError = nil
        unit?.reset(tells: false)
        registers.withLock { registers in
            registers.signature = signature
            registers.taskFile = 0x0100 | UInt32(device == .cd ? 0 : ATAStatus.good)
        }
        tellSignature()
    }

    /// What the device leaves in its registers after a reset: count, then address.
    private var signature: UInt32 { device == .cd ? 0xeb14_0101 : 0x0000_0101 }

    private func tellSignature() {
        let taskFile = registers.withLock { $0.taskFile }
        receive(
            AHCIFrame.registers(
                status: UInt8(truncatingIfNeeded: taskFile), error: UInt8(truncatingIfNeeded: taskFile >> 8),
                block: UInt64(signature >> 8), device: 0, count: 1, interrupts: false))
    }
}
