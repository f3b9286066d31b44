import DeviceModel

// What only disks have (SBC-3, section 5).
extension SCSIUnit {
    func decodeDisk(_ command: SCSICommand) -> SCSIAction {
        switch command.opcode {
        case SCSIOpcode.synchronizeCache10, SCSIOpcode.synchronizeCache16: .flush
        case SCSIOpcode.serviceActionIn16 where command[1] & 0x1f == SCSIOpcode.readCapacity16: readCapacity16(command)
        case SCSIOpcode.unmap: unmap(command)
        case SCSIOpcode.writeSame10, SCSIOpcode.writeSame16: writeSame(command)
        case SCSIOpcode.modeSelect6, SCSIOpcode.modeSelect10: modeSelect(command)
        // There is one initiator, which has the unit anyway.
        case SCSIOpcode.reserve6, SCSIOpcode.release6: .good
        default: .failed(.invalidOpcode)
        }
    }

    private func readCapacity16(_ command: SCSICommand) -> SCSIAction {
        guard let medium else { return .failed(.mediumNotPresent) }
        var data = StructureBytes(count: 32)
        data.setBig(0, max(blockCount, 1) - 1)
        data.setBig(8, UInt32(clamping: blockSize))
        let ratio = max(medium.physicalBlock / medium.logicalBlock, 1)
        data.set(13, UInt8(ratio.trailingZeroBitCount & 0xf))
        data.set(14, UInt8(canDiscard ? 0x80 : 0))  // space is given on demand
        return .cut(data.bytes, Int(clamping: command.big32(10)))
    }

    private func unmap(_ command: SCSICommand) -> SCSIAction {
        guard canDiscard else { return .failed(isReadOnly ? .writeProtected : .invalidOpcode) }
        let length = Int(command.big16(7))
        if length == 0 { return .good }
        guard length >= 8, length <= 8 + 16 * Self.unmapRangesMax else { return .failed(.parameterListLength) }
        return .fetch(length, .unmap)
    }

    /// A list of ranges: a header of 8 bytes, then 16 each (SBC-3, section 5.28.2).
    func acceptUnmap(_ bytes: [UInt8]) -> SCSIAction {
        guard bytes.count >= 8 else { return .failed(.parameterListLength) }
        let told = Int(bytes[2]) << 8 | Int(bytes[3])
        let count = min(told, bytes.count - 8) / 16
        var ranges: [SCSIRange] = []
        for index in 0..<count {
            let entry = bytes[(8 + 16 * index)..<(24 + 16 * index)]
            let block = entry.prefix(8).reduce(UInt64(0)) { $0 << 8 | UInt64($1) }
            let length = entry.dropFirst(8).prefix(4).reduce(UInt64(0)) { $0 << 8 | UInt64($1) }
            let range = SCSIRange(block: block, count: length)
            if let sense = check(range) { return .failed(sense) }
            if length > 0 { ranges.append(range) }
        }
        return ranges.isEmpty ? .good : .discard(ranges)
    }

    private func writeSame(_ command: SCSICommand) -> SCSIAction {
        let isLong = command.opcode == SCSIOpcode.writeSame16
        let range =
            isLong
            ? SCSIRange(block: command.big64(2), count: UInt64(command.big32(10)))
            : SCSIRange(block: UInt64(command.big32(2)), count: UInt64(command.big16(7)))
        if isReadOnly { return .failed(.writeProtected) }
        if let sense = check(range) { return .failed(sense) }
        // A count of zero would mean all the rest, which the block limits page denies; so is unmapping by anchor.
        guard range.count > 0, range.count <= writeSameMax, command[1] & 0xe0 == 0, command[1] & 0x10 == 0 else {
            return .failed(.invalidField)
        }
        let mayUnmap = command[1] & 8 != 0 && canDiscard
        // Without a data-out buffer the block is zeros.
        if isLong && command[1] & 1 != 0 { return .zero(range, mayUnmap: mayUnmap) }
        return .fetch(Int(blockSize), .sameBlock(range, mayUnmap: mayUnmap))
    }
}
