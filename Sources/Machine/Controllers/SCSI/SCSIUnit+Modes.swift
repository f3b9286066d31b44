// MODE SENSE and MODE SELECT (SPC-4, sections 6.11 and 7.5; SBC-3, section 6.5; MMC-6, section 7).
extension SCSIUnit {
    private enum Page {
        static let errorRecovery: UInt8 = 0x01
        static let caching: UInt8 = 0x08
        static let control: UInt8 = 0x0a
        static let capabilities: UInt8 = 0x2a
        static let all: UInt8 = 0x3f
    }

    func modeSense(_ command: SCSICommand) -> SCSIAction {
        let isLong = command.opcode == SCSIOpcode.modeSense10
        let length = isLong ? Int(command.big16(7)) : Int(command[4])
        let number = command[2] & 0x3f
        let control = command[2] >> 6
        if control == 3 { return .failed(.savingNotSupported) }
        // Subpages: none but page zero, or all.
        guard command[3] == 0 || command[3] == 0xff else { return .failed(.invalidField) }
        let known =
            kind == .disk ? [Page.errorRecovery, Page.caching, Page.control] : [Page.errorRecovery, Page.capabilities]
        let wanted = number == Page.all ? known : known.filter { $0 == number }
        guard !wanted.isEmpty else { return .failed(.invalidField) }
        let pages = wanted.flatMap { page($0, changeable: control == 1) }
        let hasDescriptor = kind == .disk && command[1] & 8 == 0
        return .cut(header(isLong: isLong, pages: pages.count, hasDescriptor: hasDescriptor) + pages, length)
    }

    private func header(isLong: Bool, pages: Int, hasDescriptor: Bool) -> [UInt8] {
        var descriptor: [UInt8] = []
        if hasDescriptor {
            var data = StructureBytes(count: 8)
            data.setBig(0, UInt32(clamping: blockCount))
            data.setBig(4, UInt32(clamping: blockSize) & 0xff_ffff)
            descriptor = data.bytes
        }
        // Write protected; force unit access is understood.
        let flags: UInt8 = kind == .cd ? 0 : (isReadOnly ? 0x80 : 0) | 0x10
        if isLong {
            let length = UInt16(clamping: 6 + descriptor.count + pages)
            return Self.big(length) + [0, flags, 0, 0, 0, UInt8(descriptor.count)] + descriptor
        }
        return [UInt8(clamping: 3 + descriptor.count + pages), 0, flags, UInt8(descriptor.count)] + descriptor
    }

    /// A page with its two bytes of header.
    ///
    /// - Parameter changeable: ones for the bits that MODE SELECT can change.
    private func page(_ number: UInt8, changeable: Bool) -> [UInt8] {
        var data: StructureBytes
        switch number {
        case Page.errorRecovery:
            data = StructureBytes(count: kind == .cd ? 8 : 12)
        case Page.caching:
            data = StructureBytes(count: 20)
            data.set(2, UInt8(changeable || isWriteback ? 1 << 2 : 0))
        case Page.control:
            data = StructureBytes(count: 12)
            if !changeable { data.set(3, UInt8(0x10)) }  // commands in flight have no order
        default:
            data = StructureBytes(count: 20)
            if !changeable { setCapabilities(&data) }
        }
        data.set(0, number)
        data.set(1, UInt8(data.bytes.count - 2))
        return data.bytes
    }

    /// What a CD drive can do, as MMC-3 had it; readers of CD and DVD are told so.
    private func setCapabilities(_ data: inout StructureBytes) {
        data.set(2, UInt8(0x3b))  // reads CD-R, CD-RW, DVD-ROM, DVD-R, DVD-RAM
        data.set(6, UInt8(0x29 | (isLocked ? 2 : 0)))  // a tray that can be locked and ejected
        data.setBig(8, UInt16(706 * 16))  // speed in kB/s
        data.setBig(10, UInt16(2))
        data.setBig(12, UInt16(512))  // buffer in kB
        data.setBig(14, UInt16(706 * 16))
    }

    func modeSelect(_ command: SCSICommand) -> SCSIAction {
        let isLong = command.opcode == SCSIOpcode.modeSelect10
        let length = isLong ? Int(command.big16(7)) : Int(command[4])
        // Pages have their format, and nothing is saved.
        guard command[1] & 0x11 == 0x10 else { return .failed(.invalidField) }
        if length == 0 { return .good }
        guard length <= Self.parametersMax else { return .failed(.parameterListLength) }
        return .fetch(length, .modes(isLong: isLong))
    }

    /// Takes the write cache's switch over; everything else has to stay as it is, which is not looked at.
    mutating func acceptModes(_ bytes: [UInt8], isLong: Bool) -> SCSIAction {
        let header = isLong ? 8 : 4
        guard bytes.count >= header else { return .failed(.parameterListLength) }
        let descriptor = isLong ? Int(bytes[6]) << 8 | Int(bytes[7]) : Int(bytes[3])
        var rest = bytes.dropFirst(header + descriptor)
        while let first = rest.first {
            let number = first & 0x3f
            guard rest.count >= 2 else { return .failed(.parameterListLength) }
            let length = Int(rest[rest.startIndex + 1]) + 2
            guard rest.count >= length else { return .failed(.parameterListLength) }
            if number == Page.caching && kind == .disk {
                guard length >= 3 else { return .failed(.invalidParameter) }
                setWriteback(rest[rest.startIndex + 2] & 1 << 2 != 0)
            }
            rest = rest.dropFirst(length)
        }
        return .good
    }
}
