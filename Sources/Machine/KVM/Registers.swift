import CLinux

/// The general registers, instruction pointer and flags (`struct kvm_regs`).
public struct GeneralRegisters: Hashable, Sendable {
    public var rax: UInt64 = 0
    public var rbx: UInt64 = 0
    public var rcx: UInt64 = 0
    public var rdx: UInt64 = 0
    public var rsi: UInt64 = 0
    public var rdi: UInt64 = 0
    public var rsp: UInt64 = 0
    public var rbp: UInt64 = 0
    public var r8: UInt64 = 0
    public var r9: UInt64 = 0
    public var r10: UInt64 = 0
    public var r11: UInt64 = 0
    public var r12: UInt64 = 0
    public var r13: UInt64 = 0
    public var r14: UInt64 = 0
    public var r15: UInt64 = 0
    public var rip: UInt64 = 0
    public var rflags: UInt64 = 2

    /// All zero but for what is given, and bit 1 of the flags, which is always one.
    public init(
        rbx: UInt64 = 0, rsi: UInt64 = 0, rsp: UInt64 = 0, rip: UInt64 = 0, rflags: UInt64 = 2
    ) {
        (self.rbx, self.rsi) = (rbx, rsi)
        (self.rsp, self.rip, self.rflags) = (rsp, rip, rflags)
    }

    init(_ raw: kvm_regs) {
        (rax, rbx, rcx, rdx) = (raw.rax, raw.rbx, raw.rcx, raw.rdx)
        (rsi, rdi, rsp, rbp) = (raw.rsi, raw.rdi, raw.rsp, raw.rbp)
        (r8, r9, r10, r11) = (raw.r8, raw.r9, raw.r10, raw.r11)
        (r12, r13, r14, r15) = (raw.r12, raw.r13, raw.r14, raw.r15)
        (rip, rflags) = (raw.rip, raw.rflags)
    }

    var raw: kvm_regs {
        kvm_regs(
            rax: rax, rbx: rbx, rcx: rcx, rdx: rdx, rsi: rsi, rdi: rdi, rsp: rsp, rbp: rbp, r8: r8, r9: r9, r10: r10,
            r11: r11, r12: r12, r13: r13, r14: r14, r15: r15, rip: rip, rflags: rflags)
    }
}

/// A segment register with what the processor caches of its descriptor (`struct kvm_segment`).
public struct Segment: Hashable, Sendable {
    public var base: UInt64 = 0
    /// Bytes minus one, granularity already applied.
    public var limit: UInt32 = 0
    public var selector: UInt16 = 0
    /// The descriptor's type: bits 3 to 0 of its access byte.
    public var type: UInt8 = 0
    public var present = false
    /// Descriptor privilege level.
    public var privilege: UInt8 = 0
    /// Operands are 32 bits wide by default.
    public var isDefault32 = false
    /// Code or data, otherwise a system segment.
    public var isCodeOrData = false
    /// 64-bit code.
    public var isLong = false
    /// The descriptor's limit counts pages.
    public var granularity = false
    public var available = false
    /// Not usable at all (Intel's notion; a null selector).
    public var unusable = false

    public init() {}

    /// A flat 4 GiB segment.
    public static func flat(selector: UInt16, type: UInt8, long: Bool = false) -> Segment {
        var segment = Segment()
        segment.limit = 0xFFFF_FFFF
        segment.selector = selector
        segment.type = type
        segment.present = true
        segment.isCodeOrData = true
        segment.isLong = long
        segment.isDefault32 = !long
        segment.granularity = true
        return segment
    }

    init(_ raw: kvm_segment) {
        (base, limit, selector, type) = (raw.base, raw.limit, raw.selector, raw.type)
        (present, privilege, isDefault32, isCodeOrData) = (raw.present != 0, raw.dpl, raw.db != 0, raw.s != 0)
        (isLong, granularity, available, unusable) = (raw.l != 0, raw.g != 0, raw.avl != 0, raw.unusable != 0)
    }

    var raw: kvm_segment {
        var raw = kvm_segment()
        (raw.base, raw.limit, raw.selector, raw.type) = (base, limit, selector, type)
        (raw.present, raw.dpl, raw.db) = (present ? 1 : 0, privilege, isDefault32 ? 1 : 0)
        (raw.s, raw.l, raw.g) = (isCodeOrData ? 1 : 0, isLong ? 1 : 0, granularity ? 1 : 0)
        (raw.avl, raw.unusable) = (available ? 1 : 0, unusable ? 1 : 0)
        return raw
    }
}

/// The base and limit of a descriptor table.
public struct DescriptorTable: Hashable, Sendable {
    public var base: UInt64
    public var limit: UInt16

    public init(base: UInt64 = 0, limit: UInt16 = 0) {
        self.base = base
        self.limit = limit
    }

    init(_ raw: kvm_dtable) { (base, limit) = (raw.base, raw.limit) }

    var raw: kvm_dtable {
        var raw = kvm_dtable()
        (raw.base, raw.limit) = (base, limit)
        return raw
    }
}

/// Segments, descriptor tables and control registers (`struct kvm_sregs`).
public struct SpecialRegisters: Hashable, Sendable {
    public var cs = Segment()
    public var ds = Segment()
    public var es = Segment()
    public var fs = Segment()
    public var gs = Segment()
    public var ss = Segment()
    public var tr = Segment()
    public var ldt = Segment()
    public var gdt = DescriptorTable()
    public var idt = DescriptorTable()
    public var cr0: UInt64 = 0
    public var cr2: UInt64 = 0
    public var cr3: UInt64 = 0
    public var cr4: UInt64 = 0
    public var cr8: UInt64 = 0
    public var efer: UInt64 = 0
    public var apicBase: UInt64 = 0
    /// The vector of an external interrupt that was accepted but not yet delivered.
    public var pendingInterrupt: UInt8?

    public init() {}

    init(_ raw: kvm_sregs) {
        (cs, ds, es) = (Segment(raw.cs), Segment(raw.ds), Segment(raw.es))
        (fs, gs, ss) = (Segment(raw.fs), Segment(raw.gs), Segment(raw.ss))
        (tr, ldt) = (Segment(raw.tr), Segment(raw.ldt))
        (gdt, idt) = (DescriptorTable(raw.gdt), DescriptorTable(raw.idt))
        (cr0, cr2, cr3, cr4, cr8) = (raw.cr0, raw.cr2, raw.cr3, raw.cr4, raw.cr8)
        (efer, apicBase) = (raw.efer, raw.apic_base)
        // The kernel sets at most one of the 256 bits.
        let (a, b, c, d) = raw.interrupt_bitmap
        for (index, word) in [a, b, c, d].enumerated() where word != 0 {
            pendingInterrupt = UInt8(truncatingIfNeeded: index * 64 + word.trailingZeroBitCount)
        }
    }

    var raw: kvm_sregs {
        var raw = kvm_sregs()
        (raw.cs, raw.ds, raw.es, raw.fs, raw.gs, raw.ss) = (cs.raw, ds.raw, es.raw, fs.raw, gs.raw, ss.raw)
        (raw.tr, raw.ldt, raw.gdt, raw.idt) = (tr.raw, ldt.raw, gdt.raw, idt.raw)
        (raw.cr0, raw.cr2, raw.cr3, raw.cr4, raw.cr8) = (cr0, cr2, cr3, cr4, cr8)
        (raw.efer, raw.apic_base) = (efer, apicBase)
        if let vector = pendingInterrupt {
            let bit = UInt64(1) << UInt64(vector & 63)
            switch vector >> 6 {
            case 0: raw.interrupt_bitmap.0 = bit
            case 1: raw.interrupt_bitmap.1 = bit
            case 2: raw.interrupt_bitmap.2 = bit
            default: raw.interrupt_bitmap.3 = bit
            }
        }
        return raw
    }
}
