// What the guest reads and writes in the window (xHCI 1.2, section 5). Everything is done in words of 32 bits.
extension XHCIEngine {
    typealias Registers = XHCIRegisters

    /// Reads a word.
    ///
    /// - Parameter offset: a multiple of four.
    func read(_ offset: UInt64, now: UInt64) -> UInt32 {
        switch offset {
        case 0..<Registers.operational: Registers.capabilities[Int(offset >> 2)]
        case Registers.operational..<Registers.ports: readOperational(offset - Registers.operational)
        case Registers.ports..<Registers.portsEnd: readPort(Int((offset - Registers.ports) >> 4), offset & 0xf)
        case Registers.runtime: frame(now)
        case Registers.interrupters..<Registers.interruptersEnd:
            readInterrupter(Int((offset - Registers.interrupters) >> 5), offset & 0x1f)
        default: 0
        }
    }

    /// The microframe counter: 125 µs each.
    private func frame(_ now: UInt64) -> UInt32 {
        state.isRunning ? UInt32(truncatingIfNeeded: (now &- state.frameStart) / 125_000) & 0x3fff : 0
    }

    private func readOperational(_ register: UInt64) -> UInt32 {
        switch register {
        case 0x00: state.command
        case 0x04: state.status
        // Pages of 4 KiB.
        case 0x08: 1
        case 0x14: state.notification
        // The pointer of the command ring cannot be read.
        case 0x18: state.commandRingRuns ? Registers.CommandRing.running : 0
        case 0x30: UInt32(truncatingIfNeeded: state.contexts)
        case 0x34: UInt32(truncatingIfNeeded: state.contexts >> 32)
        case 0x38: state.configuration
        default: 0
        }
    }

    private func readInterrupter(_ index: Int, _ register: UInt64) -> UInt32 {
        let interrupter = state.interrupters[index]
        return switch register {
        case 0x00: interrupter.management
        case 0x04: interrupter.moderation
        case 0x08: interrupter.tableSize
        case 0x10: UInt32(truncatingIfNeeded: interrupter.table)
        case 0x14: UInt32(truncatingIfNeeded: interrupter.table >> 32)
        case 0x18:
            UInt32(truncatingIfNeeded: interrupter.dequeue)
                | (interrupter.isHandlerBusy ? UInt32(Registers.handlerBusy) : 0)
        case 0x1c: UInt32(truncatingIfNeeded: interrupter.dequeue >> 32)
        default: 0
        }
    }

    /// Writes a word.
    ///
    /// - Parameter offset: a multiple of four.
    mutating func write(_ offset: UInt64, _ value: UInt32, now: UInt64) {
        switch offset {
        case Registers.operational..<Registers.ports: writeOperational(offset - Registers.operational, value, now)
        case Registers.ports..<Registers.portsEnd: writePort(Int((offset - Registers.ports) >> 4), offset & 0xf, value)
        case Registers.interrupters..<Registers.interruptersEnd:
            writeInterrupter(Int((offset - Registers.interrupters) >> 5), offset & 0x1f, value)
        case Registers.doorbells..<Registers.doorbellsEnd:
            ring(Int((offset - Registers.doorbells) >> 2), value, now: now)
            return
        default: return
        }
        work(now: now)
    }

    private mutating func writeOperational(_ register: UInt64, _ value: UInt32, _ now: UInt64) {
        switch register {
        case 0x00:
            if value & Registers.Command.reset != 0 { return reset() }
            // Saving needs nothing done. Restoring fails, so that the driver sets everything up again.
            if value & Registers.Command.restoreState != 0 { state.status |= Registers.Status.saveRestoreError }
            // After a system error it does not run before the error is cleared or the controller reset.
            let hasError = state.status & Registers.Status.hostSystemError != 0
            setRunning(value & Registers.Command.run != 0 && !hasError, now: now)
            state.command = state.command & Registers.Command.run | value & Registers.Command.stored
        case 0x04: state.status &= ~(value & Registers.Status.clearedByOne)
        case 0x14: state.notification = value & 0xffff
        case 0x18: writeCommandRing(value)
        case 0x1c:
            guard !state.commandRingRuns else { return }
            state.commandRing.pointer = state.commandRing.pointer & 0xffff_ffff | UInt64(value) << 32
        case 0x30: state.contexts = state.contexts & ~0xffff_ffff | UInt64(value & ~0x3f)
        case 0x34: state.contexts = state.contexts & 0xffff_ffff | UInt64(value) << 32
        case 0x38: state.configuration = value & 0x3ff
        default: break
        }
    }

    private mutating func writeCommandRing(_ value: UInt32) {
        if state.commandRingRuns {
            // A running ring takes only to be stopped; commands are never half done.
            if value & (Registers.CommandRing.stop | Registers.CommandRing.abort) != 0 { stopCommands() }
            return
        }
        state.commandRing.pointer = state.commandRing.pointer & ~0xffff_ffff | UInt64(value & ~0x3f)
        state.commandRing.cycle = value & Registers.CommandRing.cycle != 0
    }

    private mutating func writeInterrupter(_ index: Int, _ register: UInt64, _ value: UInt32) {
        switch register {
        case 0x00:
            let pending = state.interrupters[index].management & Registers.InterruptManagement.pending & ~value
            state.interrupters[index].management = pending | value & Registers.InterruptManagement.enable
        case 0x04: state.interrupters[index].moderation = value
        case 0x08: state.interrupters[index].tableSize = value & 0xffff
        case 0x10:
            state.interrupters[index].table = state.interrupters[index].table & ~0xffff_ffff | UInt64(value & ~0x3f)
        case 0x14:
            state.interrupters[index].table = state.interrupters[index].table & 0xffff_ffff | UInt64(value) << 32
            loadSegments(index)
        // Of the two halves the low one counts: it comes first, and the high half hardly ever changes.
        case 0x18:
            setDequeue(index, state.interrupters[index].dequeue & ~0xffff_ffff | UInt64(value))
        case 0x1c:
            state.interrupters[index].dequeue =
                state.interrupters[index].dequeue & 0xffff_ffff | UInt64(value) << 32
        default: break
        }
    }
}
