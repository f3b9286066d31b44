import DeviceModel
import Linux
import Synchronization

/// What the kernel's results mean for a request.
extension FileBlockQueue {
    /// How often an operation is tried again when the kernel says so, before that counts as a failure.
    private static let retriesMax: UInt8 = 100

    /// The operation of a slot ended with `result`.
    func completed(_ index: Int32, _ result: Int32) {
        let slot = unsafe slots + Int(index)
        let stage = unsafe slot.pointee.stage
        unsafe slot.pointee.stage = .none
        if stage == .transfer { return unsafe transferred(index, slot, result) }
        if result < 0 { return unsafe failed(index, slot, stage, -result) }
        switch stage {
        case .sync:
            unsafe slot.pointee.syncFile &+= 1
            step(index)
        case .punch, .zeroRange:
            unsafe slot.pointee.advance(slot.pointee.piece)
            step(index)
        case .writeZeros:
            if result == 0 { return unsafe failed(index, slot, stage, SystemError.inputOutput) }
            unsafe slot.pointee.advance(min(UInt64(result), slot.pointee.piece))
            step(index)
        case .transfer, .none:
            break
        }
    }

    private func transferred(_ index: Int32, _ slot: UnsafeMutablePointer<RequestSlot>, _ result: Int32) {
        let bounce = unsafe slot.pointee.bounce
        let isRead = unsafe slot.pointee.request.operation == .read
        if bounce >= 0 {
            if isRead, result > 0 {
                let buffer = unsafe bounces.base + Int(bounce) &* Self.bounceSize
                unsafe slot.pointee.forEachStretch(Int(min(UInt64(result), slot.pointee.piece))) { base, at, length in
                    unsafe base.copyMemory(from: buffer + at, byteCount: length)
                }
            }
            unsafe state.pointee.freeBounces |= 1 << UInt32(bounce)
            unsafe slot.pointee.bounce = -1
        }
        if result < 0 { return unsafe failed(index, slot, .transfer, -result) }
        if result == 0 { return unsafe transferredNothing(index, slot, isRead) }
        // Fewer than asked for: the next step asks for the rest.
        unsafe slot.pointee.advance(min(UInt64(result), slot.pointee.piece))
        if unsafe slot.pointee.left == 0 {
            finish(index, .done)
        } else {
            step(index)
        }
    }

    private func transferredNothing(_ index: Int32, _ slot: UnsafeMutablePointer<RequestSlot>, _ isRead: Bool) {
        // The end of the file. In its last, incomplete block that is expected; elsewhere somebody cut the file off.
        let isPastEnd = unsafe slot.pointee.filePosition >= state.pointee.files[Int(slot.pointee.file)].size
        guard isRead, isPastEnd else { return unsafe failed(index, slot, .transfer, SystemError.inputOutput) }
        unsafe zeroFill(slot, slot.pointee.piece)
        step(index)
    }

    private func failed(
        _ index: Int32, _ slot: UnsafeMutablePointer<RequestSlot>, _ stage: RequestSlot.Stage, _ number: CInt
    ) {
        let file = unsafe state.pointee.files[Int(slot.pointee.file)].owner.takeUnretainedValue()
        switch number {
        case SystemError.interrupted, SystemError.tryAgain:
            if unsafe slot.pointee.retries < Self.retriesMax {
                unsafe slot.pointee.retries &+= 1
                return step(index)
            }
        case SystemError.notSupported, SystemError.noSystemCall:
            // Not an error but a property of the file system: the next step takes another way.
            if stage == .punch {
                file.canPunch.store(false, ordering: .relaxed)
                return step(index)
            }
            if stage == .zeroRange {
                file.canZeroRange.store(false, ordering: .relaxed)
                return step(index)
            }
        case SystemError.noSpace, SystemError.quotaExceeded:
            // A flush that fails has lost data: to try again would hide that.
            if stage != .sync { return unsafe end(index, slot, stage, .noSpace, number) }
        default:
            break
        }
        if stage == .sync, file.hasCachedWrites.load(ordering: .relaxed) {
            file.lostWrites.store(number, ordering: .relaxed)
        }
        unsafe end(index, slot, stage, .failed, number)
    }

    /// Ends a request with an error, or asks what to do and lets it wait for the answer.
    private func end(
        _ index: Int32, _ slot: UnsafeMutablePointer<RequestSlot>, _ stage: RequestSlot.Stage, _ status: BlockStatus,
        _ number: CInt
    ) {
        let name = unsafe state.pointee.files[Int(slot.pointee.file)].owner.takeUnretainedValue().name
        let error = SystemError(number: number, operation: Self.name(stage), subject: name)
        backend.note(error)
        let options = backend.options
        guard options.onQuestion != nil, status == .noSpace || options.asksOnAnyError else {
            return finish(index, status)
        }
        unsafe slot.pointee.status = status
        unsafe slot.pointee.retries = 0
        unsafe state.pointee.stalled.append(index, slots)
        backend.ask(BlockQuestion(file: name, error: error))
    }

    private static func name(_ stage: RequestSlot.Stage) -> String {
        switch stage {
        case .sync: "flush disk"
        case .punch: "free blocks of disk"
        case .zeroRange, .writeZeros: "write zeros to disk"
        case .transfer, .none: "access disk"
        }
    }
}
