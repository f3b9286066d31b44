/// The registers with which a guest's first processor starts when no firmware prepares it.
///
/// These are values only: whoever loads the kernel writes the page tables and the descriptor table (`descriptors`) into
/// guest memory.
public struct BootRegisters: Hashable, Sendable {
    public var general: GeneralRegisters
    public var code: Segment
    /// For DS, ES, FS, GS and SS.
    public var data: Segment
    public var task: Segment
    /// Where `descriptors` lie in guest memory.
    public var gdt: DescriptorTable
    public var cr0: UInt64
    public var cr3: UInt64
    public var cr4: UInt64
    public var efer: UInt64

    /// Selectors that Linux expects (`__BOOT_CS`, `__BOOT_DS`), and the task's behind them.
    private static let codeSelector: UInt16 = 0x10
    private static let dataSelector: UInt16 = 0x18
    private static let taskSelector: UInt16 = 0x20
    /// Bytes that the descriptor table takes: two null descriptors, code, data, and the task's, which is twice as long
    /// in long mode.
    public static let descriptorTableSize = 6 * 8

    /// Protection on, and the extension type that every processor since the 486 reports.
    private static let protectedCR0: UInt64 = 1 << 0 | 1 << 4

    public init(
        general: GeneralRegisters, code: Segment, data: Segment, task: Segment, gdt: DescriptorTable, cr0: UInt64,
        cr3: UInt64, cr4: UInt64, efer: UInt64
    ) {
        self.general = general
        self.code = code
        self.data = data
        self.task = task
        self.gdt = gdt
        (self.cr0, self.cr3, self.cr4, self.efer) = (cr0, cr3, cr4, efer)
    }

    /// 64-bit mode with paging on, for the 64-bit entry of a Linux kernel (Documentation/arch/x86/boot.rst, "64-bit
    /// boot protocol"). Interrupts are off.
    ///
    /// - Parameters:
    ///   - entry: where the guest starts.
    ///   - stack: RSP; the kernel sets its own before it uses one.
    ///   - rsi: physical address of the boot parameters.
    ///   - pageTable: physical address of the top-level page table, which maps at least the kernel, the boot parameters
    ///     and the command line to their own addresses.
    ///   - gdt: physical address of the descriptor table.
    public static func longMode(entry: UInt64, stack: UInt64, rsi: UInt64, pageTable: UInt64, gdt: UInt64)
        -> BootRegisters
    {
        BootRegisters(
            general: GeneralRegisters(rsi: rsi, rsp: stack, rip: entry),
            code: .flat(selector: codeSelector, type: 0xB, long: true), data: .flat(selector: dataSelector, type: 0x3),
            task: .task(selector: taskSelector),
            gdt: DescriptorTable(base: gdt, limit: UInt16(descriptorTableSize - 1)),
            // Paging; physical address extension; long mode enabled and active.
            cr0: protectedCR0 | 1 << 31, cr3: pageTable, cr4: 1 << 5, efer: 1 << 8 | 1 << 10)
    }

    /// 32-bit protected mode with paging off, for the PVH entry of a kernel (Xen, docs/misc/pvh.pandoc). Interrupts are
    /// off.
    ///
    /// - Parameters:
    ///   - entry: where the guest starts.
    ///   - ebx: physical address of the start information.
    ///   - gdt: physical address of the descriptor table.
    public static func protectedMode(entry: UInt32, ebx: UInt32, gdt: UInt64) -> BootRegisters {
        BootRegisters(
            general: GeneralRegisters(rbx: UInt64(ebx), rip: UInt64(entry)),
            code: .flat(selector: codeSelector, type: 0xB), data: .flat(selector: dataSelector, type: 0x3),
            task: .task(selector: taskSelector),
            gdt: DescriptorTable(base: gdt, limit: UInt16(descriptorTableSize - 1)), cr0: protectedCR0, cr3: 0, cr4: 0,
            efer: 0)
    }

    /// The descriptor table that fits the segments, little-endian in guest memory; `descriptorTableSize` bytes.
    public var descriptors: [UInt64] {
        // The upper half of the task's descriptor holds bits 63 to 32 of its base, which are zero.
        [0, 0, code.descriptor, data.descriptor, task.descriptor, 0]
    }
}

extension Segment {
    /// A busy task state segment at 0, as the processor demands one to be loaded. The guest loads its own before it
    /// needs one.
    static func task(selector: UInt16) -> Segment {
        var segment = Segment()
        segment.selector = selector
        segment.limit = 0x67
        segment.type = 0xB
        segment.present = true
        return segment
    }

    /// The descriptor in a table that loads this segment (Intel SDM volume 3, section 3.4.5).
    public var descriptor: UInt64 {
        let limit = UInt64(granularity ? self.limit >> 12 : self.limit) & 0xF_FFFF
        let access =
            UInt64(type & 0xF) | (isCodeOrData ? 1 << 4 : 0) | UInt64(privilege & 3) << 5 | (present ? 1 << 7 : 0)
        let flags: UInt64 =
            (available ? 1 : 0) | (isLong ? 1 << 1 : 0) | (isDefault32 ? 1 << 2 : 0) | (granularity ? 1 << 3 : 0)
        let low = limit & 0xFFFF | (base & 0xFF_FFFF) << 16 | access << 40
        return low | (limit >> 16) << 48 | flags << 52 | (base >> 24 & 0xFF) << 56
    }
}

extension VirtualCPU {
    /// Brings the first processor of a guest that boots without firmware to its entry: registers, and what firmware
    /// would have set up before (memory types, fast strings, the local APIC's pins). The others are left waiting to be
    /// started.
    public func apply(_ boot: BootRegisters) throws(KVMError) {
        var special = try specialRegisters()
        special.cs = boot.code
        (special.ds, special.es, special.fs) = (boot.data, boot.data, boot.data)
        (special.gs, special.ss) = (boot.data, boot.data)
        special.tr = boot.task
        special.gdt = boot.gdt
        special.idt = DescriptorTable()
        (special.cr0, special.cr3, special.cr4, special.efer) = (boot.cr0, boot.cr3, boot.cr4, boot.efer)
        try setSpecialRegisters(special)
        try setRegisters(boot.general)
        if machine.configuration.interruptController == .full { try acceptLegacyInterrupts() }
        try prepareMemoryTypes()
    }

    /// What firmware leaves in the registers of every processor: all memory is write-back unless a page says otherwise,
    /// and string instructions are fast. For guests that boot without firmware.
    public func prepareMemoryTypes() throws(KVMError) {
        let wanted = [
            // IA32_MTRR_DEF_TYPE: enabled, write-back. IA32_MISC_ENABLE: fast strings.
            ModelSpecificRegister(0x2FF, 1 << 11 | 6), ModelSpecificRegister(0x1A0, 1),
        ]
        // Neither is essential, and a kernel may lack either.
        for register in wanted {
            do { try writeMSRs([register]) } catch .registerRefused { continue }
        }
    }
}
