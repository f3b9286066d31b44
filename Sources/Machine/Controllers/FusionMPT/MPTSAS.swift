/// How the SAS controller's devices are numbered: each target hangs directly on a phy of its own, of the same number.
enum MPTSAS {
    static let phyCount = SCSIEngine.targetCount
    /// End device that takes SCSI commands, attached directly.
    static let targetInfo: UInt32 = 0x0c01
    /// End device that gives SCSI commands.
    static let initiatorInfo: UInt32 = 0x0041
    /// 3 Gbit/s.
    static let rate: UInt8 = 0x09
    /// From 1.5 to 3 Gbit/s.
    static let rates: UInt8 = 0x98

    /// The controller's own handle at a phy.
    static func handle(ofPhy phy: Int) -> UInt16 { UInt16(clamping: phy + 1) }
    /// A target's handle.
    static func handle(ofTarget target: Int) -> UInt16 { UInt16(clamping: phyCount + target + 1) }
}

// Pages of the SAS controller, on its loop.
extension MPTEngine {
    private func isPresent(_ number: Int) -> Bool { target(number) != nil }

    func sasIOUnit(_ number: UInt8) -> MPTConfigPage? {
        let kind = MPTConfigPage.Kind.sasIOUnit
        switch number {
        case 0:
            var page = MPTConfigPage(kind, 0, version: 4, count: 16 + 16 * MPTSAS.phyCount)
            page.set(12, UInt8(MPTSAS.phyCount))
            for phy in 0..<MPTSAS.phyCount {
                let entry = 16 + 16 * phy
                page.set(entry, UInt8(phy))  // port
                page.set(entry + 3, isPresent(phy) ? MPTSAS.rate : 0)
                page.set(entry + 4, MPTSAS.initiatorInfo)
                page.set(entry + 8, isPresent(phy) ? MPTSAS.handle(ofTarget: phy) : 0)
                page.set(entry + 10, MPTSAS.handle(ofPhy: phy))
            }
            return page
        case 1:
            var page = MPTConfigPage(kind, 1, version: 7, count: 20 + 12 * MPTSAS.phyCount)
            page.set(16, UInt8(MPTSAS.phyCount))
            for phy in 0..<MPTSAS.phyCount {
                let entry = 20 + 12 * phy
                page.set(entry, UInt8(phy))
                page.set(entry + 3, MPTSAS.rates)
                page.set(entry + 4, MPTSAS.initiatorInfo)
            }
            return page
        case 2: return MPTConfigPage(kind, 2, version: 6, count: 24)
        case 3: return MPTConfigPage(kind, 3, version: 6, count: 44)
        default: return nil
        }
    }

    /// - Parameter address: the phy's number in bits 7:0, or its index in a table of bits 15:0, which is the same here; which of
    ///   these, in bits 31:28.
    func sasPhy(_ number: UInt8, _ address: UInt32) -> MPTConfigPage? {
        let kind = MPTConfigPage.Kind.sasPhy
        let form = address >> 28
        let phy = Int(form == 0 ? address & 0xff : address & 0xffff)
        guard form < 2, phy < MPTSAS.phyCount else { return nil }
        switch number {
        case 0:
            var page = MPTConfigPage(kind, 0, version: 1, count: 36)
            page.set(8, MPTSAS.handle(ofPhy: phy))
            page.set(12, sasAddress)
            if isPresent(phy) {
                page.set(20, MPTSAS.handle(ofTarget: phy))
                page.set(24, MPTSAS.targetInfo)
            }
            page.set(28, MPTSAS.rates)
            page.set(29, MPTSAS.rates)
            return page
        case 1: return MPTConfigPage(kind, 1, version: 1, count: 28)
        default: return nil
        }
    }

    /// The device that an address in bits 31:28 forms: the next after a handle (0), by bus and target (1), by handle (2).
    private func device(_ address: UInt32) -> (handle: UInt16, target: Int?)? {
        let value = UInt16(truncatingIfNeeded: address)
        switch address >> 28 {
        case 0:
            // All ones stand before the first.
            let first = value == .max ? 1 : Int(value) + 1
            let last = Int(MPTSAS.handle(ofTarget: MPTSAS.phyCount - 1))
            guard first <= last else { return nil }
            for handle in first...last {
                if let device = device(handle: handle) { return device }
            }
            return nil
        case 1:
            let target = Int(value & 0xff)
            return value >> 8 == 0 && isPresent(target) ? (MPTSAS.handle(ofTarget: target), target) : nil
        case 2: return device(handle: Int(value))
        default: return nil
        }
    }

    private func device(handle: Int) -> (handle: UInt16, target: Int?)? {
        if handle < 1 { return nil }
        if handle <= MPTSAS.phyCount { return (UInt16(clamping: handle), nil) }
        let target = handle - MPTSAS.phyCount - 1
        return isPresent(target) ? (UInt16(clamping: handle), target) : nil
    }

    func sasDevice(_ number: UInt8, _ address: UInt32) -> MPTConfigPage? {
        let kind = MPTConfigPage.Kind.sasDevice
        guard let (handle, target) = device(address) else { return nil }
        let phy = target ?? Int(handle) - 1
        let name = target.map { sasAddress + 1 + UInt64($0) } ?? sasAddress
        switch number {
        case 0:
            var page = MPTConfigPage(kind, 0, version: 5, count: 36)
            page.set(8, UInt16(clamping: phy))  // slot
            page.set(12, name)
            page.set(20, target == nil ? 0 : MPTSAS.handle(ofPhy: phy))  // what it hangs on
            page.set(22, UInt8(clamping: phy))
            page.set(24, handle)
            page.set(26, UInt8(clamping: target ?? 112))
            page.set(28, target == nil ? MPTSAS.initiatorInfo : MPTSAS.targetInfo)
            page.set(32, UInt16(0x0007))  // present, mapped, for good
            page.set(34, UInt8(clamping: phy))
            return page
        case 1:
            var page = MPTConfigPage(kind, 1, version: 0, count: 48)
            page.set(12, name)
            page.set(24, handle)
            page.set(26, UInt8(clamping: target ?? 112))
            return page
        case 2:
            var page = MPTConfigPage(kind, 2, version: 1, count: 20)
            page.set(8, name)
            return page
        default: return nil
        }
    }
}
