/// Makes the leaves that all processors of a guest share. Leaves that are not made here read as zeros.
struct LeafBuilder {
    let supported: [CPUIDEntry]
    let features: CPUFeatureSet
    let vendor: CPUVendor
    let topology: CPUTopology
    let options: GuestCPUID.Options

    private func host(_ leaf: UInt32, _ subleaf: UInt32 = 0) -> CPUIDEntry? {
        supported.first { $0.leaf == leaf && $0.subleaf == subleaf }
    }

    /// The host's leaf with its feature words replaced.
    private func masked(_ leaf: UInt32, _ subleaf: UInt32 = 0) -> CPUIDEntry? {
        guard var entry = host(leaf, subleaf) else { return nil }
        for word in CPUFeature.Word.allCases where word.leaf == leaf && word.subleaf == subleaf {
            word.set(features[word], in: &entry)
        }
        return entry
    }

    private func has(_ name: String) -> Bool { CPUFeature(named: name).map(features.contains) ?? false }

    func leaves() -> [CPUIDEntry] {
        var basic = [identification(), power()].compactMap { $0 }
        basic += structuredFeatures()
        if vendor == .intel { basic += [host(2)].compactMap { $0 } + caches(0x4) }
        if options.performanceMonitoring { basic += [host(0xA)].compactMap { $0 } }
        basic += levels(0xB)
        // Intel's later processors have a second leaf of the same kind; without dies it says the same.
        if vendor == .intel, host(0)?.eax ?? 0 >= 0x1F { basic += levels(0x1F) }
        basic += extendedStates()
        if has("amx_tile") { basic += supported.filter { $0.leaf == 0x1D || $0.leaf == 0x1E } }

        var extended: [CPUIDEntry] = [masked(0x8000_0001)].compactMap { $0 }
        // The processor's name, and AMD's caches and TLBs.
        for leaf: UInt32 in [0x8000_0002, 0x8000_0003, 0x8000_0004, 0x8000_0005, 0x8000_0006] {
            extended += [host(leaf)].compactMap { $0 }
        }
        extended += [clock(), sizes()].compactMap { $0 }
        if vendor == .amd {
            if options.nestedVirtualization, has("svm") { extended += [host(0x8000_000A)].compactMap { $0 } }
            extended += [host(0x8000_0019), host(0x8000_001A)].compactMap { $0 }
            if has("topoext") {
                extended += caches(0x8000_001D)
                // Filled in for each processor.
                extended.append(CPUIDEntry(leaf: 0x8000_001E))
            }
            extended += [masked(0x8000_0021)].compactMap { $0 }
            if options.performanceMonitoring { extended += [host(0x8000_0022)].compactMap { $0 } }
        }

        var all: [CPUIDEntry] = []
        if var zero = host(0) {
            zero.eax = basic.map(\.leaf).max() ?? 0
            all.append(zero)
        }
        all += basic
        if options.hypervisorVisible {
            all +=
                HypervisorLeaves(
                    signature: host(0x4000_0000), features: masked(0x4000_0001), options: options
                ).leaves
        }
        if var zero = host(0x8000_0000) {
            zero.eax = extended.map(\.leaf).max() ?? 0x8000_0000
            all.append(zero)
        }
        all += extended
        return all.sorted { ($0.leaf, $0.subleaf) < ($1.leaf, $1.subleaf) }
    }

    // MARK: Basic leaves

    /// Leaf 1: features, and in EBX bits 23 to 16 how many APIC ids a socket has.
    private func identification() -> CPUIDEntry? {
        guard var entry = masked(1) else { return nil }
        let ids = has("ht") ? min(UInt32(1) << topology.socketShift, 255) : 1
        entry.ebx = entry.ebx & 0x0000_FFFF | ids << 16
        return entry
    }

    /// Leaf 6: only whether the LAPIC's timer always runs.
    private func power() -> CPUIDEntry? {
        guard host(6) != nil else { return nil }
        return CPUIDEntry(leaf: 6, eax: features[.leaf6EAX] & 1 << 2)
    }

    /// Leaf 7: EAX is the number of the last subleaf.
    private func structuredFeatures() -> [CPUIDEntry] {
        var subleaves: [CPUIDEntry] = []
        for subleaf: UInt32 in 0...2 {
            guard var entry = masked(7, subleaf) else { continue }
            // Feature words without names pass for `host` only, as their masks say; other registers hold nothing of
            // use.
            if subleaf == 1 { (entry.ebx, entry.ecx) = (0, 0) }
            if subleaf == 2 { (entry.eax, entry.ebx, entry.ecx) = (0, 0, 0) }
            entry.hasSubleaves = true
            subleaves.append(entry)
        }
        // Trailing subleaves without a bit are left out.
        while let last = subleaves.last, last.subleaf > 0, last.eax | last.ebx | last.ecx | last.edx == 0 {
            subleaves.removeLast()
        }
        if let last = subleaves.last?.subleaf, !subleaves.isEmpty { subleaves[0].eax = last }
        return subleaves
    }

    /// Leaf 4 and its like at AMD, 0x8000001D: the host's caches, shared as far as the guest's topology allows.
    private func caches(_ leaf: UInt32) -> [CPUIDEntry] {
        let isIntel = leaf == 4
        var result: [CPUIDEntry] = []
        // A type of 0 in EAX bits 4 to 0 ends the list.
        for subleaf: UInt32 in 0..<8 {
            guard var entry = host(leaf, subleaf), entry.eax & 0x1F != 0 else { break }
            let level = entry.eax >> 5 & 7
            // Bits 25 to 14: how many share it, minus one. The first two levels belong to a core, the others to a
            // socket.
            let sharing: UInt32 =
                if isIntel {
                    (1 << (level <= 2 ? topology.threadBits : topology.socketShift)) - 1
                } else {
                    UInt32(level <= 2 ? topology.threadsPerCore : topology.processorsPerSocket) - 1
                }
            entry.eax = entry.eax & 0x3FFF | min(sharing, 0xFFF) << 14
            // Bits 31 to 26, Intel only: how many core ids a socket has, minus one.
            if isIntel { entry.eax |= min((1 << topology.coreBits) - 1, 0x3F) << 26 }
            entry.hasSubleaves = true
            result.append(entry)
        }
        if !result.isEmpty { result.append(CPUIDEntry(leaf: leaf, subleaf: UInt32(result.count), hasSubleaves: true)) }
        return result
    }

    /// Leaves 0xB and 0x1F: for each level, how far to shift the APIC id for the next one, and how many processors it
    /// has. ECX holds the subleaf and in bits 15 to 8 the kind: 1 thread, 2 core, 0 the end.
    private func levels(_ leaf: UInt32) -> [CPUIDEntry] {
        [
            CPUIDEntry(
                leaf: leaf, subleaf: 0, hasSubleaves: true, eax: topology.threadBits,
                ebx: UInt32(topology.threadsPerCore),
                ecx: 0 | 1 << 8),
            CPUIDEntry(
                leaf: leaf, subleaf: 1, hasSubleaves: true, eax: topology.socketShift,
                ebx: UInt32(topology.processorsPerSocket), ecx: 1 | 2 << 8),
            CPUIDEntry(leaf: leaf, subleaf: 2, hasSubleaves: true, ecx: 2),
        ]
    }

    // MARK: Leaf 0xD

    /// The state components of XSAVE that the features need (Intel SDM volume 1, section 13.1).
    private var stateComponents: UInt64 {
        var mask: UInt64 = 0b11
        if has("avx") { mask |= 1 << 2 }
        if has("avx512f") { mask |= 0b111 << 5 }
        if has("pku") { mask |= 1 << 9 }
        if has("amx_tile") { mask |= 0b11 << 17 }
        return mask
    }

    private func extendedStates() -> [CPUIDEntry] {
        guard has("xsave"), let zero = host(0xD) else { return [] }
        let components = stateComponents & (UInt64(zero.eax) | UInt64(zero.edx) << 32)
        // Subleaf 1: ways to save, and in ECX and EDX the supervisor's components, which only XSAVES reaches. EBX is
        // KVM's to keep up to date, like EBX of subleaf 0.
        var one = masked(0xD, 1)
        one?.ebx = 0
        one?.hasSubleaves = true
        if !has("xsaves") {
            one?.ecx = 0
            one?.edx = 0
        }
        let supervisor = one.map { UInt64($0.ecx) | UInt64($0.edx) << 32 } ?? 0

        // The legacy area and the header; components lie behind, at the offset in EBX, with the size in EAX.
        let smallest: UInt32 = 512 + 64
        var largest = smallest
        var subleaves = [one].compactMap { $0 }
        for component: UInt32 in 2..<63 where (components | supervisor) >> component & 1 != 0 {
            guard var entry = host(0xD, component) else { continue }
            entry.hasSubleaves = true
            subleaves.append(entry)
            if components >> component & 1 != 0 { largest = max(largest, entry.ebx &+ entry.eax) }
        }
        let first = CPUIDEntry(
            leaf: 0xD, subleaf: 0, hasSubleaves: true, eax: UInt32(truncatingIfNeeded: components), ebx: smallest,
            ecx: largest, edx: UInt32(truncatingIfNeeded: components >> 32))
        return [first] + subleaves
    }

    // MARK: Extended leaves

    /// Leaf 0x80000007: only whether the time-stamp counter is invariant.
    private func clock() -> CPUIDEntry? {
        guard host(0x8000_0007) != nil else { return nil }
        return CPUIDEntry(leaf: 0x8000_0007, edx: features[.extended7EDX] & 1 << 8)
    }

    /// Leaf 0x80000008: the host's address sizes in EAX; at AMD the number of processors of a socket minus one in ECX
    /// bits 7 to 0, and in bits 15 to 12 how many bits of the APIC id count them.
    private func sizes() -> CPUIDEntry? {
        guard var entry = masked(0x8000_0008) else { return nil }
        (entry.ecx, entry.edx) = (0, 0)
        if vendor == .amd {
            entry.ecx = min(UInt32(topology.processorsPerSocket - 1), 0xFF) | min(topology.socketShift, 0xF) << 12
        }
        return entry
    }
}
