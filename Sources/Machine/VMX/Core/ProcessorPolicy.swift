import KVM

/// What the guest's processors look like.
enum ProcessorPolicy {
    /// The CPUID leaves of each vCPU.
    static func cpuids(_ shape: Machine.Shape, _ system: KVMSystem) throws(KVMError) -> [[CPUIDEntry]] {
        let supported = try system.supportedCPUID()
        return (0..<shape.processors).map { index in
            supported.map { entry in
                var entry = entry
                if entry.leaf == 1 {
                    entry.ebx = entry.ebx & 0x00ff_ffff | UInt32(index) << 24
                    entry.ecx |= 1 << 31 | 1 << 24
                }
                if entry.leaf == 0xb || entry.leaf == 0x1f { entry.edx = UInt32(index) }
                return entry
            }
        }
    }
}
