import GuestMemory

// Configuration pages, on the controller's loop (Linux, drivers/message/fusion/lsi/mpi_cnfg.h).
extension MPTEngine {
    private enum Action {
        static let header: UInt8 = 0
        static let readCurrent: UInt8 = 1
        static let writeCurrent: UInt8 = 2
        static let readDefault: UInt8 = 3
        static let writeNVRAM: UInt8 = 4
        static let readNVRAM: UInt8 = 5
        static let `default`: UInt8 = 6
    }

    /// Reads, writes or describes a page: action u8, extended length u16 at 4, extended type u8 at 6, the page's header at 20,
    /// which page of several at 24, and an element for its memory at 28.
    func config(_ message: MPTMessage) -> StructureBytes {
        let action = message.byte(0)
        let isExtended = message.byte(23) & 0xf == MPTConfigPage.Kind.extended
        let kind = isExtended ? message.byte(6) : message.byte(23) & 0xf
        var reply = message.reply(24)
        reply.set(0, action)
        reply.set(4, message.half(4))
        reply.set(6, message.byte(6))
        reply.set(20, message.word(20))
        guard action <= Action.default else {
            reply.set(14, MPTStatus.invalidConfigAction)
            return reply
        }
        guard !isExtended || kind >= MPTConfigPage.Kind.sasIOUnit,
            let page = page(kind, message.byte(22), message.word(24))
        else {
            reply.set(14, knows(kind) ? MPTStatus.invalidConfigPage : MPTStatus.invalidConfigType)
            return reply
        }
        switch action {
        case Action.header, Action.default: break
        case Action.writeCurrent, Action.writeNVRAM:
            if !write(page, message) { reply.set(14, MPTStatus.configCannotCommit) }
        default:
            let length = Int(message.word(28) & MPTElement.lengthMask)
            // Without memory it is only described.
            if length > 0, (try? ram.write(Array(page.bytes.prefix(length)), at: memory(message))) == nil {
                reply.set(14, MPTStatus.invalidField)
            }
        }
        if isExtended {
            reply.set(4, UInt16(clamping: page.bytes.count / 4))
            reply.set(20, page.bytes[0])
        } else {
            reply.set(20, Array(page.bytes.prefix(4)))
        }
        return reply
    }

    /// Where a page's memory is.
    private func memory(_ message: MPTMessage) -> GuestAddress {
        message.word(28) & MPTElement.wide != 0 ? message.long(32) : UInt64(message.word(32))
    }

    /// Takes over what can be written: what a parallel target shall negotiate. Nothing is negotiated, so it is so.
    private func write(_ page: MPTConfigPage, _ message: MPTMessage) -> Bool {
        guard page.bytes[3] == MPTConfigPage.Kind.scsiDevice, page.bytes[2] == 1 else { return false }
        let number = Int(message.word(24) & 0xff)
        guard settings.negotiated.indices.contains(number),
            let requested = ram.load(UInt32.self, at: memory(message) &+ 4)
        else { return false }
        settings.negotiated[number] = requested
        return true
    }

    private func knows(_ kind: UInt8) -> Bool {
        switch kind {
        case MPTConfigPage.Kind.ioUnit, MPTConfigPage.Kind.controller, MPTConfigPage.Kind.manufacturing: true
        case MPTConfigPage.Kind.scsiPort, MPTConfigPage.Kind.scsiDevice: model == .parallel
        case MPTConfigPage.Kind.sasIOUnit, MPTConfigPage.Kind.sasDevice, MPTConfigPage.Kind.sasPhy: model == .sas
        default: false
        }
    }

    /// A page; nil if there is none.
    private func page(_ kind: UInt8, _ number: UInt8, _ address: UInt32) -> MPTConfigPage? {
        guard knows(kind) else { return nil }
        return switch kind {
        case MPTConfigPage.Kind.ioUnit: ioUnit(number)
        case MPTConfigPage.Kind.controller: controller(number)
        case MPTConfigPage.Kind.manufacturing: manufacturing(number)
        case MPTConfigPage.Kind.scsiPort: scsiPort(number)
        case MPTConfigPage.Kind.scsiDevice: scsiDevice(number, address)
        case MPTConfigPage.Kind.sasIOUnit: sasIOUnit(number)
        case MPTConfigPage.Kind.sasDevice: sasDevice(number, address)
        default: sasPhy(number, address)
        }
    }

    // MARK: Pages of all controllers

    private func manufacturing(_ number: UInt8) -> MPTConfigPage? {
        let kind = MPTConfigPage.Kind.manufacturing
        switch number {
        case 0:
            // Chip, its revision, board, assembly, serial number.
            var page = MPTConfigPage(kind, 0, version: 0, count: 76)
            page.set(4, text: model.name, width: 16)
            page.set(20, text: "1", width: 8)
            page.set(28, text: "VMware Virtual", width: 16)
            page.set(44, text: "VMware", width: 16)
            page.set(60, text: "0", width: 16)
            return page
        // Vital product data, of which there is none.
        case 1: return MPTConfigPage(kind, 1, version: 0, count: 260)
        case 2, 3:
            var page = MPTConfigPage(kind, number, version: 0, count: 12)
            page.set(4, model.device)
            page.set(6, model.revision)
            return page
        case 4: return MPTConfigPage(kind, 4, version: 5, count: 116)
        case 5:
            var page = MPTConfigPage(kind, 5, version: 2, count: 24)
            page.set(4, sasAddress)
            return page
        case 6, 8, 9, 10: return MPTConfigPage(kind, number, version: 0, count: 8)
        case 7:
            var page = MPTConfigPage(kind, 7, version: 0, count: 36)
            page.set(32, UInt8(model == .sas ? MPTSAS.phyCount : 0))
            return page
        default: return nil
        }
    }

    private func ioUnit(_ number: UInt8) -> MPTConfigPage? {
        let kind = MPTConfigPage.Kind.ioUnit
        switch number {
        case 0:
            var page = MPTConfigPage(kind, 0, version: 0, count: 12)
            page.set(4, sasAddress)  // what tells it from others
            return page
        case 1:
            var page = MPTConfigPage(kind, 1, version: 2, count: 8)
            page.set(4, UInt32(0x41))  // one function, no RAID
            return page
        case 2:
            // The version of the controller's BIOS, which has none.
            var page = MPTConfigPage(kind, 2, version: 2, count: 32)
            page.set(8, UInt32(0x100))
            return page
        case 3: return MPTConfigPage(kind, 3, version: 1, count: 12)
        case 4: return MPTConfigPage(kind, 4, version: 0, count: 20)
        default: return nil
        }
    }

    private func controller(_ number: UInt8) -> MPTConfigPage? {
        let kind = MPTConfigPage.Kind.controller
        switch number {
        case 0:
            var page = MPTConfigPage(kind, 0, version: 1, count: 28)
            page.set(12, MPTModel.vendor)
            page.set(14, model.device)
            page.set(16, model.revision)
            page.set(20, model.classCode << 8)
            page.set(24, MPTModel.subsystemVendor)
            page.set(26, MPTModel.subsystem)
            return page
        // Replies are not held back.
        case 1: return MPTConfigPage(kind, 1, version: 3, count: 16)
        // No RAID: no volumes, physical disks, enclosures, spares.
        case 2: return MPTConfigPage(kind, 2, version: 4, count: 12)
        case 3, 4: return MPTConfigPage(kind, number, version: 0, count: 8)
        case 5: return MPTConfigPage(kind, 5, version: 0, count: 12)
        case 6: return MPTConfigPage(kind, 6, version: 1, count: 60)
        default: return nil
        }
    }

    // MARK: Pages of the parallel bus

    /// Ultra320: wide, offset 127, period 8 of 6.25 ns, information units, double transition, quick arbitration.
    private static let ultra320: UInt32 = 0x207f_0807

    private func scsiPort(_ number: UInt8) -> MPTConfigPage? {
        let kind = MPTConfigPage.Kind.scsiPort
        switch number {
        case 0:
            var page = MPTConfigPage(kind, 0, version: 2, count: 12)
            page.set(4, Self.ultra320)
            page.set(8, UInt32(0xff00_0003))  // low voltage differential
            return page
        case 1:
            var page = MPTConfigPage(kind, 1, version: 3, count: 16)
            page.set(4, UInt32(Self.ownTarget) | 1 << (16 + UInt32(Self.ownTarget)))
            return page
        case 2:
            var page = MPTConfigPage(kind, 2, version: 2, count: 76)
            page.set(8, UInt32(Self.ownTarget) | 0x30)
            for target in 0..<Self.targetCount {
                // Timeout, period, and flags: disconnects, is looked for with all units, takes tags.
                page.set(12 + 4 * target, UInt32(0x0f) << 16 | 8 << 8 | 10)
            }
            return page
        default: return nil
        }
    }

    /// - Parameter address: the target in bits 7:0, the bus in 15:8.
    private func scsiDevice(_ number: UInt8, _ address: UInt32) -> MPTConfigPage? {
        let kind = MPTConfigPage.Kind.scsiDevice
        let target = Int(address & 0xff)
        guard settings.negotiated.indices.contains(target) else { return nil }
        switch number {
        case 0:
            var page = MPTConfigPage(kind, 0, version: 4, count: 12)
            page.set(4, settings.negotiated[target])
            page.set(8, UInt32(1))  // has been negotiated
            return page
        case 1:
            var page = MPTConfigPage(kind, 1, version: 5, count: 16)
            page.set(4, settings.negotiated[target])
            return page
        case 2: return MPTConfigPage(kind, 2, version: 1, count: 16)
        case 3: return MPTConfigPage(kind, 3, version: 0, count: 12)
        default: return nil
        }
    }
}
