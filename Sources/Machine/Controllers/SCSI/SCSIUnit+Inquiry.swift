import DeviceModel

// INQUIRY and the vital product data pages (SPC-4, sections 6.6 and 7.8; SBC-3, section 6.6).
extension SCSIUnit {
    private enum Page {
        static let supported: UInt8 = 0x00
        static let serialNumber: UInt8 = 0x80
        static let identification: UInt8 = 0x83
        static let blockLimits: UInt8 = 0xb0
        static let characteristics: UInt8 = 0xb1
        static let provisioning: UInt8 = 0xb2
    }

    /// Peripheral device type: direct access block device, or CD and DVD.
    private var deviceType: UInt8 { kind == .cd ? 5 : 0 }

    func inquiry(_ command: SCSICommand) -> SCSIAction {
        let length = Int(command.big16(3))
        guard command[1] & 1 != 0 else {
            return command[2] == 0 ? .cut(standardInquiry(), length) : .failed(.invalidField)
        }
        guard let page = page(command[2]) else { return .failed(.invalidField) }
        return .cut([deviceType, command[2]] + Self.big(UInt16(page.count)) + page, length)
    }

    private func standardInquiry() -> [UInt8] {
        var data = StructureBytes(count: 36)
        data.set(0, deviceType)
        data.set(1, UInt8(kind == .cd ? 0x80 : 0))  // removable
        data.set(2, UInt8(kind == .cd ? 5 : 6))  // SPC-3, SPC-4
        data.set(3, UInt8(2))  // the format of this
        data.set(4, UInt8(36 - 5))
        data.set(7, UInt8(kind == .cd ? 0 : 2))  // command queuing
        data.set(8, text: identity.vendor, width: 8)
        data.set(16, text: identity.product, width: 16)
        data.set(32, text: identity.revision, width: 4)
        return data.bytes
    }

    /// The body of a page; nil if there is no such page.
    private func page(_ number: UInt8) -> [UInt8]? {
        guard pages.contains(number) else { return nil }
        return switch number {
        case Page.supported: pages
        case Page.serialNumber: serialNumber
        case Page.identification: identification()
        case Page.blockLimits: blockLimits()
        case Page.characteristics: characteristics()
        default: provisioning()
        }
    }

    private var pages: [UInt8] {
        let names = identity.serial.isEmpty ? [] : [Page.serialNumber, Page.identification]
        let block = kind == .disk ? [Page.blockLimits, Page.characteristics, Page.provisioning] : []
        return [Page.supported] + names + block
    }

    private var serialNumber: [UInt8] {
        identity.serial.utf8.prefix(252).map { $0 >= 0x20 && $0 < 0x7f ? $0 : UInt8(ascii: "?") }
    }

    /// One designator, of the maker's and in ASCII (T10 vendor identification).
    private func identification() -> [UInt8] {
        var vendor = StructureBytes(count: 8)
        vendor.set(0, text: identity.vendor, width: 8)
        let name = vendor.bytes + serialNumber.prefix(200)
        return [2, 1, 0, UInt8(name.count)] + name
    }

    private func blockLimits() -> [UInt8] {
        var data = StructureBytes(count: 60)
        let ratio = UInt32(clamping: (UInt64(medium?.physicalBlock ?? 4096)) / blockSize)
        data.set(1, UInt8(1))  // WRITE SAME needs a count
        data.setBig(2, UInt16(clamping: ratio))  // best length is a multiple of this
        if canDiscard {
            data.setBig(16, UInt32.max)
            data.setBig(20, UInt32(Self.unmapRangesMax))
            data.setBig(24, ratio)
            data.setBig(28, UInt32(1 << 31))  // and aligned to multiples of it
        }
        data.setBig(32, writeSameMax)
        return data.bytes
    }

    /// Longest WRITE SAME, in blocks: 1 GiB.
    var writeSameMax: UInt64 { (1 << 30) / blockSize }

    private func characteristics() -> [UInt8] {
        var data = StructureBytes(count: 60)
        data.setBig(0, UInt16(1))  // nothing rotates
        return data.bytes
    }

    private func provisioning() -> [UInt8] {
        // UNMAP and WRITE SAME with unmapping, and whether space is given on demand. What unmapped blocks read as is not told.
        canDiscard ? [0, 0xe0, 2, 0] : [0, 0, 0, 0]
    }

    static func big(_ value: UInt16) -> [UInt8] { [UInt8(value >> 8), UInt8(truncatingIfNeeded: value)] }
}
