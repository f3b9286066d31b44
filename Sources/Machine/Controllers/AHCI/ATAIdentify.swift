import DeviceModel

/// The 512 bytes of IDENTIFY DEVICE and IDENTIFY PACKET DEVICE (ATA8-ACS, sections 7.16 and 7.17).
enum ATAIdentify {
    static let size = 512
    static let firmware = "00000001"
    static let diskModel = "VMware Virtual SATA Hard Drive"
    static let cdModel = "VMware Virtual SATA CDRW Drive"
    /// Blocks of 512 bytes of ranges in one DATA SET MANAGEMENT.
    static let trimBlocksMax = 8
    /// Geometry for drivers that ask for cylinders.
    static let heads: UInt64 = 16
    static let sectors: UInt64 = 63

    /// Words, numbered as the standard does.
    private struct Words {
        private(set) var data = StructureBytes(count: ATAIdentify.size)

        subscript(word: Int) -> UInt16 {
            get { UInt16(data.bytes[2 * word]) | UInt16(data.bytes[2 * word + 1]) << 8 }
            set { data.set(2 * word, newValue) }
        }

        mutating func set(_ word: Int, wide value: UInt64) { data.set(2 * word, value) }

        /// Text with the bytes of each word swapped.
        mutating func set(_ word: Int, text: String, words: Int) {
            var padded = StructureBytes(count: 2 * words)
            padded.set(0, text: text, width: 2 * words)
            for index in 0..<words {
                data.set(2 * (word + index), [padded.bytes[2 * index + 1], padded.bytes[2 * index]])
            }
        }

        /// Sets the last word, which makes all bytes add up to zero.
        func sealed() -> [UInt8] {
            var bytes = data.bytes
            bytes[510] = 0xa5
            bytes[511] = 0 &- bytes[0..<511].reduce(0, &+)
            return bytes
        }
    }

    static func disk(_ geometry: BlockGeometry, isWriteback: Bool, multiple: UInt8, mode: UInt8) -> [UInt8] {
        var words = Words()
        let count = geometry.capacity / UInt64(geometry.logicalBlock)
        let cylinders = UInt16(clamping: min(count / (heads * sectors), 16383))
        words[0] = 0x0040
        words[1] = cylinders
        words[3] = UInt16(heads)
        words[6] = UInt16(sectors)
        words.set(10, text: geometry.identity, words: 10)
        words.set(23, text: firmware, words: 4)
        words.set(27, text: diskModel, words: 20)
        words[47] = 0x8010  // 16 sectors in READ MULTIPLE
        words[49] = 0x0f00  // LBA, DMA, IORDY, standby timers
        words[50] = 0x4000
        words[53] = 0x0007
        words[54] = cylinders
        words[55] = UInt16(heads)
        words[56] = UInt16(sectors)
        let byCylinder = UInt32(cylinders) * UInt32(heads * sectors)
        words[57] = UInt16(truncatingIfNeeded: byCylinder)
        words[58] = UInt16(truncatingIfNeeded: byCylinder >> 16)
        words[59] = 0x0100 | UInt16(multiple)
        let short = UInt32(clamping: min(count, 0x0fff_ffff))
        words[60] = UInt16(truncatingIfNeeded: short)
        words[61] = UInt16(truncatingIfNeeded: short >> 16)
        setTransfers(&words, mode: mode)
        words[75] = 31  // queue of 32
        words[76] = 0x010e  // NCQ; 1.5, 3 and 6 Gb/s
        words[80] = 0x01f0  // ATA-4 to ATA8
        // Write cache, look-ahead, power management; LBA48, flushes; FUA, logs.
        words[82] = 0x0068
        words[83] = 0x7400
        words[84] = 0x4060
        words[85] = 0x0048 | (isWriteback ? 0x20 : 0)
        words[86] = 0x3400
        words[87] = 0x4060
        words.set(100, wide: count)
        if geometry.canDiscard {
            words[105] = UInt16(trimBlocksMax)
            words[169] = 1
        }
        let ratio = max(geometry.physicalBlock / geometry.logicalBlock, 1)
        let isLarge = geometry.logicalBlock > 512
        words[106] =
            0x4000 | (ratio > 1 ? 0x2000 : 0) | (isLarge ? 0x1000 : 0) | UInt16(ratio.trailingZeroBitCount & 0xf)
        if isLarge { words[117] = UInt16(clamping: geometry.logicalBlock / 2) }
        words[217] = 1  // nothing rotates
        words[222] = 0x103f  // Serial ATA up to 3.0
        return words.sealed()
    }

    static func cd(serial: String, mode: UInt8) -> [UInt8] {
        var words = Words()
        words[0] = 0x8580  // ATAPI, CD, removable, packets of 12 bytes
        words.set(10, text: serial, words: 10)
        words.set(23, text: firmware, words: 4)
        words.set(27, text: cdModel, words: 20)
        words[49] = 0x0f00
        words[50] = 0x4000
        words[53] = 0x0006
        setTransfers(&words, mode: mode)
        words[76] = 0x000e
        words[80] = 0x01f0
        words[82] = 0x0010  // PACKET
        words[83] = 0x4000
        words[84] = 0x4000
        words[85] = 0x0010
        words[87] = 0x4000
        words[222] = 0x103f
        return words.sealed()
    }

    /// - Parameter mode: what SET FEATURES chose: kind in bits 7:3, number in 2:0.
    private static func setTransfers(_ words: inout Words, mode: UInt8) {
        let chosen: UInt16 = 1 << (8 + UInt16(mode & 7))
        words[63] = 0x0007 | (mode >> 3 == 4 ? chosen : 0)
        words[64] = 0x0003
        for word in 65...68 { words[word] = 120 }
        words[88] = 0x003f | (mode >> 3 == 8 ? chosen : 0)
    }
}
