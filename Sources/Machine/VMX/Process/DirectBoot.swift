import ACPI
import Chipset
import GuestBoot
import GuestMemory
import KVM
import SMBIOS
import VMXConfig

/// Starts a kernel without firmware, as `wafer.kernel` and its companions say.
struct DirectBoot {
    /// Where the ACPI tables lie: where systems look for them, in the legacy BIOS area.
    static let tablesAddress: GuestAddress = 0xe_0000

    /// Where the SMBIOS entry point and its structures lie: where systems look for them.
    static let smbiosAddress: GuestAddress = 0xf_0000

    private let plan: BootPlan
    private let tables: PlacedACPITables
    private let smbios: PlacedSMBIOSTables

    /// Opens kernel and initial RAM disk and plans where everything goes.
    init(
        _ boot: MachineConfiguration.DirectBoot, _ acpi: ACPITables, _ smbios: SMBIOSTables, memory: GuestMemory
    ) throws {
        let tables = try acpi.placed(at: Self.tablesAddress)
        var parameters = BootParameters(ram: memory.regions)
        parameters.commandLine = boot.commandLine
        parameters.rsdpAddress = tables.rsdpAddress
        parameters.reserved = [MemoryMapEntry(start: Q35.ecamBase, count: Q35.ecamSize, kind: .reserved)]
        let initrd: FileImage?
        if let path = boot.initrd { initrd = try FileImage(path) } else { initrd = nil }
        plan = try BootPlan(kernel: try FileImage(boot.kernel), initrd: initrd, parameters)
        self.tables = tables
        self.smbios = try smbios.placed(at: Self.smbiosAddress)
    }

    /// Fills guest memory and brings the first vCPU to the kernel's entry.
    func load(_ machine: Machine, _ vcpu: VirtualCPU) throws {
        try plan.load(into: machine.memory.ram, isFresh: machine.resets == 0)
        try machine.memory.ram.write(tables.bytes, at: tables.address)
        try machine.memory.ram.write(smbios.bytes, at: smbios.address)
        // Firmware would set the memory types on every processor; systems complain when they differ.
        for thread in machine.vcpus { try thread.vcpu.prepareMemoryTypes() }
        let registers = plan.registers
        try vcpu.apply(
            KVM.BootRegisters(
                general: GeneralRegisters(
                    rbx: registers.rbx, rsi: registers.rsi, rsp: registers.rsp, rip: registers.rip,
                    rflags: registers.rflags),
                code: Segment(registers.code), data: Segment(registers.data), task: Segment(registers.task),
                gdt: DescriptorTable(base: registers.gdtBase, limit: registers.gdtLimit),
                cr0: registers.cr0, cr3: registers.cr3, cr4: registers.cr4, efer: registers.efer))
    }
}

extension Segment {
    fileprivate init(_ segment: GuestBoot.BootRegisters.Segment) {
        self.init()
        base = segment.base
        limit = segment.limit
        selector = segment.selector
        type = segment.type
        present = true
        isDefault32 = segment.isDefault32
        isCodeOrData = segment.isCodeOrData
        isLong = segment.isLong
        granularity = segment.granularity
    }
}
