import DeviceModel
import GuestMemory
import Linux
import Synchronization

// Taking commands from the list, on the port's loop.
extension AHCIPort {
    func takeCommands() {
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
    func takeRound() -> Bool {
        if isHalted { return false }
        let (list, issued) = registers.withLock { registers in
            (registers.commandList, registers.isRunning ? registers.issue : 0)
        }
        var left = issued & ~inFlight
        var accepted: UInt32 = 0
        var queuedBits: UInt32 = 0
        while left != 0 && !isHalted {
            let slot = left.trailingZeroBitCount
            let bit: UInt32 = 1 << UInt32(slot)
            left &= ~bit
            guard let (command, table, flags) = fetch(list, slot) else { break }
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
                queuedBits |= bit
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
        // The list's bit goes as soon as the device has a queued command; the other one stays until it is done.
        if queuedBits != 0 { update { $0.issue &= ~queuedBits } }
        return accepted != 0
    }

    /// Reads a command's header and table.
    ///
    /// - Returns: nil, having stopped the list, if they are not in memory or make no sense.
    func fetch(_ list: GuestAddress, _ slot: Int) -> (ATACommand, GuestAddress, UInt32)? {
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
    func halt(_ interrupt: UInt32) {
        isHalted = true
        update { $0.interruptStatus |= interrupt }
    }

    /// The device control register: a soft reset begins with the bit set and ends with it cleared.
    func control(_ slot: Int, _ command: ATACommand) {
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
}
