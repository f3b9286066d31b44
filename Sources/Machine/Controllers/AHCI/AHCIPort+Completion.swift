import DeviceModel
import GuestMemory
import Synchronization

// Telling the driver how commands ended, on the port's loop.
extension AHCIPort {
    func requestDone(_ index: Int, _ status: BlockStatus) {
        guard index >= 0, index < Self.slotCount, unsafe slots[index].isInFlight else { return }
        if unsafe status == .done && slots[index].rangeNext < slots[index].rangeCount {
            if unsafe submitRange(index, &slots[index]) { return }
        }
        unsafe finish(index, &slots[index], status)
    }

    func batchDone() {
        tellQueued()
        if !isTaking { takeCommands() }
    }

    /// The disk is done with a slot's request.
    func finish(_ index: Int, _ slot: inout AHCISlot, _ status: BlockStatus) {
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
    func tellQueued() {
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

    func end(
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
    func receive(_ frame: AHCIFrame) {
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
