/// The registers that the first virtual CPU starts with. What is not named is zero or as after a reset.
public struct BootRegisters: Equatable, Sendable {
    /// A segment register with the descriptor behind it.
    public struct Segment: Equatable, Sendable {
        public var selector: UInt16
        public var base: UInt64
        /// Last valid offset, in bytes.
        public var limit: UInt32
        /// Bits 3 to 0 of the descriptor's access byte.
        public var type: UInt8
        /// Code or data, otherwise a system segment.
        public var isCodeOrData: Bool
        public var isDefault32: Bool
        public var isLong: Bool
        public var granularity: Bool

        /// A flat code or data segment of 4 GiB.
        static func flat(selector: UInt16, type: UInt8, isLong: Bool = false) -> Segment {
            Segment(
                selector: selector, base: 0, limit: .max, type: type, isCodeOrData: true, isDefault32: !isLong,
                isLong: isLong, granularity: true)
        }

        /// A busy task state segment of minimal length, which processors insist on but kernels replace.
        static func task(selector: UInt16) -> Segment {
            Segment(
                selector: selector, base: 0, limit: 0x67, type: 0xb, isCodeOrData: false, isDefault32: false,
                isLong: false, granularity: false)
        }

        /// The descriptor as it stands in the table (Intel SDM volume 3, 3.4.5).
        var descriptor: UInt64 {
            let limit = UInt64(granularity ? limit >> 12 : limit)
            var value = limit & 0xffff | (limit >> 16 & 0xf) << 48
            value |= (base & 0xff_ffff) << 16 | (base >> 24 & 0xff) << 56
            value |= UInt64(type) << 40 | (isCodeOrData ? 1 << 44 : 0) | 1 << 47
            value |= (isLong ? 1 << 53 : 0) | (isDefault32 ? 1 << 54 : 0) | (granularity ? 1 << 55 : 0)
            return value
        }
    }

    public var rip: UInt64
    public var rsp: UInt64
    public var rbx: UInt64
    public var rsi: UInt64
    public var rflags: UInt64
    public var cr0: UInt64
    public var cr3: UInt64
    public var cr4: UInt64
    public var efer: UInt64
    public var gdtBase: UInt64
    public var gdtLimit: UInt16
    public var code: Segment
    /// For DS, ES, FS, GS and SS alike.
    public var data: Segment
    public var task: Segment

    /// Bit 1 of the flags is always one; the interrupt flag is clear.
    static let quietFlags: UInt64 = 2

    /// For the 64-bit entry of the Linux boot protocol.
    static func linux64(entry: UInt64, bootParameters: UInt64) -> BootRegisters {
        BootRegisters(
            rip: entry, rsp: LowMemory.stackTop, rbx: 0, rsi: bootParameters, rflags: quietFlags,
            cr0: 0x8000_0031,  // PG, NE, ET, PE
            cr3: LowMemory.pageTables,
            cr4: 0x20,  // PAE
            efer: 0x500,  // LMA, LME
            gdtBase: LowMemory.descriptorTable, gdtLimit: 0x2f,
            code: .flat(selector: 0x10, type: 0xb, isLong: true), data: .flat(selector: 0x18, type: 0x3),
            task: .task(selector: 0x20))
    }

    /// For the PVH entry: 32-bit protected mode without paging.
    static func pvh(entry: UInt32, startInfo: UInt64) -> BootRegisters {
        BootRegisters(
            rip: UInt64(entry), rsp: 0, rbx: startInfo, rsi: 0, rflags: quietFlags,
            cr0: 0x11,  // ET, PE
            cr3: 0, cr4: 0, efer: 0,
            gdtBase: LowMemory.descriptorTable, gdtLimit: 0x2f,
            code: .flat(selector: 0x10, type: 0xb), data: .flat(selector: 0x18, type: 0x3),
            task: .task(selector: 0x20))
    }

    /// The descriptor table that the selectors refer to: two null entries, code, data, and 16 bytes for the task.
    var descriptorTable: [UInt64] { [0, 0, code.descriptor, data.descriptor, task.descriptor, 0] }
}
