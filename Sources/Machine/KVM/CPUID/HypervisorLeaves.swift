/// Which hypervisor a guest takes this one for: whose leaves are the first it finds.
public enum HypervisorInterface: String, Hashable, Sendable, CaseIterable {
    case kvm
    /// VMware's leaves, which its tools look for, and KVM's behind them.
    case vmware
    /// Hyper-V's leaves with what KVM has of its interfaces, for Windows, and KVM's behind them.
    case hyperV = "hyperv"
}

/// The leaves from 0x40000000, by which a guest finds out about its hypervisor.
struct HypervisorLeaves {
    /// Where the first hypervisor's leaves are.
    private static let first: UInt32 = 0x4000_0000
    /// Where KVM's are if they are not the first. Systems look at every multiple of 0x100.
    private static let second: UInt32 = 0x4000_0100
    /// VMware's timing leaf: kHz of the time-stamp counter and of the APIC bus, which is 1 GHz under KVM.
    private static let timing: UInt32 = 0x4000_0010

    /// KVM's own two leaves, as it offers them.
    let signature: CPUIDEntry?
    let features: CPUIDEntry?
    let options: GuestCPUID.Options

    var leaves: [CPUIDEntry] {
        switch options.interface {
        case .kvm: kvm(at: Self.first)
        case .vmware: vmware + kvm(at: Self.second)
        case .hyperV where !options.hyperV.isEmpty: hyperV + kvm(at: Self.second)
        case .hyperV: kvm(at: Self.first)
        }
    }

    private var timingLeaves: [CPUIDEntry] {
        options.timeStampFrequency == 0
            ? [] : [CPUIDEntry(leaf: Self.timing, eax: options.timeStampFrequency, ebx: 1_000_000)]
    }

    /// KVM's signature and features, and the timing leaf where they come first: firmware and systems read it there.
    private func kvm(at base: UInt32) -> [CPUIDEntry] {
        guard var signature, var features else { return [] }
        signature.leaf = base
        features.leaf = base + 1
        let rest = [features] + (base == Self.first ? timingLeaves : [])
        signature.eax = rest.map(\.leaf).max() ?? features.leaf
        return [signature] + rest
    }

    /// "VMwareVMware" and the timing leaf.
    private var vmware: [CPUIDEntry] {
        [
            CPUIDEntry(
                leaf: Self.first, eax: timingLeaves.isEmpty ? Self.first : Self.timing, ebx: 0x6177_4d56,
                ecx: 0x4d56_6572, edx: 0x6572_6177)
        ] + timingLeaves
    }

    // MARK: Hyper-V

    /// Leaf 0x40000003 EAX: run time, reference counter, interrupt controller, timers, APIC registers, hypercalls,
    /// processor index, reference TSC page, frequencies (Hypervisor Top-Level Functional Specification 6.0, section 2.4).
    /// Not the reset register: machines reset otherwise.
    private static let registers: UInt32 = 0b1010_0111_1111
    /// Leaf 0x40000003 EDX: frequency registers, timers that interrupt directly. Not the crash registers: nobody reads them.
    private static let abilities: UInt32 = 1 << 8 | 1 << 19
    /// Leaf 0x40000004 EAX: what is faster by a hypercall or a register: flushing TLBs of other processors, APIC accesses,
    /// interrupts of several processors; more than 64 processors.
    private static let recommended: UInt32 = 1 << 2 | 1 << 3 | 1 << 10 | 1 << 11
    /// Leaf 0x40000004 EAX, set always: no timeouts that virtual time would break ("relaxed timing"), and no automatic
    /// end of interrupt, which would switch off the processor's own virtual APIC.
    private static let required: UInt32 = 1 << 5 | 1 << 9
    /// How often a guest spins for a lock before it says so by a hypercall.
    private static let spins: UInt32 = 0x1fff

    private func template(_ leaf: UInt32) -> CPUIDEntry {
        options.hyperV.first { $0.leaf == leaf } ?? CPUIDEntry(leaf: leaf)
    }

    private var hyperV: [CPUIDEntry] {
        var abilities = template(0x4000_0003)
        abilities.eax &= Self.registers
        // Privileges of a partition: none that has to do with messages and others' partitions.
        abilities.ebx = 0
        abilities.ecx = 0
        abilities.edx &= Self.abilities
        var advice = template(0x4000_0004)
        advice.eax = advice.eax & Self.recommended | Self.required
        advice.ebx = Self.spins
        advice.ecx = 0
        return [
            // "Microsoft Hv" and "Hv#1".
            CPUIDEntry(leaf: Self.first, eax: 0x4000_0005, ebx: 0x7263_694d, ecx: 0x666f_736f, edx: 0x7648_2074),
            CPUIDEntry(leaf: 0x4000_0001, eax: 0x3123_7648), template(0x4000_0002), abilities, advice,
            template(0x4000_0005),
        ]
    }
}
