import GuestBoot
import GuestMemory

/// One memory for all inputs, 64 MiB: only what plans write into it is ever touched.
private let memory = try? GuestMemory(count: 64 << 20)

/// A kernel from a stranger, bzImage or ELF: planned for a small machine and loaded into its memory.
func fuzzGuestBoot(_ bytes: [UInt8]) {
    guard let memory else { return check(false, "guest memory can be made") }
    var parameters = BootParameters(ram: memory.regions)
    parameters.commandLine = "console=ttyS0"
    parameters.rsdpAddress = 0xe_0000
    parameters.reserved = [MemoryMapEntry(start: 0x300_0000, count: 0x1000, kind: .acpiTables)]
    let kernel = MemoryImage("kernel", bytes)
    let disk = MemoryImage("initrd", [UInt8](repeating: 0x5a, count: 5000))
    guard let plan = try? BootPlan(kernel: kernel, initrd: disk, parameters) else { return }

    var end: UInt64 = 0
    for write in plan.writes.sorted(by: { $0.address < $1.address }) {
        check(write.address >= end, "no two pieces overlap")
        end = write.address + UInt64(write.count)
        let free = plan.memoryMap.contains { entry in
            entry.kind == .ram && entry.start <= write.address && end <= entry.start + entry.count
        }
        check(free, "every piece lies in free RAM")
        switch write.source {
        case .kernel(let range): check(range.lowerBound >= 0 && range.upperBound <= bytes.count, "inside the kernel")
        case .initrd(let range): check(range == 0..<5000, "the whole disk is loaded")
        case .bytes, .zeros: break
        }
    }
    check(plan.registers.rip < 1 << 32, "the entry is below 4 GiB")
    do throws(GuestBootError) {
        // As fresh: clearing up to 64 MiB for every input would be most of the work.
        try plan.load(into: memory.ram, isFresh: true)
    } catch {
        check(false, "what was planned can be loaded")
    }
}
