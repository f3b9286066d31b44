import Foundation
import GuestMemory
import Testing

@testable import GuestBoot

@Suite("Loading a boot plan")
struct BootPlanTests {
    /// A file that goes when the test ends.
    final class TemporaryFile {
        let path: String
        init(_ bytes: [UInt8]) throws {
            path = NSTemporaryDirectory() + "/wafer-boot-\(UUID().uuidString)"
            try Data(bytes).write(to: URL(fileURLWithPath: path))
        }
        deinit { try? FileManager.default.removeItem(atPath: path) }
    }

    @Test("kernel and disk come from their files into guest memory")
    func files() throws {
        let kernel = SyntheticKernel()
        let disk = (0..<10_000).map { UInt8(truncatingIfNeeded: $0 &* 3) }
        let kernelFile = try TemporaryFile(kernel.bytes)
        let diskFile = try TemporaryFile(disk)
        let memory = try GuestMemory(count: 64 << 20)
        let plan = try BootPlan(
            kernel: FileImage(kernelFile.path), initrd: FileImage(diskFile.path), BootParameters(ram: memory.regions))
        try plan.load(into: memory.ram, isFresh: true)
        #expect(try memory.ram.read(kernel.payload.count, at: 0x100_0000) == kernel.payload)
        let address = try #require(memory.ram.load(UInt32.self, at: 0x7218))
        #expect(try memory.ram.read(disk.count, at: UInt64(address)) == disk)
        #expect(memory.ram.load(UInt32.self, at: 0x721c) == 10_000)
    }

    @Test("used memory is cleared where the kernel expects zeros")
    func zeros() throws {
        let memory = try GuestMemory(count: 64 << 20)
        memory.ram.store(UInt64.max, at: 0x100_0200)
        let plan = try BootPlan(kernel: SyntheticELF.kernel().image, BootParameters(ram: memory.regions))
        try plan.load(into: memory.ram)
        #expect(memory.ram.load(UInt64.self, at: 0x100_0200) == 0)
        #expect(memory.ram.load(UInt8.self, at: 0x100_00ff) == 0xff)
        #expect(memory.ram.load(UInt8.self, at: 0x120_0000) == 0xd0)
    }

    @Test("a file that shrank since it was opened is an error, not a crash")
    func shrunk() throws {
        let file = try TemporaryFile(SyntheticKernel().bytes)
        let memory = try GuestMemory(count: 64 << 20)
        let plan = try BootPlan(kernel: FileImage(file.path), BootParameters(ram: memory.regions))
        try FileHandle(forWritingTo: URL(fileURLWithPath: file.path)).truncate(atOffset: 3000)
        #expect(throws: GuestBootError(file.path, .changedWhileRead(offset: 3000))) {
            try plan.load(into: memory.ram)
        }
    }

    @Test("a missing file and a directory are refused by name")
    func unusable() {
        let missing = "/nonexistent/vmlinuz"
        #expect(
            throws: GuestBootError(missing, .unreadable("open /nonexistent/vmlinuz: No such file or directory"))
        ) { try FileImage(missing) }
        #expect(throws: GuestBootError("/tmp", .notAFile)) { try FileImage("/tmp") }
    }

    @Test("memory smaller than the plan was made for is an error")
    func smallerMemory() throws {
        let memory = try GuestMemory(count: 1 << 20)
        let plan = try BootPlan(
            kernel: SyntheticKernel().image, initrd: MemoryImage("initrd", [1]), BootParameters(ram: regions(64 << 20)))
        #expect(throws: GuestBootError.self) { try plan.load(into: memory.ram) }
    }

    /// Debian's kernel, where the build has fetched it or the system has it installed.
    static let debianKernel: String? = {
        let build = #filePath.replacing("/Tests/GuestBootTests/BootPlanTests.swift", with: "/build")
        for directory in [build + "/kernel", build + "/guest", build + "/mini", "/boot"] {
            let names = (try? FileManager.default.contentsOfDirectory(atPath: directory)) ?? []
            if let name = names.sorted().last(where: { $0.hasPrefix("vmlinuz") }) { return directory + "/" + name }
        }
        return nil
    }()

    @Test(
        "Debian's kernel can be planned",
        .enabled(if: debianKernel != nil, "no Debian kernel in build/kernel, build/guest or /boot"))
    func debian() throws {
        let kernel = try FileImage(try #require(Self.debianKernel))
        let plan = try BootPlan(kernel: kernel, BootParameters(ram: regions(512 << 20)))
        #expect(plan.registers.rip == 0x100_0200)
        let payload = try #require(plan.writes.first { if case .kernel = $0.source { true } else { false } })
        #expect(payload.count > 1 << 20)
    }
}
