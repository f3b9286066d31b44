import GuestMemory
import Testing

@testable import GuestBoot

@Suite("Booting a bzImage")
struct LinuxBootTests {
    let megabyte = 1 << 20

    func plan(
        _ kernel: SyntheticKernel = SyntheticKernel(), initrd: [UInt8]? = nil, memory: Int = 256 << 20,
        _ change: (inout BootParameters) -> Void = { _ in }
    ) throws -> BootPlan {
        var parameters = BootParameters(ram: regions(memory))
        change(&parameters)
        return try BootPlan(kernel: kernel.image, initrd: initrd.map { MemoryImage("initrd", $0) }, parameters)
    }

    func problem(_ kernel: SyntheticKernel, memory: Int = 256 << 20) -> GuestBootError.Problem? {
        do {
            _ = try plan(kernel, memory: memory)
            return nil
        } catch let error as GuestBootError {
            return error.problem
        } catch {
            return nil
        }
    }

    @Test("the kernel goes to its preferred address and starts in long mode 0x200 behind it")
    func entry() throws {
        let plan = try plan()
        let kernel = try #require(plan.writes.first { if case .kernel = $0.source { true } else { false } })
        #expect(kernel.address == 0x100_0000)
        #expect(kernel.source == .kernel(2048..<2048 + 4096))
        let registers = plan.registers
        #expect(registers.rip == 0x100_0200)
        #expect(registers.rsi == 0x7000)
        #expect(registers.rflags == 2)
        #expect(registers.cr0 == 0x8000_0031 && registers.cr4 == 0x20 && registers.efer == 0x500)
        #expect(registers.code.selector == 0x10 && registers.code.isLong && !registers.code.isDefault32)
        #expect(registers.data.selector == 0x18)
        let memory = PlannedMemory(plan)
        #expect(memory.load(UInt64.self, at: registers.gdtBase + 0x10) == 0x00af_9b00_0000_ffff)
        #expect(memory.load(UInt64.self, at: registers.gdtBase + 0x18) == 0x00cf_9300_0000_ffff)
        #expect(memory.load(UInt64.self, at: registers.gdtBase + 0x20) == 0x0000_8b00_0000_0067)
    }

    @Test("the page tables map the first 4 GiB to themselves")
    func pageTables() throws {
        let plan = try plan()
        let memory = PlannedMemory(plan)
        for address: UInt64 in [0x7000, 0x100_0200, 0x3fff_ffff, 0x4000_0000, 0xffff_ffff] {
            let top = try #require(memory.load(UInt64.self, at: plan.registers.cr3))
            let second = try #require(memory.load(UInt64.self, at: (top & ~0xfff) + (address >> 30) * 8))
            let third = try #require(memory.load(UInt64.self, at: (second & ~0xfff) + (address >> 21 & 511) * 8))
            #expect(top & 3 == 3 && second & 3 == 3 && third & 0x83 == 0x83)
            #expect(third & ~0x1f_ffff == address & ~0x1f_ffff)
        }
    }

    @Test("the boot parameters carry the header, the command line, the disk, the tables and the memory map")
    func bootParameters() throws {
        let initrd = [UInt8](repeating: 1, count: 5000)
        let plan = try plan(initrd: initrd) {
            $0.commandLine = "console=ttyS0"
            $0.rsdpAddress = 0xe0000
            $0.reserved = [MemoryMapEntry(start: 0xb000_0000, count: 256 << 20, kind: .reserved)]
        }
        let memory = PlannedMemory(plan)
        let page: UInt64 = 0x7000
        #expect(memory.load(UInt32.self, at: page + 0x202) == LinuxImage.magic)
        #expect(memory.load(UInt8.self, at: page + 0x1ef) == 0)
        #expect(memory.load(UInt8.self, at: page + 0x210) == 0xff)
        #expect(memory.load(UInt32.self, at: page + 0x214) == 0x100_0000)
        #expect(memory.load(UInt64.self, at: page + 0x070) == 0xe0000)
        let commandLine = UInt64(try #require(memory.load(UInt32.self, at: page + 0x228)))
        #expect(memory.load(UInt64.self, at: commandLine) == 0x3d65_6c6f_736e_6f63)  // "console="
        #expect(memory.load(UInt8.self, at: commandLine + 13) == 0)

        let disk = try #require(plan.writes.first { if case .initrd = $0.source { true } else { false } })
        #expect(disk.address == (256 << 20) - 8192)
        #expect(disk.source == .initrd(0..<5000))
        #expect(memory.load(UInt32.self, at: page + 0x218) == UInt32(disk.address))
        #expect(memory.load(UInt32.self, at: page + 0x21c) == 5000)

        let expected = [
            MemoryMapEntry(start: 0, count: 0x9_fc00, kind: .ram),
            MemoryMapEntry(start: 0x9_fc00, count: 0x400, kind: .reserved),
            MemoryMapEntry(start: 0xe_0000, count: 0x2_0000, kind: .reserved),
            MemoryMapEntry(start: 0x10_0000, count: 255 << 20, kind: .ram),
            MemoryMapEntry(start: 0xb000_0000, count: 256 << 20, kind: .reserved),
        ]
        #expect(plan.memoryMap == expected)
        #expect(memory.load(UInt8.self, at: page + 0x1e8) == 5)
        #expect(memory.load(UInt64.self, at: page + 0x2d0 + 60) == 0x10_0000)
        #expect(memory.load(UInt64.self, at: page + 0x2d0 + 68) == 255 << 20)
        #expect(memory.load(UInt32.self, at: page + 0x2d0 + 76) == 1)
    }

    @Test("memory above 4 GiB is told, and the disk stays below the kernel's limit")
    func highMemory() throws {
        var kernel = SyntheticKernel()
        kernel.initrdAddressMax = 0x37ff_ffff
        let plan = try plan(kernel, initrd: [0], memory: 3 << 30)
        #expect(plan.memoryMap.last == MemoryMapEntry(start: 1 << 32, count: 1 << 30, kind: .ram))
        let disk = try #require(plan.writes.first { if case .initrd = $0.source { true } else { false } })
        #expect(disk.address == 0x37ff_f000)
    }

    @Test("a reserved range in RAM is cut out of it and nothing is placed there")
    func reservedRAM() throws {
        let plan = try plan(initrd: [0]) {
            $0.reserved = [
                MemoryMapEntry(start: 0x100_0000, count: 0x1000, kind: .acpiTables),
                MemoryMapEntry(start: 0xfff_f000, count: 0x1000, kind: .acpiNonVolatile),
            ]
        }
        #expect(plan.registers.rip == 0x120_0200)
        let disk = try #require(plan.writes.first { if case .initrd = $0.source { true } else { false } })
        #expect(disk.address == 0xfff_e000)
        #expect(plan.memoryMap.contains(MemoryMapEntry(start: 0x10_0000, count: 15 << 20, kind: .ram)))
    }

    @Test("what stands behind the kernel in the file, such as a signature, is not loaded")
    func signature() throws {
        var kernel = SyntheticKernel()
        kernel.trailer = [UInt8](repeating: 0xee, count: 1000)
        let plan = try plan(kernel)
        #expect(plan.writes.contains { $0.source == .kernel(2048..<6144) })
    }

    @Test("every hostile or unfit header is refused for its own reason")
    func refusals() {
        func refused(_ change: (inout SyntheticKernel) -> Void) -> GuestBootError.Problem? {
            var kernel = SyntheticKernel()
            change(&kernel)
            return problem(kernel)
        }
        #expect(refused { $0.magic = 0 } == .headerMagicMissing)
        #expect(refused { $0.bootFlag = 0 } == .bootFlagMissing)
        #expect(refused { ($0.bootFlag, $0.magic) = (0, 0) } == .notAKernel)
        #expect(refused { $0.version = 0x20b } == .protocolTooOld(0x20b))
        #expect(refused { $0.loadFlags = 0 } == .notLoadedHigh)
        #expect(refused { $0.extendedFlags = 0 } == .no64BitEntry)
        #expect(refused { $0.alignment = 0 } == .badAlignment(0))
        #expect(refused { $0.alignment = 3 } == .badAlignment(3))
        #expect(refused { $0.payload = [] } == .kernelEmpty)
        #expect(refused { $0.systemSize = 0 } == .kernelEmpty)
        #expect(
            refused { $0.systemSize = .max }
                == .truncated(what: "the kernel", offset: 2048, needed: Int(UInt32.max) * 16, available: 6144))
        #expect(
            refused { $0.initializationCount = .max }
                == .noRoom(what: "the kernel", count: UInt64(UInt32.max), from: 0x100_0000))
        #expect(
            refused { $0.preferredAddress = .max }
                == .noRoom(what: "the kernel", count: 0x200_0000, from: .max))
        #expect(
            refused { ($0.preferredAddress, $0.relocatable) = (0x1000_0000, 0) }
                == .noRoom(what: "the kernel", count: 0x200_0000, from: 0x1000_0000))
    }

    @Test("a file cut short anywhere is refused or, behind the kernel, accepted")
    func truncation() {
        let bytes = SyntheticKernel().bytes
        for count in stride(from: 0, to: bytes.count - 15, by: 13) {
            let image = MemoryImage("kernel", Array(bytes[..<count]))
            #expect(throws: GuestBootError.self) {
                try BootPlan(kernel: image, BootParameters(ram: regions(256 << 20)))
            }
        }
    }

    @Test("errors read as sentences that name the image")
    func errorText() {
        let error = GuestBootError("debian vmlinuz", .headerMagicMissing)
        #expect("\(error)" == "debian vmlinuz: setup header magic missing at 0x202")
        let room = GuestBootError(
            "initrd.img", .noRoom(what: "the initial RAM disk", count: 50 << 20, from: 0x300_0000))
        #expect(
            "\(room)"
                == "initrd.img: the initial RAM disk needs 50 MiB of memory at 0x3000000 or above and below 4 GiB; "
                + "give the machine more")
    }

    @Test("a machine too small for kernel or disk, or without low memory, is told so")
    func tooSmall() throws {
        #expect(
            problem(SyntheticKernel(), memory: 32 << 20)
                == .noRoom(what: "the kernel", count: 0x200_0000, from: 0x100_0000))
        #expect(throws: GuestBootError.self) {
            try plan(initrd: [UInt8](repeating: 0, count: 17 << 20), memory: 64 << 20)
        }
        #expect(throws: GuestBootError.self) { try plan(memory: 4096) }
        #expect(throws: GuestBootError.self) { try plan { $0.ram = [] } }
    }

    @Test("a command line that the kernel would cut, or that has a NUL, is refused")
    func commandLine() throws {
        _ = try plan { $0.commandLine = String(repeating: "x", count: 2047) }
        #expect(throws: GuestBootError("kernel", .commandLineTooLong(2048, limit: 2047))) {
            try plan { $0.commandLine = String(repeating: "x", count: 2048) }
        }
        #expect(throws: GuestBootError("kernel", .commandLineHasNUL)) { try plan { $0.commandLine = "a\0b" } }
    }

    @Test("more memory ranges than a kernel can be told of are refused")
    func memoryRanges() {
        #expect(throws: GuestBootError("kernel", .tooManyMemoryRanges(132))) {
            try plan {
                $0.reserved = (0..<64).map {
                    MemoryMapEntry(start: 0x800_0000 + UInt64($0) * 0x2000, count: 0x1000, kind: .reserved)
                }
            }
        }
    }
}
