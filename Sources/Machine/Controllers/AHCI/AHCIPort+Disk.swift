import DeviceModel
import GuestMemory

// The commands of a disk (ATA8-ACS, section 7).
extension AHCIPort {
    private enum Feature {
        static let enableWriteCache: UInt16 = 0x02
        static let setTransferMode: UInt16 = 0x03
        static let disableLookAhead: UInt16 = 0x55
        static let disableWriteCache: UInt16 = 0x82
        static let enableLookAhead: UInt16 = 0xaa
    }

    private enum Log {
        static let directory: UInt8 = 0x00
        static let queuedError: UInt8 = 0x10
    }

    /// How a command says where and how long.
    private enum Addressing {
        /// 48 bits and a count of 16, where zero stands for 65536.
        case long
        /// 28 bits or a cylinder, and a count of 8, where zero stands for 256.
        case short
    }

    /// Length of a range to trim: first block in bits 47:0, length in 63:48.
    private static let rangeSize = 8

    /// Begins a command that is not a queued one.
    ///
    /// - Parameters:
    ///   - table: the command's table.
    ///   - flags: word 0 of its header.
    func begin(_ index: Int, _ slot: inout AHCISlot, _ table: GuestAddress, _ flags: UInt32) {
        let command = slot.command
        switch command.opcode {
        case ATAOpcode.setFeatures: setFeatures(index, &slot)
        case ATAOpcode.standbyImmediate, ATAOpcode.idleImmediate, ATAOpcode.standby, ATAOpcode.idle, ATAOpcode.sleep:
            complete(index, &slot)
        case ATAOpcode.checkPowerMode: complete(index, &slot, count: 0xff)  // active
        case ATAOpcode.executeDiagnostic:
            complete(index, &slot, block: device == .cd ? 0xeb_1401 : 1, count: 1)
        default:
            if device == .cd {
                beginCD(index, &slot, table, flags)
            } else {
                beginDisk(index, &slot, table, flags)
            }
        }
    }

    private func beginDisk(_ index: Int, _ slot: inout AHCISlot, _ table: GuestAddress, _ flags: UInt32) {
        switch slot.command.opcode {
        case ATAOpcode.readDMAExt: transfer(index, &slot, table, flags, .read, .long)
        case ATAOpcode.writeDMAExt: transfer(index, &slot, table, flags, .write, .long)
        case ATAOpcode.writeDMAFUAExt, ATAOpcode.writeMultipleFUAExt:
            transfer(index, &slot, table, flags, .write, .long, durable: true)
        case ATAOpcode.readDMA, ATAOpcode.readDMANoRetry: transfer(index, &slot, table, flags, .read, .short)
        case ATAOpcode.writeDMA, ATAOpcode.writeDMANoRetry: transfer(index, &slot, table, flags, .write, .short)
        case ATAOpcode.readSectorsExt, ATAOpcode.readMultipleExt:
            slot.ending = .pioIn
            transfer(index, &slot, table, flags, .read, .long)
        case ATAOpcode.readSectors, ATAOpcode.readSectorsNoRetry, ATAOpcode.readMultiple:
            slot.ending = .pioIn
            transfer(index, &slot, table, flags, .read, .short)
        case ATAOpcode.writeSectorsExt, ATAOpcode.writeMultipleExt: transfer(index, &slot, table, flags, .write, .long)
        case ATAOpcode.writeSectors, ATAOpcode.writeSectorsNoRetry, ATAOpcode.writeMultiple:
            transfer(index, &slot, table, flags, .write, .short)
        case ATAOpcode.flushCache, ATAOpcode.flushCacheExt: submit(index, &slot, BlockRequest(.flush, tag: 0))
        case ATAOpcode.dataSetManagement: trim(index, &slot, table, flags)
        case ATAOpcode.readVerify: verify(index, &slot, .short)
        case ATAOpcode.readVerifyExt: verify(index, &slot, .long)
        case ATAOpcode.identifyDevice:
            guard let geometry = disk?.backend.geometry else { return fail(index, &slot, ATAStatus.aborted) }
            answer(
                index, &slot, table, flags,
                ATAIdentify.disk(geometry, isWriteback: isWriteback, multiple: multiple, mode: transferMode))
        case ATAOpcode.setMultiple:
            let count = UInt8(truncatingIfNeeded: slot.command.count)
            guard count <= 16, count & (count &- 1) == 0 else { return fail(index, &slot, ATAStatus.aborted) }
            multiple = count
            complete(index, &slot)
        case ATAOpcode.readLogExt: readLog(index, &slot, table, flags, .pioIn)
        case ATAOpcode.readLogDMAExt: readLog(index, &slot, table, flags, .plain)
        case ATAOpcode.initializeParameters: complete(index, &slot)
        default: fail(index, &slot, ATAStatus.aborted)
        }
    }

    // MARK: Transfers

    /// Where a command begins, in blocks, and how many it is about.
    private func range(_ command: ATACommand, _ addressing: Addressing) -> (block: UInt64, count: UInt64)? {
        switch addressing {
        case .long:
            return (command.block48, command.count == 0 ? 65536 : UInt64(command.count))
        case .short:
            let low = UInt64(command.count & 0xff)
            let count = low == 0 ? 256 : low
            if !command.isByCylinder { return (command.block28, count) }
            guard command.sector > 0, command.sector <= ATAIdentify.sectors else { return nil }
            let track = command.cylinder * ATAIdentify.heads + command.head
            return (track * ATAIdentify.sectors + command.sector - 1, count)
        }
    }

    /// Fills the slot's memory with exactly `length` bytes, or fails the command.
    ///
    /// - Parameter isShortGood: less memory will do.
    /// - Returns: false if it failed.
    func fill(
        _ index: Int, _ slot: inout AHCISlot, _ table: GuestAddress, _ flags: UInt32, length: Int,
        isShortGood: Bool = false
    ) -> Bool {
        do throws(SegmentList.Fault) {
            try slot.segments.fill(ram, table: table &+ 0x80, entries: Int(flags >> 16), length: length)
        } catch {
            failTransfer(index, &slot, AHCIPortRegisters.Interrupt.hostBusFatal)
            return false
        }
        if slot.segments.byteCount == length || isShortGood { return true }
        failTransfer(index, &slot, AHCIPortRegisters.Interrupt.overflow)
        return false
    }

    private func failTransfer(_ index: Int, _ slot: inout AHCISlot, _ interrupt: UInt32) {
        if slot.ending == .queued {
            failQueued(index, slot.command, ATAStatus.aborted | ATAStatus.interfaceCRC)
        } else {
            fail(index, &slot, ATAStatus.aborted | ATAStatus.interfaceCRC, interrupt: interrupt)
        }
    }

    private func transfer(
        _ index: Int, _ slot: inout AHCISlot, _ table: GuestAddress, _ flags: UInt32, _ operation: BlockOperation,
        _ addressing: Addressing, durable: Bool = false
    ) {
        guard let (block, count) = range(slot.command, addressing) else {
            return fail(index, &slot, ATAStatus.notFound)
        }
        move(index, &slot, table, flags, operation, block: block, count: count, durable: durable)
    }

    /// Begins READ or WRITE FPDMA QUEUED: the count is in the features register, the tag in the count register.
    func beginQueued(_ index: Int, _ slot: inout AHCISlot, _ table: GuestAddress, _ flags: UInt32) {
        let command = slot.command
        guard command.tag == index else { return failQueued(index, command, ATAStatus.aborted) }
        let operation: BlockOperation = command.opcode == ATAOpcode.readFPDMA ? .read : .write
        move(
            index, &slot, table, flags, operation, block: command.block48,
            count: command.features == 0 ? 65536 : UInt64(command.features),
            durable: operation == .write && command.isDurable)
    }

    private func move(
        _ index: Int, _ slot: inout AHCISlot, _ table: GuestAddress, _ flags: UInt32, _ operation: BlockOperation,
        block: UInt64, count: UInt64, durable: Bool
    ) {
        // A block number has at most 48 bits and a block 12: nothing overflows. The disk checks the range.
        let shift = blockShift
        let bytes = count &<< shift
        guard fill(index, &slot, table, flags, length: Int(truncatingIfNeeded: bytes)) else { return }
        let isDurable = operation == .write && (durable || !isWriteback)
        unsafe submit(
            index, &slot,
            BlockRequest(
                operation, tag: 0, offset: block &<< shift, count: bytes, segments: slot.segments.pieces,
                segmentCount: slot.segments.count, options: isDurable ? .durable : []))
    }

    private func verify(_ index: Int, _ slot: inout AHCISlot, _ addressing: Addressing) {
        guard let (block, count) = range(slot.command, addressing), let geometry = disk?.backend.geometry,
            block &+ count <= geometry.capacity >> blockShift
        else { return fail(index, &slot, ATAStatus.notFound) }
        complete(index, &slot)
    }

    // MARK: Trimming

    private func trim(_ index: Int, _ slot: inout AHCISlot, _ table: GuestAddress, _ flags: UInt32) {
        let count = Int(slot.command.count)
        guard slot.command.features & 1 != 0, disk?.backend.geometry.canDiscard == true, count > 0,
            count <= ATAIdentify.trimBlocksMax
        else { return fail(index, &slot, ATAStatus.aborted) }
        guard fill(index, &slot, table, flags, length: count * 512) else { return }
        slot.rangeCount = count * 512 / Self.rangeSize
        slot.rangeNext = 0
        if !submitRange(index, &slot) { complete(index, &slot, bytes: count * 512) }
    }

    /// Submits a command's next range, with those that continue it.
    ///
    /// - Returns: false if there is none left.
    func submitRange(_ index: Int, _ slot: inout AHCISlot) -> Bool {
        var start: UInt64 = 0
        var count: UInt64 = 0
        while slot.rangeNext < slot.rangeCount {
            guard let entry = slot.segments.load(UInt64.self, at: slot.rangeNext &* Self.rangeSize) else { break }
            let block = entry & 0xffff_ffff_ffff
            let length = entry >> 48
            if length > 0 {
                if count == 0 {
                    start = block
                } else if block != start &+ count {
                    break
                }
                count &+= length
            }
            slot.rangeNext &+= 1
        }
        if count == 0 { return false }
        let shift = blockShift
        submit(index, &slot, BlockRequest(.discard, tag: 0, offset: start &<< shift, count: count &<< shift))
        return true
    }

    // MARK: The rest

    private func setFeatures(_ index: Int, _ slot: inout AHCISlot) {
        switch slot.command.features & 0xff {
        case Feature.enableWriteCache: isWriteback = true
        case Feature.disableWriteCache:
            isWriteback = false
            // What is in the cache goes out of it.
            if device == .disk { return submit(index, &slot, BlockRequest(.flush, tag: 0)) }
        case Feature.setTransferMode: transferMode = UInt8(truncatingIfNeeded: slot.command.count)
        case Feature.enableLookAhead, Feature.disableLookAhead: break
        default: return fail(index, &slot, ATAStatus.aborted)
        }
        complete(index, &slot)
    }

    /// Hands data to the driver, as far as it has room.
    func answer(
        _ index: Int, _ slot: inout AHCISlot, _ table: GuestAddress, _ flags: UInt32, _ bytes: [UInt8],
        _ kind: AHCISlot.Ending = .pioIn
    ) {
        slot.ending = kind
        guard fill(index, &slot, table, flags, length: bytes.count, isShortGood: true) else { return }
        complete(index, &slot, bytes: slot.segments.scatter(bytes))
    }

    private func readLog(
        _ index: Int, _ slot: inout AHCISlot, _ table: GuestAddress, _ flags: UInt32, _ kind: AHCISlot.Ending
    ) {
        let log = UInt8(truncatingIfNeeded: slot.command.block48)
        // The first page of each is all there is.
        let page = slot.command.block48 >> 8 & 0xff
        guard page == 0, slot.command.count == 1 else { return fail(index, &slot, ATAStatus.aborted) }
        var data = StructureBytes(count: 512)
        switch log {
        case Log.directory:
            data.set(0, UInt16(1))
            data.set(2 * Int(Log.queuedError), UInt16(1))
        case Log.queuedError:
            if let failed = queuedError {
                data.set(0, failed.tag)
                data.set(2, ATAStatus.ready | ATAStatus.error)
                data.set(3, failed.error)
                let block = failed.command.block48
                for byte in 0..<3 { data.set(4 + byte, UInt8(truncatingIfNeeded: block >> (8 * byte))) }
                data.set(7, failed.command.device)
                for byte in 0..<3 { data.set(8 + byte, UInt8(truncatingIfNeeded: block >> (24 + 8 * byte))) }
                data.set(12, failed.command.count)
            } else {
                data.set(0, UInt8(0x80))  // no queued command failed
            }
            data.set(511, 0 &- data.bytes.reduce(0, &+))
        default: return fail(index, &slot, ATAStatus.aborted)
        }
        answer(index, &slot, table, flags, data.bytes, kind)
    }
}
