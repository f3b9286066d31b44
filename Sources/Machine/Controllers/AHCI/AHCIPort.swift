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
    private let event: EventFD
    private let pendingWork = Atomic<UInt8>(0)
    private let registers: Mutex<AHCIPortRegisters>
    /// Set once before the guest runs.
    unowned(unsafe) var owner: (any Owner)?

    // Of the loop's thread.
    private(set) var disk: Disk?
    /// The same once more: using it counts no references.
    private var hotDisk: Unmanaged<Disk>?
    private let presentCounters = Mutex<BlockCounters?>(nil)
    private let slots: UnsafeMutablePointer<AHCISlot>
    /// Commands under way, a bit each, and which of them are queued ones.
    private(set) var inFlight: UInt32 = 0
    private var queued: UInt32 = 0
    /// Queued commands that ended and were not told yet.
    private var done: UInt32 = 0
    /// A command failed: nothing is taken until the driver stops the list.
    private(set) var isHalted = false
    private var isInReset = false
    private var isPaused = false
    private var isStarted = false
    private var isTaking = false
    private var needsNotify = false

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
    private(set) var isTrayOut = false

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
    private func update(_ body: (inout AHCIPortRegisters) -> Void) -> Bool {
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

    private func use(_ disk: Disk?) {
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
        let work = AHCIPortRegisters.Work(rawValue: pendingWork.load(ordering: .acquiring))
        if work.contains(.stop) || work.contains(.reset) {
            abort()
            change { registers in
                // More may have been asked for while the disk finished; what stands there now is what counts.
                let late = AHCIPortRegisters.Work(rawValue: pendingWork.exchange(0, ordering: .relaxed))
                if registers.command & AHCIPortRegisters.Command.start == 0 {
                    registers.command &= ~AHCIPortRegisters.Command.listRunning
                }
                if late.contains(.reset) {
                    registers.status = AHCIPortRegisters.connected
                    registers.error |= AHCIPortRegisters.linkChanges
                    registers.interruptStatus |=
                        AHCIPortRegisters.Interrupt.connectChange | AHCIPortRegisters.Interrupt.phyReady
                }
            }
            if work.contains(.reset) { comeUp() }
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
    private func comeUp() {
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

    // MARK: Media (on the loop's thread)

    /// What the disk's queue has done. From any thread.
    var counters: BlockCounters? { presentCounters.withLock { $0 } }

    /// Exchanges the CD on the port's thread and waits; see below.
    func changeMediumAndWait(_ medium: (any BlockBackend)?, force: Bool) -> Result<Bool, SystemError> {
        let outcome = Outcome()
        onLoop {
            let result: Result<Bool, SystemError>
            do throws(SystemError) {
                result = .success(try self.changeMedium(medium, force: force))
            } catch { result = .failure(error) }
            outcome.result.withLock { $0 = result }
        }
        return outcome.result.withLock { $0 }
    }

    private final class Outcome: Sendable {
        let result = Mutex<Result<Bool, SystemError>>(.success(false))
    }

    /// Exchanges the CD.
    ///
    /// - Returns: false, having only asked the guest for it, if the guest has locked the medium in.
    func changeMedium(_ medium: (any BlockBackend)?, force: Bool) throws(SystemError) -> Bool {
        guard let unit, device == .cd else { return false }
        if unit.isLocked && !force {
            self.unit?.requestEject()
            return false
        }
        let new = try medium.map { backend throws(SystemError) in try Disk(backend, self) }
        if let disk {
            // What is under way ends with the old medium.
            disk.queue.suspend()
            disk.queue.abandonWaiting()
            failAbandoned()
            disk.queue.close()
        }
        use(new)
        isTrayOut = false
        self.unit?.changeMedium(medium?.geometry)
        if !isPaused { try new?.queue.resume() }
        takeCommands()
        settle()
        return true
    }

    private func failAbandoned() {
        for slot in 0..<Self.slotCount where inFlight & 1 << UInt32(slot) != 0 {
            unsafe finish(slot, &slots[slot], .failed)
        }
    }

    /// The guest moves the tray.
    func moveTray(out: Bool) {
        guard isTrayOut != out else { return }
        isTrayOut = out
        unit?.changeMedium(out ? nil : disk?.backend.geometry)
        unsafe owner?.trayMoved(port: index, isOut: out)
    }

    // MARK: Taking commands (on the loop's thread)

    private func takeCommands() {
        if isTaking || isPaused || !isStarted { return }
        isTaking = true
        var again = true
        // Every round takes a command at least; a driver that keeps issuing does not hold the loop.
        for _ in 0..<Self.slotCount where again {
            again = takeRound()
            unsafe hotDisk?._withUnsafeGuaranteedRef { $0.queue.commit() }
        }
        if again { event.signal() }
        isTaking = false
    }

    /// Takes what is issued.
    ///
    /// - Returns: whether something was taken.
    private func takeRound() -> Bool {
        if isHalted { return false }
        let (list, issued) = registers.withLock { registers in
            (registers.commandList, registers.isRunning ? registers.issue : 0)
        }
        var left = issued & ~inFlight
        var accepted: UInt32 = 0
        while left != 0 && !isHalted {
            let slot = left.trailingZeroBitCount
            let bit: UInt32 = 1 << UInt32(slot)
            left &= ~bit
            guard let (command, table, flags) = fetch(list, slot) else { return true }
            let isQueued =
                device == .disk && command.isCommand
                && (command.opcode == ATAOpcode.readFPDMA || command.opcode == ATAOpcode.writeFPDMA)
            // Queued commands run together; any other runs alone.
            if inFlight != 0 && (!isQueued || queued != inFlight) { break }
            unsafe slots[slot].command = command
            unsafe slots[slot].header = list &+ UInt64(slot &* 32)
            unsafe slots[slot].rangeCount = 0
            unsafe slots[slot].rangeNext = 0
            unsafe slots[slot].segments.clear()
            accepted |= bit
            if !command.isCommand {
                control(slot, command)
            } else if isQueued {
                unsafe slots[slot].ending = .queued
                // The list's bit goes as soon as the device has the command; the other one stays until it is done.
                update { $0.issue &= ~bit }
                unsafe beginQueued(slot, &slots[slot], table, flags)
            } else {
                unsafe slots[slot].ending = .plain
                update { registers in
                    registers.taskFile = registers.taskFile & ~0xff | UInt32(ATAStatus.busy)
                    registers.command = registers.command & ~0x1f00 | UInt32(slot) << 8
                }
                unsafe begin(slot, &slots[slot], table, flags)
            }
        }
        return accepted != 0
    }

    /// Reads a command's header and table.
    ///
    /// - Returns: nil, having stopped the list, if they are not in memory or make no sense.
    private func fetch(_ list: GuestAddress, _ slot: Int) -> (ATACommand, GuestAddress, UInt32)? {
        let header = list &+ UInt64(slot &* 32)
        guard let flags = ram.load(UInt32.self, at: header), let address = ram.load(UInt64.self, at: header &+ 8),
            let table = unsafe ram.pointer(at: address & ~0x7f, count: 0x80)
        else {
            halt(AHCIPortRegisters.Interrupt.hostBusFatal)
            return nil
        }
        let command = unsafe ATACommand(at: table)
        guard command.isRegister, flags & 0x1f >= 2 else {
            halt(AHCIPortRegisters.Interrupt.hostBusFatal)
            return nil
        }
        return (command, address & ~0x7f, flags)
    }

    /// Stops the list because of an error that belongs to no command.
    private func halt(_ interrupt: UInt32) {
        isHalted = true
        update { $0.interruptStatus |= interrupt }
    }

    /// The device control register: a soft reset begins with the bit set and ends with it cleared.
    private func control(_ slot: Int, _ command: ATACommand) {
        if command.isSoftReset {
            isInReset = true
        } else if isInReset {
            comeUp()
        }
        update { $0.issue &= ~(1 << UInt32(slot)) }
    }

    /// Submits a slot's request to the disk.
    func submit(_ index: Int, _ slot: inout AHCISlot, _ request: BlockRequest) {
        let bit: UInt32 = 1 << UInt32(truncatingIfNeeded: index)
        var request = request
        request.tag = UInt32(truncatingIfNeeded: index)
        slot.operation = request.operation
        slot.isInFlight = true
        inFlight |= bit
        if slot.ending == .queued { queued |= bit }
        let taken = unsafe hotDisk?._withUnsafeGuaranteedRef { $0.queue.submit(request) } ?? false
        // A disk's queue is as deep as the list.
        if !taken { finish(index, &slot, .failed) }
    }

    /// How far a block number is shifted for its offset in bytes.
    var blockShift: UInt64 { unsafe hotDisk?._withUnsafeGuaranteedRef { $0.blockShift } ?? 9 }

    // MARK: Completion (on the loop's thread)

    private func requestDone(_ index: Int, _ status: BlockStatus) {
        guard index >= 0, index < Self.slotCount, unsafe slots[index].isInFlight else { return }
        if unsafe status == .done && slots[index].rangeNext < slots[index].rangeCount {
            if unsafe submitRange(index, &slots[index]) { return }
        }
        unsafe finish(index, &slots[index], status)
    }

    private func batchDone() {
        tellQueued()
        if !isTaking { takeCommands() }
    }

    /// The disk is done with a slot's request.
    private func finish(_ index: Int, _ slot: inout AHCISlot, _ status: BlockStatus) {
        let bit: UInt32 = 1 << UInt32(truncatingIfNeeded: index)
        slot.isInFlight = false
        inFlight &= ~bit
        queued &= ~bit
        if slot.operation == .read && status == .done { slot.segments.markWritten(slot.segments.byteCount) }
        if isHalted { return }
        switch slot.ending {
        case .queued:
            if status == .done { done |= bit } else { failQueued(index, slot.command, Self.error(status)) }
        case .packet: finishPacket(index, &slot, status)
        case .plain, .pioIn:
            if status == .done || (status == .unsupported && slot.operation == .discard) {
                complete(index, &slot, bytes: slot.segments.byteCount)
            } else {
                fail(index, &slot, Self.error(status))
            }
        }
    }

    /// The error register for a request's end.
    private static func error(_ status: BlockStatus) -> UInt8 {
        switch status {
        case .done: 0
        case .failed: ATAStatus.uncorrectable
        case .outOfRange: ATAStatus.notFound
        case .noSpace, .readOnly, .unsupported: ATAStatus.aborted
        }
    }

    /// Tells the driver of queued commands that ended, all at once.
    private func tellQueued() {
        let ended = done
        if ended == 0 { return }
        done = 0
        receive(AHCIFrame.deviceBits(status: ATAStatus.good, error: 0, active: ended))
        update { registers in
            registers.active &= ~ended
            registers.taskFile = UInt32(ATAStatus.good)
            registers.interruptStatus |= AHCIPortRegisters.Interrupt.deviceBits
        }
    }

    /// A queued command failed: the others wait until the driver has found out which.
    func failQueued(_ index: Int, _ command: ATACommand, _ error: UInt8) {
        tellQueued()
        isHalted = true
        queuedError = (command, UInt8(truncatingIfNeeded: index), error)
        let status = ATAStatus.ready | ATAStatus.error
        receive(AHCIFrame.deviceBits(status: status, error: error, active: 0))
        update { registers in
            registers.taskFile = UInt32(error) << 8 | UInt32(status)
            registers.interruptStatus |=
                AHCIPortRegisters.Interrupt.deviceBits | AHCIPortRegisters.Interrupt.taskFileError
        }
    }

    /// Ends a command well.
    ///
    /// - Parameters:
    ///   - bytes: how many were moved.
    ///   - count: what the count register holds then.
    func complete(
        _ index: Int, _ slot: inout AHCISlot, bytes: Int = 0, block: UInt64? = nil, count: UInt16 = 0
    ) {
        ram.store(UInt32(truncatingIfNeeded: bytes), at: slot.header &+ 4)
        var interrupts = AHCIPortRegisters.Interrupt.registers
        let block = block ?? slot.command.block48
        if slot.ending == .pioIn {
            interrupts |= AHCIPortRegisters.Interrupt.pioSetup
            receive(
                AHCIFrame.pioSetup(
                    status: ATAStatus.good | ATAStatus.dataRequest, endStatus: ATAStatus.good, block: block,
                    device: slot.command.device, count: count, bytes: UInt16(truncatingIfNeeded: bytes)))
        }
        end(index, slot.command, status: ATAStatus.good, error: 0, block: block, count: count, interrupts)
    }

    /// Ends a command with an error.
    func fail(
        _ index: Int, _ slot: inout AHCISlot, _ error: UInt8, block: UInt64? = nil, count: UInt16 = 0,
        interrupt: UInt32 = 0
    ) {
        ram.store(UInt32(0), at: slot.header &+ 4)
        isHalted = true
        end(
            index, slot.command, status: ATAStatus.good | ATAStatus.error, error: error,
            block: block ?? slot.command.block48, count: count,
            AHCIPortRegisters.Interrupt.registers | AHCIPortRegisters.Interrupt.taskFileError | interrupt)
    }

    private func end(
        _ index: Int, _ command: ATACommand, status: UInt8, error: UInt8, block: UInt64, count: UInt16,
        _ interrupts: UInt32
    ) {
        receive(
            AHCIFrame.registers(
                status: status, error: error, block: block, device: command.device, count: count, interrupts: true))
        let isFailed = status & ATAStatus.error != 0
        update { registers in
            registers.taskFile = UInt32(error) << 8 | UInt32(status)
            // The bit of a failed command stays, until the driver stops the list.
            if !isFailed { registers.issue &= ~(1 << UInt32(truncatingIfNeeded: index)) }
            registers.interruptStatus |= interrupts
        }
    }

    /// Puts a frame into the driver's receive area.
    private func receive(_ frame: AHCIFrame) {
        let (area, isOn) = registers.withLock { ($0.received, $0.canReceive) }
        if isOn { frame.store(ram, at: area) }
    }

    /// Interrupts the guest for what was told since the last time.
    func settle() {
        tellQueued()
        guard needsNotify else { return }
        needsNotify = false
        unsafe owner?.notify()
    }
}
