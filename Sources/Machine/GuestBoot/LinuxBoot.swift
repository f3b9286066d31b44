import Bytes
import GuestMemory

/// The 64-bit entry of the Linux boot protocol: boot parameters, identity page tables, long mode.
enum LinuxBoot {
    /// Offsets in the boot parameters outside the setup header (Documentation/arch/x86/zero-page.rst).
    private enum Parameter {
        static let rsdpAddress = 0x070
        static let initrdAddressHigh = 0x0c0
        static let initrdCountHigh = 0x0c4
        static let commandLineHigh = 0x0c8
        static let memoryMapCount = 0x1e8
        static let memoryMap = 0x2d0
        static let count = 0x1000
    }

    /// How far behind the load address the 64-bit entry is.
    private static let entryOffset: UInt64 = 0x200

    static func plan(
        _ image: LinuxImage, _ kernel: any BootImage, _ initrd: (any BootImage)?, _ parameters: BootParameters
    ) throws(GuestBootError) -> BootPlan {
        let map = try BootPlan.memoryMap(parameters, for: kernel)
        let commandLine = try BootPlan.commandLine(
            parameters.commandLine, limit: image.commandLineCountMax, for: kernel)
        let start = try place(image, kernel, map)
        let registers = BootRegisters.linux64(
            entry: start + entryOffset, bootParameters: LowMemory.bootParameters)
        var writes = [
            BootPlan.descriptorTable(registers), pageTables(), commandLine,
            BootPlan.Write(address: start, source: .kernel(image.payload)),
        ]
        var disk: BootPlan.Write?
        if let initrd, initrd.count > 0 {
            // Placed below 4 GiB even where the kernel would take it above: its own limit is what counts.
            let write = try BootPlan.place(
                initrd, map, above: start + image.initializationCount, below: image.initrdAddressMax + 1)
            writes.append(write)
            disk = write
        }
        let page = bootParameters(image, loadedAt: start, disk, map, rsdpAddress: parameters.rsdpAddress)
        writes.append(BootPlan.Write(address: LowMemory.bootParameters, source: .bytes(page)))
        return BootPlan(kernel, initrd, writes: writes, memoryMap: map.entries, registers: registers)
    }

    /// The preferred address if it is free. A kernel below it would only move itself up, past what was kept free for
    /// it, so all other places lie above.
    private static func place(
        _ image: LinuxImage, _ kernel: any BootImage, _ map: MemoryMap
    ) throws(GuestBootError) -> UInt64 {
        let preferred = max(image.preferredAddress, 0x10_0000)
        let count = image.initializationCount
        if preferred == image.preferredAddress, map.isLoadable(preferred, count: count) { return preferred }
        if image.isRelocatable,
            let place = map.lowestPlace(count: count, from: preferred, alignment: image.alignment)
        {
            return place
        }
        throw GuestBootError(kernel.name, .noRoom(what: "the kernel", count: count, from: preferred))
    }

    private static func bootParameters(
        _ image: LinuxImage, loadedAt start: UInt64, _ disk: BootPlan.Write?, _ map: MemoryMap, rsdpAddress: UInt64?
    ) -> [UInt8] {
        var page = ByteWriter()
        page.zeros(Parameter.count)
        for (index, byte) in image.header.enumerated() {
            page.patch(at: LinuxImage.Offset.header + index, little: byte)
        }
        // Loader type FF: one without a number of its own.
        page.patch(at: LinuxImage.Offset.loaderType, little: UInt8(0xff))
        page.patch(at: LinuxImage.Offset.videoMode, little: UInt16(0xffff))
        page.patch(at: LinuxImage.Offset.code32Start, little: UInt32(truncatingIfNeeded: start))
        func patch(_ value: UInt64, low: Int, high: Int) {
            page.patch(at: low, little: UInt32(truncatingIfNeeded: value))
            page.patch(at: high, little: UInt32(truncatingIfNeeded: value >> 32))
        }
        patch(LowMemory.commandLine, low: LinuxImage.Offset.commandLine, high: Parameter.commandLineHigh)
        patch(disk?.address ?? 0, low: LinuxImage.Offset.initrdAddress, high: Parameter.initrdAddressHigh)
        patch(UInt64(disk?.count ?? 0), low: LinuxImage.Offset.initrdCount, high: Parameter.initrdCountHigh)
        page.patch(at: Parameter.rsdpAddress, little: rsdpAddress ?? 0)
        page.patch(at: Parameter.memoryMapCount, little: UInt8(truncatingIfNeeded: map.entries.count))
        for (index, entry) in map.entries.enumerated() {
            let offset = Parameter.memoryMap + index * 20
            page.patch(at: offset, little: entry.start)
            page.patch(at: offset + 8, little: entry.count)
            page.patch(at: offset + 16, little: entry.kind.rawValue)
        }
        return page.bytes
    }

    /// Maps the first 4 GiB to themselves in pages of 2 MiB: one top table, one of 1 GiB entries, four of 2 MiB entries.
    private static func pageTables() -> BootPlan.Write {
        let presentWritable: UInt64 = 0b11
        let large: UInt64 = 1 << 7
        let base = LowMemory.pageTables
        var writer = ByteWriter()
        writer.little(base + 0x1000 | presentWritable)
        writer.align(to: 4096)
        for index in UInt64(0)..<4 { writer.little(base + 0x2000 + index << 12 | presentWritable) }
        writer.align(to: 4096)
        for index in UInt64(0)..<2048 { writer.little(index << 21 | large | presentWritable) }
        return BootPlan.Write(address: base, source: .bytes(writer.bytes))
    }
}
