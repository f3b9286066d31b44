import GuestMemory
import Testing

@testable import GuestBoot

@Suite("Booting an ELF kernel through PVH")
struct PVHBootTests {
    func plan(_ kernel: SyntheticELF = .kernel(), initrd: [UInt8]? = nil, memory: Int = 64 << 20) throws -> BootPlan {
        var parameters = BootParameters(ram: regions(memory))
        parameters.commandLine = "quiet"
        parameters.rsdpAddress = 0xe0000
        return try BootPlan(kernel: kernel.image, initrd: initrd.map { MemoryImage("initrd", $0) }, parameters)
    }

    func problem(_ change: (inout SyntheticELF) -> Void) -> GuestBootError.Problem? {
        var kernel = SyntheticELF.kernel()
        change(&kernel)
        do {
            _ = try plan(kernel)
            return nil
        } catch let error as GuestBootError {
            return error.problem
        } catch {
            return nil
        }
    }

    @Test("segments go where they ask, zeros behind them, and the entry is the note's")
    func segments() throws {
        let plan = try plan()
        let expected: [BootPlan.Write] = [
            .init(address: 0x100_0000, source: .kernel(0x1000..<0x1100)),
            .init(address: 0x100_0100, source: .zeros(0x1f00)),
            .init(address: 0x120_0000, source: .kernel(0x2000..<0x2040)),
        ]
        for write in expected { #expect(plan.writes.contains(write)) }
        let registers = plan.registers
        #expect(registers.rip == 0x100_0010)
        #expect(registers.rbx == 0x1000)
        #expect(registers.cr0 == 0x11 && registers.cr4 == 0 && registers.efer == 0)
        #expect(registers.code.isDefault32 && !registers.code.isLong)
        #expect(registers.task.limit == 0x67)
    }

    @Test("the start structure leads to the command line, the disk, the tables and the memory map")
    func startInfo() throws {
        let plan = try plan(initrd: [UInt8](repeating: 7, count: 100))
        let memory = PlannedMemory(plan)
        let info = plan.registers.rbx
        #expect(memory.load(UInt32.self, at: info) == 0x336e_c578)
        #expect(memory.load(UInt32.self, at: info + 4) == 1)
        #expect(memory.load(UInt32.self, at: info + 12) == 1)
        let module = try #require(memory.load(UInt64.self, at: info + 16))
        #expect(memory.load(UInt64.self, at: module) == (64 << 20) - 4096)
        #expect(memory.load(UInt64.self, at: module + 8) == 100)
        let commandLine = try #require(memory.load(UInt64.self, at: info + 24))
        #expect(memory.load(UInt32.self, at: commandLine) == 0x6569_7571)  // "quie"
        #expect(memory.load(UInt64.self, at: info + 32) == 0xe0000)
        let map = try #require(memory.load(UInt64.self, at: info + 40))
        #expect(memory.load(UInt32.self, at: info + 48) == UInt32(plan.memoryMap.count))
        #expect(memory.load(UInt64.self, at: map) == 0)
        #expect(memory.load(UInt64.self, at: map + 8) == 0x9_fc00)
        #expect(memory.load(UInt32.self, at: map + 16) == 1)
    }

    @Test("without a disk there is no module")
    func noModule() throws {
        let memory = PlannedMemory(try plan())
        #expect(memory.load(UInt32.self, at: 0x1000 + 12) == 0)
        #expect(memory.load(UInt64.self, at: 0x1000 + 16) == 0)
    }

    @Test("every hostile header is refused for its own reason")
    func refusals() {
        #expect(problem { $0.elfClass = 1 } == .notX86ELF("not of the 64-bit class"))
        #expect(problem { $0.order = 2 } == .notX86ELF("not little-endian"))
        #expect(problem { $0.machine = 183 } == .notX86ELF("made for machine 183"))
        #expect(problem { $0.type = 1 } == .notX86ELF("type 1 is no executable"))
        #expect(problem { $0.headerSize = 0 } == .notX86ELF("program headers of 0 bytes"))
        #expect(problem { $0.headerCount = .max } == .tooManyProgramHeaders(65535))
        #expect(problem { $0.headerCount = 0 } == .noLoadableSegment)
        for offset: UInt64 in [.max, 1 << 63, 1 << 40] {
            guard case .truncated = problem({ $0.headerOffset = offset }) else {
                Issue.record("program headers at \(offset) were accepted")
                continue
            }
        }
        #expect(problem { $0.headers[0].fileCount = .max } == .badSegment(0, "more bytes in the file than in memory"))
        #expect(problem { $0.headers[0].offset = .max } == .badSegment(0, "reaches past the end of the file"))
        #expect(problem { $0.headers[0].memoryCount = .max } == .badSegment(0, "lies beyond 4 GiB"))
        #expect(problem { $0.headers[0].address = .max } == .badSegment(0, "lies beyond 4 GiB"))
        #expect(problem { $0.headers[0].address = 0x100_1000 } == .segmentsOverlap)
        #expect(
            problem { $0.headers[0].address = 0x1000 }
                == .noRoom(what: "a kernel segment", count: 64, from: 0x1000))
        #expect(
            problem { $0.headers[0].memoryCount = 1 << 30 }
                == .noRoom(what: "a kernel segment", count: 1 << 30, from: 0x120_0000))
    }

    @Test("notes that lie are refused or skipped")
    func notes() {
        func refused(_ notes: [UInt8]) -> GuestBootError.Problem? { problem { $0.setNotes(notes) } }
        #expect(refused([]) == .noPVHEntry)
        #expect(refused([1, 2, 3]) == .noPVHEntry)
        #expect(refused(SyntheticELF.note("Xen\0", 17, [0, 0, 0, 1])) == .noPVHEntry)
        #expect(refused(SyntheticELF.note("Xem\0", 18, [0, 0, 0, 1])) == .noPVHEntry)
        #expect(refused(SyntheticELF.note("Xen\0", 18, [0, 0, 1])) == .noPVHEntry)
        #expect(refused(SyntheticELF.note("Xen\0", 18, [0, 0, 0, 1])) == nil)
        #expect(refused(SyntheticELF.note("Xen\0", 18, [0, 1, 0, 1])) == .entryOutsideSegments(0x100_0100))
        #expect(
            refused(SyntheticELF.note("Xen\0", 18, [0, 0, 0, 0, 1, 0, 0, 0])) == .entryOutsideSegments(1 << 32))
        var huge = SyntheticELF.note("Xen\0", 18, [0, 0, 0, 1])
        huge.replaceSubrange(0..<4, with: [0xff, 0xff, 0xff, 0xff])
        guard case .badNotes = refused(huge) else {
            Issue.record("a name of 4 GiB was accepted")
            return
        }
        #expect(problem { $0.headers[2].fileCount = 1 << 40 } == .badNotes("1099511627776 bytes are too many"))
        guard case .truncated = problem({ $0.headers[2].offset = .max }) else {
            Issue.record("notes beyond the file were accepted")
            return
        }
    }

    @Test("a file cut short anywhere before its last note is refused")
    func truncation() {
        let bytes = SyntheticELF.kernel().bytes
        for count in stride(from: 4, to: bytes.count - 8, by: 61) {
            let image = MemoryImage("vmlinux", Array(bytes[..<count]))
            #expect(throws: GuestBootError.self) { try BootPlan(kernel: image, BootParameters(ram: regions(64 << 20))) }
        }
    }
}
