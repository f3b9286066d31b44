// What only CD drives have (MMC-6, section 6).
extension SCSIUnit {
    private enum Profile {
        static let none: UInt16 = 0x00
        static let cd: UInt16 = 0x08
        static let dvd: UInt16 = 0x10
    }

    /// How many blocks fit on a CD of 80 minutes; what is larger is a DVD.
    private static let cdBlocksMax: UInt64 = 80 * 60 * 75

    private var profile: UInt16 {
        medium == nil ? Profile.none : blockCount <= Self.cdBlocksMax ? Profile.cd : Profile.dvd
    }

    mutating func decodeCD(_ command: SCSICommand) -> SCSIAction {
        switch command.opcode {
        case SCSIOpcode.getEventStatus: getEventStatus(command)
        case SCSIOpcode.getConfiguration: getConfiguration(command)
        case SCSIOpcode.readTOC: readTOC(command)
        case SCSIOpcode.readDiscInformation: readDiscInformation(command)
        case SCSIOpcode.mechanismStatus: mechanismStatus(command)
        case SCSIOpcode.readCD: readCD(command)
        // There is one speed.
        case SCSIOpcode.setCDSpeed: .good
        // Nothing was written.
        case SCSIOpcode.synchronizeCache10: .good
        default: .failed(.invalidOpcode)
        }
    }

    private mutating func getEventStatus(_ command: SCSICommand) -> SCSIAction {
        // Only when polled: there are no events on their own.
        guard command[1] & 1 != 0 else { return .failed(.invalidField) }
        let length = Int(command.big16(7))
        // The class of media events is the only one.
        guard command[4] & 1 << 4 != 0 else { return .cut([0, 2, 0x80, 1 << 4], length) }
        let status: UInt8 = medium == nil ? 0 : 2
        let event = mediaEvent
        if length >= 8 { mediaEvent = .none }
        return .cut([0, 6, 4, 1 << 4, event.rawValue, status, 0, 0], length)
    }

    private func getConfiguration(_ command: SCSICommand) -> SCSIAction {
        let kindOfRequest = command[1] & 3
        guard kindOfRequest < 3 else { return .failed(.invalidField) }
        let start = command.big16(2)
        var features: [UInt8] = []
        for (number, version, data) in configurationFeatures() {
            // All from the number on, those that hold now of these, or that one alone.
            guard kindOfRequest == 2 ? number == start : number >= start else { continue }
            if kindOfRequest == 1 && version & 1 == 0 { continue }
            features += Self.big(number) + [version, UInt8(data.count)] + data
        }
        var header = StructureBytes(count: 8)
        header.setBig(0, UInt32(4 + features.count))
        header.setBig(6, profile)
        return .cut(header.bytes + features, Int(command.big16(7)))
    }

    /// Number, version in bits 5:2 with persistent in 1 and current in 0, and data.
    private func configurationFeatures() -> [(UInt16, UInt8, [UInt8])] {
        func current(_ holds: Bool) -> UInt8 { holds ? 1 : 0 }
        let isCD = profile == Profile.cd
        let isDVD = profile == Profile.dvd
        let profiles = Self.big(Profile.dvd) + [current(isDVD), 0] + Self.big(Profile.cd) + [current(isCD), 0]
        return [
            (0x0000, 0x03, profiles),
            (0x0001, 0x0b, [0, 0, 0, 8, 1, 0, 0, 0]),  // core: Serial ATA
            (0x0003, 0x03, [0x29, 0, 0, 0]),  // removable medium, in a tray, which can be locked
            (0x0010, current(medium != nil), [0, 0, 8, 0, 0, 1, 0, 0]),  // random readable, blocks of 2048
            (0x001e, 0x08 | current(isCD), [0, 0, 0, 0]),  // reads CDs
            (0x001f, current(isDVD), [0, 0, 0, 0]),  // reads DVDs
        ]
    }

    /// A block's address, in minutes, seconds and frames if asked so.
    private func address(_ block: UInt64, asTime: Bool) -> [UInt8] {
        if asTime {
            let frames = block + 150  // two seconds of lead-in
            return [0, UInt8(clamping: frames / 75 / 60), UInt8(frames / 75 % 60), UInt8(frames % 75)]
        }
        let word = UInt32(clamping: block)
        return (0..<4).map { UInt8(truncatingIfNeeded: word >> (24 - 8 * $0)) }
    }

    private func readTOC(_ command: SCSICommand) -> SCSIAction {
        guard medium != nil else { return .failed(.mediumNotPresent) }
        let asTime = command[1] & 2 != 0
        // Old drivers put the format elsewhere.
        let format = command[2] & 0xf != 0 ? command[2] & 0xf : command[9] >> 6
        let body: [UInt8]
        switch format {
        case 0:
            let first = command[6]
            guard first <= 1 || first == 0xaa else { return .failed(.invalidField) }
            // One data track, then the lead-out.
            var tracks: [UInt8] = first <= 1 ? [0, 0x14, 1, 0] + address(0, asTime: asTime) : []
            tracks += [0, 0x14, 0xaa, 0] + address(blockCount, asTime: asTime)
            body = [1, 1] + tracks
        case 1:
            body = [1, 1, 0, 0x14, 1, 0] + address(0, asTime: asTime)
        case 2:
            // Points A0 and A1 name the first and last track, A2 is where the lead-out begins.
            let start = address(0, asTime: true).dropFirst()
            let end = address(blockCount, asTime: true).dropFirst()
            body =
                [1, 1] + [1, 0x14, 0, 0xa0, 0, 0, 0, 0, 1, 0, 0] + [1, 0x14, 0, 0xa1, 0, 0, 0, 0, 1, 0, 0]
                + [1, 0x14, 0, 0xa2, 0, 0, 0, 0] + end + [1, 0x14, 0, 1, 0, 0, 0, 0] + start
        default: return .failed(.invalidField)
        }
        return .cut(Self.big(UInt16(body.count)) + body, Int(command.big16(7)))
    }

    private func readDiscInformation(_ command: SCSICommand) -> SCSIAction {
        guard medium != nil else { return .failed(.mediumNotPresent) }
        guard command[1] & 7 == 0 else { return .failed(.invalidField) }
        var data = StructureBytes(count: 34)
        data.setBig(0, UInt16(32))
        data.set(2, UInt8(0x0e))  // complete, as is its last session
        for offset in 3...6 { data.set(offset, UInt8(1)) }  // one track in one session
        data.set(7, UInt8(0x20))  // for unrestricted use
        data.setBig(20, UInt32.max)  // nothing can be added
        data.setBig(16, UInt32.max)
        return .cut(data.bytes, Int(command.big16(7)))
    }

    private func mechanismStatus(_ command: SCSICommand) -> SCSIAction {
        // No changer: one slot, nothing in motion.
        .cut([0, 0, 0, 0, 0, 1, 0, 0], Int(command.big16(8)))
    }

    /// User data only: there are no headers and no raw sectors in an image.
    private func readCD(_ command: SCSICommand) -> SCSIAction {
        let range = SCSIRange(block: UInt64(command.big32(2)), count: UInt64(command.big24(6)))
        if let sense = check(range) { return .failed(sense) }
        if range.count == 0 || command[9] & 0xf8 == 0 { return .good }
        return command[9] & 0xf8 == 0x10 && command[10] & 7 == 0 ? .read(range) : .failed(.invalidField)
    }
}
