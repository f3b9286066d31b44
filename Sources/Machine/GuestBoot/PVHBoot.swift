import Bytes
import GuestMemory

/// The PVH entry (Xen's docs/misc/pvh and public/arch-x86/hvm/start_info.h): 32-bit protected mode, one structure in EBX.
enum PVHBoot {
    private static let magic: UInt32 = 0x336e_c578
    private static let startInfoCount = 56

    static func plan(
        _ image: ELFImage, _ kernel: any BootImage, _ initrd: (any BootImage)?, _ parameters: BootParameters
    ) throws(GuestBootError) -> BootPlan {
        let map = try BootPlan.memoryMap(parameters, for: kernel)
        // No limit of its own: the kernel cuts what is too long for it.
        let commandLine = try BootPlan.commandLine(
            parameters.commandLine, limit: LowMemory.commandLineCountMax, for: kernel)
        let registers = BootRegisters.pvh(entry: image.entry, startInfo: LowMemory.startInfo)
        var writes = [BootPlan.descriptorTable(registers), commandLine]

        var end: UInt64 = 0
        for segment in image.segments {
            guard map.isLoadable(segment.address, count: segment.memoryCount) else {
                throw GuestBootError(
                    kernel.name,
                    .noRoom(what: "a kernel segment", count: segment.memoryCount, from: segment.address))
            }
            if !segment.file.isEmpty {
                writes.append(BootPlan.Write(address: segment.address, source: .kernel(segment.file)))
            }
            let rest = Int(segment.memoryCount) - segment.file.count
            if rest > 0 {
                let address = segment.address + UInt64(segment.file.count)
                writes.append(BootPlan.Write(address: address, source: .zeros(rest)))
            }
            end = max(end, segment.address + segment.memoryCount)
        }

        var disk: BootPlan.Write?
        if let initrd, initrd.count > 0 {
            let write = try BootPlan.place(initrd, map, above: end, below: 1 << 32)
            writes.append(write)
            disk = write
        }
        writes.append(startInfo(disk, map, rsdpAddress: parameters.rsdpAddress))
        writes.append(memoryMap(map))
        return BootPlan(kernel, initrd, writes: writes, memoryMap: map.entries, registers: registers)
    }

    /// The start structure and, behind it, the list of its one module.
    private static func startInfo(_ disk: BootPlan.Write?, _ map: MemoryMap, rsdpAddress: UInt64?) -> BootPlan.Write {
        let moduleList = LowMemory.startInfo + UInt64(startInfoCount)
        var writer = ByteWriter()
        writer.little(magic)
        writer.little(UInt32(1))  // version
        writer.little(UInt32(0))  // flags
        writer.little(UInt32(disk == nil ? 0 : 1))
        writer.little(disk == nil ? 0 : moduleList)
        writer.little(LowMemory.commandLine)
        writer.little(rsdpAddress ?? 0)
        writer.little(LowMemory.pvhMemoryMap)
        writer.little(UInt32(map.entries.count))
        writer.little(UInt32(0))
        if let disk {
            writer.little(disk.address)
            writer.little(UInt64(disk.count))
            writer.little(UInt64(0))  // the module has no command line
            writer.little(UInt64(0))
        }
        return BootPlan.Write(address: LowMemory.startInfo, source: .bytes(writer.bytes))
    }

    private static func memoryMap(_ map: MemoryMap) -> BootPlan.Write {
        var writer = ByteWriter()
        for entry in map.entries {
            writer.little(entry.start)
            writer.little(entry.count)
            writer.little(entry.kind.rawValue)
            writer.little(UInt32(0))
        }
        return BootPlan.Write(address: LowMemory.pvhMemoryMap, source: .bytes(writer.bytes))
    }
}
