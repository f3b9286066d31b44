import DeviceModel
import GuestMemory

// Carrying out commands, on the adapter's loop.
extension SCSIEngine {
    /// Has the slot's target carry out a command.
    ///
    /// - Returns: whether a disk is at work on it; else it has ended, and the slot is free.
    @inline(__always)
    final func execute(_ index: Int, _ slot: inout SCSISlot, _ command: SCSICommand) -> Bool {
        guard slot.target >= 0, slot.target < Self.targetCount, let target = unsafe targets[slot.target] else {
            finish(index, &slot, .lost(.noTarget))
            return false
        }
        guard let outcome = unsafe target._withUnsafeGuaranteedRef({ execute(index, &slot, command, $0) }) else {
            return true
        }
        finish(index, &slot, outcome)
        return false
    }

    /// - Returns: nil if a disk is at work on it, else how it ended.
    private final func execute(
        _ index: Int, _ slot: inout SCSISlot, _ command: SCSICommand, _ target: SCSITarget
    ) -> SCSIOutcome? {
        if slot.unit != 0 { return absentUnit(&slot, command) }
        return perform(target.unit.decode(command), index, &slot, target)
    }

    /// What a unit answers that the target does not have (SAM-5, section 5.11).
    private final func absentUnit(_ slot: inout SCSISlot, _ command: SCSICommand) -> SCSIOutcome {
        switch command.opcode {
        case SCSIOpcode.inquiry where command[1] & 1 == 0 && command[2] == 0:
            // Not connected, of no known type.
            var data = StructureBytes(count: 36)
            data.set(0, UInt8(0x7f))
            data.set(2, UInt8(6))
            data.set(3, UInt8(2))
            data.set(4, UInt8(36 - 5))
            return answer(&slot, Array(data.bytes.prefix(Int(command.big16(3)))))
        case SCSIOpcode.requestSense:
            return answer(&slot, Array(SCSISense.logicalUnit.bytes.prefix(Int(command[4]))))
        default: return .check(.logicalUnit)
        }
    }

    private final func answer(_ slot: inout SCSISlot, _ bytes: [UInt8]) -> SCSIOutcome {
        guard slot.direction == .toHost else { return .good() }
        return .good(moved: slot.segments.scatter(bytes))
    }

    private final func perform(
        _ action: SCSIAction, _ index: Int, _ slot: inout SCSISlot, _ target: SCSITarget
    ) -> SCSIOutcome? {
        switch action {
        case .good: return .good()
        case .data(let bytes): return answer(&slot, bytes)
        case .read(let range): return transfer(index, &slot, target, .read, range)
        case .write(let range, let durable):
            return transfer(index, &slot, target, .write, range, options: durable ? .durable : [])
        case .flush: return submit(index, &slot, target, BlockRequest(.flush, tag: 0))
        case .fetch(let length, let list):
            guard slot.direction == .toDevice, slot.segments.byteCount >= length else { return .lost(.overrun) }
            slot.segments.truncate(to: length)
            // What follows has no parameters of its own.
            switch target.unit.accept(list, slot.segments.bytes()) {
            case .fetch: return .check(.invalidField)
            case let action: return perform(action, index, &slot, target)
            }
        case .zero(let range, let mayUnmap):
            var options: BlockOptions = target.unit.isWriteback ? [] : .durable
            if mayUnmap { options.insert(.mayUnmap) }
            let size = target.unit.blockSize
            return submit(
                index, &slot, target,
                BlockRequest(
                    .writeZeroes, tag: 0, offset: range.block &* size, count: range.count &* size, options: options))
        case .discard(let ranges):
            slot.ranges = ranges
            slot.rangeNext = 0
            return submitRange(index, &slot, target)
        case .eject:
            moveTray(target, out: true)
            return .good()
        case .load:
            moveTray(target, out: false)
            return .good()
        case .failed(let sense): return .check(sense)
        }
    }

    /// - Parameter range: lies on the medium, so that nothing overflows.
    @inline(__always)
    private final func transfer(
        _ index: Int, _ slot: inout SCSISlot, _ target: SCSITarget, _ operation: BlockOperation, _ range: SCSIRange,
        options: BlockOptions = []
    ) -> SCSIOutcome? {
        let size = target.unit.blockSize
        let count = range.count &* size
        guard slot.direction == (operation == .read ? .toHost : .toDevice), UInt64(slot.segments.byteCount) >= count
        else { return .lost(.overrun) }
        slot.segments.truncate(to: Int(truncatingIfNeeded: count))
        return unsafe submit(
            index, &slot, target,
            BlockRequest(
                operation, tag: 0, offset: range.block &* size, count: count, segments: slot.segments.pieces,
                segmentCount: slot.segments.count, options: options))
    }

    /// Submits the next range to unmap.
    ///
    /// - Returns: nil if there was one, else how the command ended.
    private final func submitRange(_ index: Int, _ slot: inout SCSISlot, _ target: SCSITarget) -> SCSIOutcome? {
        guard slot.rangeNext < slot.ranges.count else {
            slot.ranges = []
            return .good(moved: slot.segments.byteCount)
        }
        let range = slot.ranges[slot.rangeNext]
        slot.rangeNext += 1
        let size = target.unit.blockSize
        return submit(
            index, &slot, target,
            BlockRequest(.discard, tag: 0, offset: range.block &* size, count: range.count &* size))
    }

    /// Submits a slot's request to the target's disk.
    ///
    /// - Returns: nil if that took it, else how the command ended.
    @inline(__always)
    private final func submit(
        _ index: Int, _ slot: inout SCSISlot, _ target: SCSITarget, _ request: BlockRequest
    ) -> SCSIOutcome? {
        slot.request = request
        slot.request.tag = UInt32(truncatingIfNeeded: index)
        let taken = unsafe target.hotMedium?._withUnsafeGuaranteedRef { medium in
            medium.isDirty = true
            return medium.queue.submit(slot.request)
        }
        // Without a medium the unit answers by itself, and a disk's queue is as deep as there are slots.
        guard taken == true else { return .check(.mediumNotPresent) }
        slot.isInFlight = true
        return nil
    }

    // MARK: Completion

    /// A disk is done with a slot's request.
    final func requestDone(_ index: Int, _ status: BlockStatus) {
        guard index >= 0, index < made, unsafe slots[index].isInFlight else { return }
        unsafe requestDone(index, &slots[index], status)
    }

    @inline(__always)
    private final func requestDone(_ index: Int, _ slot: inout SCSISlot, _ status: BlockStatus) {
        let operation = slot.request.operation
        if status == .done && operation != .discard {
            if operation == .read { slot.segments.markWritten(slot.segments.byteCount) }
            let isTransfer = operation == .read || operation == .write
            return finish(index, &slot, .good(moved: isTransfer ? slot.segments.byteCount : 0))
        }
        endSpecially(index, &slot, status)
    }

    private final func endSpecially(_ index: Int, _ slot: inout SCSISlot, _ status: BlockStatus) {
        guard let target = target(slot.target) else { return finish(index, &slot, .lost(.noTarget)) }
        if let sense = SCSISense(status, slot.request.operation) {
            target.unit.note(sense)
            finish(index, &slot, .check(sense))
        } else if isSettling || isPaused {
            // Nothing can be submitted now: ranges that are left are not unmapped, which is allowed.
            finish(index, &slot, .good(moved: slot.segments.byteCount))
        } else if let outcome = submitRange(index, &slot, target) {
            finish(index, &slot, outcome)
        }
    }

    /// Ends a command and frees its slot.
    @inline(__always)
    final func finish(_ index: Int, _ slot: inout SCSISlot, _ outcome: SCSIOutcome) {
        slot.isInFlight = false
        if !slot.ranges.isEmpty { slot.ranges = [] }
        commandDone(index, &slot, outcome)
        giveBack(index)
    }
}
