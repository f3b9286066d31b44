import CLinux

/// One answer of the CPUID instruction: for a leaf and, where the leaf has them, a subleaf.
public struct CPUIDEntry: Hashable, Sendable {
    /// What the guest puts in EAX.
    public var leaf: UInt32
    /// What the guest puts in ECX; zero where it does not matter.
    public var subleaf: UInt32
    /// Whether the answer depends on ECX.
    public var hasSubleaves: Bool
    public var eax: UInt32
    public var ebx: UInt32
    public var ecx: UInt32
    public var edx: UInt32

    public init(
        leaf: UInt32, subleaf: UInt32 = 0, hasSubleaves: Bool = false, eax: UInt32 = 0, ebx: UInt32 = 0,
        ecx: UInt32 = 0, edx: UInt32 = 0
    ) {
        self.leaf = leaf
        self.subleaf = subleaf
        self.hasSubleaves = hasSubleaves
        self.eax = eax
        self.ebx = ebx
        self.ecx = ecx
        self.edx = edx
    }
}

/// `struct kvm_cpuid2`: a count, four bytes of padding, then the entries.
enum CPUIDTable {
    private static let header = 8
    private static let stride = MemoryLayout<kvm_cpuid_entry2>.stride
    /// What KVM takes at most (KVM_MAX_CPUID_ENTRIES).
    static let limit = 256

    /// Calls something that fills a table.
    static func read(_ descriptor: CInt, _ request: UInt, _ operation: StaticString) throws(KVMError) -> [CPUIDEntry] {
        let buffer = KernelBuffer(count: header + limit * stride)
        buffer.store(UInt32(limit), at: 0)
        try kvmCall(descriptor, request, buffer, operation)
        let count = min(limit, Int(buffer.load(at: 0, as: UInt32.self)))
        var entries: [CPUIDEntry] = []
        entries.reserveCapacity(count)
        for index in 0..<count {
            let entry = buffer.load(at: header + index * stride, as: kvm_cpuid_entry2.self)
            entries.append(
                CPUIDEntry(
                    leaf: entry.function, subleaf: entry.index,
                    hasSubleaves: entry.flags & UInt32(KVM_CPUID_FLAG_SIGNIFCANT_INDEX) != 0, eax: entry.eax,
                    ebx: entry.ebx, ecx: entry.ecx, edx: entry.edx))
        }
        return entries
    }

    /// Calls something that takes a table.
    static func write(_ descriptor: CInt, _ request: UInt, _ entries: [CPUIDEntry], _ operation: StaticString)
        throws(KVMError)
    {
        guard entries.count <= limit else { throw .badState("\(entries.count) CPUID entries exceed \(limit)") }
        let buffer = KernelBuffer(count: header + entries.count * stride)
        buffer.store(UInt32(entries.count), at: 0)
        for (index, entry) in entries.enumerated() {
            var raw = kvm_cpuid_entry2()
            raw.function = entry.leaf
            raw.index = entry.subleaf
            raw.flags = entry.hasSubleaves ? UInt32(KVM_CPUID_FLAG_SIGNIFCANT_INDEX) : 0
            (raw.eax, raw.ebx, raw.ecx, raw.edx) = (entry.eax, entry.ebx, entry.ecx, entry.edx)
            buffer.store(raw, at: header + index * stride)
        }
        try kvmCall(descriptor, request, buffer, operation)
    }
}
