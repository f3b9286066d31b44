import DeviceModel
import Synchronization

// The NVM command set (NVM Express 1.4, section 6).
extension NVMeQueueGroup {
    private enum Word12 {
        /// Force unit access.
        static let durable: UInt32 = 1 << 30
        /// Of write zeroes: the storage may be freed.
        static let deallocate: UInt32 = 1 << 25
    }

    /// Length of a dataset management range: attributes u32, length in blocks u32, first block u64.
    private static let rangeSize = 16
    /// Dataset management's attribute to deallocate, in word 11.
    private static let deallocate: UInt32 = 1 << 2

    /// Begins a command that was just taken.
    ///
    /// - Returns: false if it is completed already.
    func begin(_ index: Int, _ slot: inout NVMeSlot, _ command: NVMeCommand) -> Bool {
        slot.identifier = command.identifier
        let namespace = Int(command.namespace) &- 1
        let status: NVMeStatus?
        if !command.isPlain {
            status = .invalidField
        } else if namespace < 0 || namespace >= diskCount {
            status = .invalidNamespace
        } else {
            slot.namespace = namespace
            switch command.opcode {
            case NVMeOpcode.read: status = transfer(index, &slot, command, .read)
            case NVMeOpcode.write: status = transfer(index, &slot, command, .write)
            case NVMeOpcode.flush:
                submit(index, &slot, BlockRequest(.flush, tag: 0))
                status = nil
            case NVMeOpcode.writeZeroes: status = writeZeroes(index, &slot, command)
            case NVMeOpcode.datasetManagement: status = manageDataset(index, &slot, command)
            default: status = .invalidOpcode
            }
        }
        guard let status else { return true }
        finish(index, &slot, status)
        return false
    }

    /// - Returns: nil if the disk does it, else how the command ends.
    private func transfer(
        _ index: Int, _ slot: inout NVMeSlot, _ command: NVMeCommand, _ operation: BlockOperation
    ) -> NVMeStatus? {
        let shift = withDisk(slot.namespace) { $0.blockShift }
        guard let offset = Self.offset(command.startingBlock, shift) else { return .outOfRange }
        let count = command.blockCount &<< shift
        guard count <= UInt64(Self.transferMax) else { return .invalidField }
        if let status = slot.segments.fill(ram, command.pointer1, command.pointer2, length: Int(count)) {
            return status
        }
        // Block sizes, and the range against the capacity, are checked by the disk.
        let options = operation == .write ? options(command) : []
        unsafe submit(
            index, &slot,
            BlockRequest(
                operation, tag: 0, offset: offset, count: count, segments: slot.segments.pieces,
                segmentCount: slot.segments.count, options: options))
        return nil
    }

    private func writeZeroes(_ index: Int, _ slot: inout NVMeSlot, _ command: NVMeCommand) -> NVMeStatus? {
        let shift = withDisk(slot.namespace) { $0.blockShift }
        guard let offset = Self.offset(command.startingBlock, shift) else { return .outOfRange }
        var options = options(command)
        if command.word12 & Word12.deallocate != 0 && withDisk(slot.namespace, { $0.canDiscard }) {
            options.insert(.mayUnmap)
        }
        submit(
            index, &slot,
            BlockRequest(.writeZeroes, tag: 0, offset: offset, count: command.blockCount &<< shift, options: options))
        return nil
    }

    /// Deallocating is a hint: where the disk does not give space back, it succeeds and does nothing; so do the other
    /// attributes.
    private func manageDataset(_ index: Int, _ slot: inout NVMeSlot, _ command: NVMeCommand) -> NVMeStatus? {
        let count = Int(command.word10 & 0xff) &+ 1
        if let status = slot.segments.fill(
            ram, command.pointer1, command.pointer2, length: count &* Self.rangeSize)
        {
            return status
        }
        guard command.word11 & Self.deallocate != 0, withDisk(slot.namespace, { $0.canDiscard }) else {
            return .success
        }
        slot.rangeCount = count
        slot.rangeNext = 0
        return submitRange(index, &slot) ? nil : .success
    }

    /// Submits a command's next range. Ranges outside the disk fail the command when it comes to them.
    ///
    /// - Returns: false if there is none left.
    func submitRange(_ index: Int, _ slot: inout NVMeSlot) -> Bool {
        while slot.rangeNext < slot.rangeCount {
            let at = slot.rangeNext &* Self.rangeSize
            slot.rangeNext &+= 1
            guard let length = slot.segments.load(UInt32.self, at: at + 4),
                let first = slot.segments.load(UInt64.self, at: at + 8)
            else { return false }
            if length == 0 { continue }
            let shift = withDisk(slot.namespace) { $0.blockShift }
            // Nothing lies there: the disk says that it is out of range.
            let offset = Self.offset(first, shift) ?? UInt64.max &<< shift
            submit(
                index, &slot, BlockRequest(.discard, tag: 0, offset: offset, count: UInt64(length) &<< shift))
            return true
        }
        return false
    }

    private func options(_ command: NVMeCommand) -> BlockOptions {
        command.word12 & Word12.durable != 0 || !shared.isWriteback.load(ordering: .relaxed) ? .durable : []
    }

    /// Where a block begins, in bytes; nil if that is more than 64 bits hold.
    @inline(__always)
    private static func offset(_ block: UInt64, _ shift: UInt64) -> UInt64? {
        block &>> (64 &- shift) == 0 ? block &<< shift : nil
    }

    /// What the driver gets to see of a request's end.
    static func status(_ status: BlockStatus, _ operation: BlockOperation) -> NVMeStatus {
        switch status {
        case .done: .success
        case .failed: operation == .read ? .readError : .writeFault
        case .noSpace: .capacityExceeded
        case .readOnly: .writeProtected
        case .outOfRange: .outOfRange
        // What we offer is what the disk can do; a hint that it does not take does no harm.
        case .unsupported: operation == .discard ? .success : .invalidOpcode
        }
    }
}
