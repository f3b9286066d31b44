public import KVM

/// The registers that the first vCPU starts with.
public struct BootState: Sendable {
    public var general: GeneralRegisters
    public var special: SpecialRegisters

    public init(general: GeneralRegisters, special: SpecialRegisters) {
        self.general = general
        self.special = special
    }

    /// Puts them in place; what the processor keeps for itself (its APIC base) stays.
    func apply(to vcpu: VirtualCPU) throws(KVMError) {
        var special = special
        special.apicBase = try vcpu.specialRegisters().apicBase
        try vcpu.setSpecialRegisters(special)
        try vcpu.setRegisters(general)
    }
}
