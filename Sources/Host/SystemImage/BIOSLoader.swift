import Bytes

/// GRUB for BIOS: `boot.img`, which the BIOS loads from the disk's first sector, and the core that it loads in turn.
///
/// What grub-bios-setup would write into both; that program wants a block device. Offsets: GRUB 2.06,
/// include/grub/i386/pc/boot.h and include/grub/offsets.h.
struct BIOSLoader {
    /// The first sector's code.
    let bootCode: [UInt8]
    /// The core, whole sectors.
    let core: [UInt8]

    private static let sectorSize = 512

    /// - Parameter sector: where on the disk the core will lie.
    init(bootImage: [UInt8], coreImage: [UInt8], sector: UInt64) throws(ImageError) {
        guard bootImage.count == Self.sectorSize, coreImage.count > Self.sectorSize else {
            throw .loader("GRUB's images for BIOS have an unknown form")
        }
        // GRUB_BOOT_MACHINE_KERNEL_SECTOR: where the core is. GRUB_BOOT_MACHINE_BOOT_DRIVE: 0xff, the drive the BIOS names.
        // GRUB_BOOT_MACHINE_DRIVE_CHECK: a jump over the code that trusts the BIOS's drive number becomes two no-operations.
        var boot = bootImage
        boot.patch(0x5c, UInt64(sector))
        boot[0x64] = 0xff
        boot[0x66] = 0x90
        boot[0x67] = 0x90
        bootCode = Array(boot.prefix(440))

        var core = coreImage
        core += [UInt8](repeating: 0, count: (Self.sectorSize - core.count % Self.sectorSize) % Self.sectorSize)
        let rest = core.count / Self.sectorSize - 1
        guard let length = UInt16(exactly: rest) else { throw .loader("GRUB's core for BIOS is too long") }
        // The last block list of the core's first sector (diskboot.S): start, length, and the segment to load to, after the
        // 512 bytes that are at 0x8000.
        core.patch(0x1f4, sector + 1)
        core.patch(0x1fc, length)
        core.patch(0x1fe, UInt16(0x820))
        self.core = core
    }
}

extension [UInt8] {
    fileprivate mutating func patch<T: FixedWidthInteger>(_ offset: Int, _ value: T) {
        for index in 0..<MemoryLayout<T>.size { self[offset + index] = UInt8(truncatingIfNeeded: value >> (8 * index)) }
    }
}
