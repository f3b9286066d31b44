import DeviceModel
import GuestMemory

// A CD drive, which takes SCSI commands in packets (ATA8-ACS, section 7.18; MMC-6).
extension AHCIPort {
    /// The count register at a packet's end: data to the host (bit 1), command (bit 0).
    private static let reason: UInt16 = 3

    func beginCD(_ index: Int, _ slot: inout AHCISlot, _ table: GuestAddress, _ flags: UInt32) {
        switch slot.command.opcode {
        case ATAOpcode.packet: beginPacket(index, &slot, table, flags)
        case ATAOpcode.identifyPacketDevice:
            answer(
                index, &slot, table, flags,
                ATAIdentify.cd(serial: unit?.identity.serial ?? "", mode: transferMode))
        // Drivers that ask as if it were a disk are told by the signature that it is not.
        default: fail(index, &slot, ATAStatus.aborted, block: 0xeb_1401, count: 1)
        }
    }

    private func beginPacket(_ index: Int, _ slot: inout AHCISlot, _ table: GuestAddress, _ flags: UInt32) {
        slot.ending = .packet
        // The command block follows the command's frame: 16 bytes, of which 12 count.
        guard let high = ram.load(UInt64.self, at: table &+ 0x40), let low = ram.load(UInt64.self, at: table &+ 0x48)
        else { return fail(index, &slot, ATAStatus.aborted) }
        let block = SCSICommand(high: high.byteSwapped, low: low.byteSwapped & ~0xffff_ffff)
        switch unit?.decode(block) {
        case .good, .discard, .zero, .write: complete(index, &slot, count: Self.reason)
        case .data(let bytes):
            guard fill(index, &slot, table, flags, length: bytes.count, isShortGood: true) else { return }
            complete(index, &slot, bytes: slot.segments.scatter(bytes), count: Self.reason)
        case .read(let range): read(index, &slot, table, flags, range)
        case .flush: submit(index, &slot, BlockRequest(.flush, tag: 0))
        case .eject:
            moveTray(out: true)
            complete(index, &slot, count: Self.reason)
        case .load:
            moveTray(out: false)
            complete(index, &slot, count: Self.reason)
        case .fetch(let length, let list):
            guard fill(index, &slot, table, flags, length: length) else { return }
            switch unit?.accept(list, slot.segments.bytes()) {
            case .failed(let sense): check(index, &slot, sense)
            default: complete(index, &slot, bytes: length, count: Self.reason)
            }
        case .failed(let sense): check(index, &slot, sense)
        case nil: fail(index, &slot, ATAStatus.aborted)
        }
    }

    private func read(
        _ index: Int, _ slot: inout AHCISlot, _ table: GuestAddress, _ flags: UInt32, _ range: SCSIRange
    ) {
        let size = SCSIUnit.cdBlock
        // The range is on the medium: nothing overflows.
        let (offset, bytes) = (range.block &* size, range.count &* size)
        do throws(SegmentList.Fault) {
            try slot.segments.fill(ram, table: table &+ 0x80, entries: Int(flags >> 16), length: Int(clamping: bytes))
        } catch {
            return fail(index, &slot, ATAStatus.aborted, interrupt: AHCIPortRegisters.Interrupt.hostBusFatal)
        }
        guard UInt64(slot.segments.byteCount) == bytes else {
            unit?.note(.dataPhase)
            return check(index, &slot, .dataPhase)
        }
        unsafe submit(
            index, &slot,
            BlockRequest(
                .read, tag: 0, offset: offset, count: bytes, segments: slot.segments.pieces,
                segmentCount: slot.segments.count))
    }

    /// The disk is done with a packet's request.
    func finishPacket(_ index: Int, _ slot: inout AHCISlot, _ status: BlockStatus) {
        guard let sense = SCSISense(status, slot.operation) else {
            return complete(index, &slot, bytes: slot.segments.byteCount, count: Self.reason)
        }
        unit?.note(sense)
        check(index, &slot, sense)
    }

    /// Ends with CHECK CONDITION: the sense key is in the error register, the rest comes with REQUEST SENSE.
    private func check(_ index: Int, _ slot: inout AHCISlot, _ sense: SCSISense) {
        fail(index, &slot, sense.key << 4 | ATAStatus.aborted, count: Self.reason)
    }
}
