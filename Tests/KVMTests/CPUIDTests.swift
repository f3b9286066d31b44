import Testing

@testable import KVM

/// What KVM would offer on an invented processor.
private func host(_ vendor: CPUVendor, _ features: CPUFeatureSet, mitigations: Bool = true) -> [CPUIDEntry] {
    var features = features
    if mitigations {
        features = features.union(CPUFeatureSet("spec_ctrl arch_capabilities ibpb x2apic tsc_adjust umip arat"))
    }
    // KVM offers these when the host has them; models must take them away again.
    features = features.union(CPUFeatureSet("invtsc xsaves perfctr_core pdcm osxsave rtm"))
    features = features.union(CPUFeatureSet(vendor == .amd ? "svm" : "vmx"))
    features[.kvmEAX] = 0x0100_7EFB
    var entries = [
        // Letters 1 to 4, 9 to 12 and 5 to 8.
        vendor == .amd
            ? CPUIDEntry(leaf: 0, eax: 0x20, ebx: 0x6874_7541, ecx: 0x444D_4163, edx: 0x6974_6E65)
            : CPUIDEntry(leaf: 0, eax: 0x20, ebx: 0x756E_6547, ecx: 0x6C65_746E, edx: 0x4965_6E69),
        CPUIDEntry(leaf: 1, eax: 0x00A0_0F11, ebx: 0x0510_0800), CPUIDEntry(leaf: 6),
        CPUIDEntry(leaf: 7, hasSubleaves: true, eax: 2), CPUIDEntry(leaf: 7, subleaf: 1, hasSubleaves: true),
        CPUIDEntry(leaf: 7, subleaf: 2, hasSubleaves: true), CPUIDEntry(leaf: 0xA, eax: 0x0730_0402),
        CPUIDEntry(leaf: 0xD, hasSubleaves: true, eax: 0x2E7, ebx: 2696, ecx: 2696),
        CPUIDEntry(leaf: 0xD, subleaf: 1, hasSubleaves: true, ecx: 0x1800),
        CPUIDEntry(leaf: 0xD, subleaf: 2, hasSubleaves: true, eax: 256, ebx: 576),
        CPUIDEntry(leaf: 0xD, subleaf: 5, hasSubleaves: true, eax: 64, ebx: 832),
        CPUIDEntry(leaf: 0xD, subleaf: 6, hasSubleaves: true, eax: 512, ebx: 896),
        CPUIDEntry(leaf: 0xD, subleaf: 7, hasSubleaves: true, eax: 1024, ebx: 1408),
        CPUIDEntry(leaf: 0xD, subleaf: 9, hasSubleaves: true, eax: 8, ebx: 2432),
        CPUIDEntry(leaf: 0xD, subleaf: 11, hasSubleaves: true, eax: 16, ecx: 1),
        CPUIDEntry(leaf: 0x14, hasSubleaves: true, eax: 1, ebx: 15),
        CPUIDEntry(leaf: 0x4000_0000, eax: 0x4000_0001, ebx: 0x4B4D_564B, ecx: 0x564B_4D56, edx: 0x4D),
        CPUIDEntry(leaf: 0x4000_0001), CPUIDEntry(leaf: 0x8000_0000, eax: 0x8000_0022),
        CPUIDEntry(leaf: 0x8000_0001), CPUIDEntry(leaf: 0x8000_0002, eax: 0x4D41_4446),
        CPUIDEntry(leaf: 0x8000_0007), CPUIDEntry(leaf: 0x8000_0008, eax: 0x3030, ecx: 0x703F, edx: 1),
        CPUIDEntry(leaf: 0x8000_000A, eax: 1), CPUIDEntry(leaf: 0x8000_0021), CPUIDEntry(leaf: 0x8000_0022, eax: 1),
    ]
    let cache: UInt32 = vendor == .amd ? 0x8000_001D : 4
    // Data and instructions of a core, its second level, and a third level that 16 share.
    for (subleaf, eax) in [UInt32(0x0000_4121), 0x0000_4122, 0x0000_4143, 0x0003_C163].enumerated() {
        entries.append(CPUIDEntry(leaf: cache, subleaf: UInt32(subleaf), hasSubleaves: true, eax: eax, ebx: 63))
    }
    for index in entries.indices {
        for word in CPUFeature.Word.allCases
        where word.leaf == entries[index].leaf && word.subleaf == entries[index].subleaf {
            word.set(features[word], in: &entries[index])
        }
    }
    return entries
}

private func features(_ model: CPUModel) -> CPUFeatureSet { model.features ?? CPUFeatureSet() }

extension [CPUIDEntry] {
    fileprivate func leaf(_ leaf: UInt32, _ subleaf: UInt32 = 0) -> CPUIDEntry? {
        first { $0.leaf == leaf && $0.subleaf == subleaf }
    }
}

@Suite("Processor models")
struct CPUModelTests {
    @Test("each model of a line can do what its predecessor can")
    func lines() {
        let lines: [[CPUModel]] = [
            [.x86_64_v1, .x86_64_v2, .x86_64_v3, .x86_64_v4],
            [.x86_64_v3, .intelHaswell, .intelSkylake, .intelIcelake],
            [.x86_64_v4, .intelSkylake], [.x86_64_v3, .amdEPYC, .amdEPYCRome, .amdEPYCMilan, .amdEPYCGenoa],
            [.x86_64_v4, .amdEPYCGenoa],
        ]
        for line in lines {
            for (older, newer) in zip(line, line.dropFirst()) {
                let lost = features(older).subtracting(features(newer))
                #expect(lost.isEmpty, "\(newer) lacks \(lost.features) of \(older)")
            }
        }
    }

    @Test("models are found by their names, which are unique")
    func names() {
        #expect(CPUModel(named: "amd-epyc-milan") == .amdEPYCMilan)
        #expect(CPUModel(named: "pentium") == nil)
        #expect(Set(CPUModel.all.map(\.name)).count == CPUModel.all.count)
    }

    @Test("feature words are where the manuals put them")
    func words() {
        #expect(features(.x86_64_v1)[.leaf1EDX] == 0x078B_FBFF)
        #expect(features(.x86_64_v1)[.extended1EDX] == 0x2010_0800)
        #expect(features(.x86_64_v2)[.leaf1ECX] == 0x0098_2201)
        #expect(features(.x86_64_v3)[.leaf7EBX] == 0x0000_01A9)
        #expect(CPUFeature(named: "avx512vl")?.bit == 31)
        #expect(Set(CPUFeature.all.map(\.name)).count == CPUFeature.all.count)
        #expect(Set(CPUFeature.all.map { $0.word.rawValue * 32 + Int($0.bit) }).count == CPUFeature.all.count)
    }

    @Test("a host that lacks something for a model is told what")
    func shortfall() {
        let milan = host(.amd, features(.amdEPYCMilan))
        for model in [CPUModel.host, .x86_64_v1, .x86_64_v3, .amdEPYC, .amdEPYCRome, .amdEPYCMilan] {
            #expect(model.shortfall(on: milan) == nil)
        }
        let genoa = CPUModel.amdEPYCGenoa.shortfall(on: milan)
        #expect(genoa?.vendor == nil)
        #expect(genoa?.features.map(\.name).contains("avx512f") == true)
        let intel = CPUModel.intelHaswell.shortfall(on: milan)
        #expect(
            intel?.description == "processor model intel-haswell: the host's processor is of another vendor (AMD)")
        var old = features(.x86_64_v2)
        old.set("popcnt", false)
        #expect(
            CPUModel.x86_64_v2.shortfall(on: host(.other, old))?.description
                == "processor model x86-64-v2: the host lacks popcnt")
    }
}

@Suite("Processor topology")
struct CPUTopologyTests {
    @Test("each level has its own bits of the APIC id")
    func identifiers() {
        #expect(CPUTopology(processors: 4).apicIDs == [0, 1, 2, 3])
        #expect(CPUTopology(processors: 6, coresPerSocket: 3).apicIDs == [0, 1, 2, 4, 5, 6])
        #expect(CPUTopology(processors: 8, coresPerSocket: 2, threadsPerCore: 2).apicIDs == Array(0..<8))
        #expect(CPUTopology(processors: 5, coresPerSocket: 1, threadsPerCore: 3).apicIDs == [0, 1, 2, 4, 5])
    }
}

@Suite("The leaves of a guest's processors")
struct GuestCPUIDTests {
    private let milan = host(.amd, features(.amdEPYCMilan))
    private let genoa = host(.amd, features(.amdEPYCGenoa))
    private let icelake = host(.intel, features(.intelIcelake))

    private func guest(
        _ supported: [CPUIDEntry], _ model: CPUModel, _ topology: CPUTopology = CPUTopology(processors: 1),
        _ change: (inout GuestCPUID.Options) -> Void = { _ in }
    ) -> GuestCPUID {
        var options = GuestCPUID.Options()
        change(&options)
        return GuestCPUID(supported: supported, model: model, topology: topology, options: options)
    }

    @Test("a model looks the same on an older and a newer host")
    func sameEverywhere() {
        #expect(guest(milan, .amdEPYC).entries(of: 0) == guest(genoa, .amdEPYC).entries(of: 0))
        let level = features(.x86_64_v3)
        for host in [milan, icelake] { #expect(level.subtracting(guest(host, .x86_64_v3).features).isEmpty) }
        // Beyond the level there is only what every model lets through.
        let more = guest(icelake, .x86_64_v3).features.subtracting(level).subtracting(CPUModel.passing)
        #expect(Set(more.features.map(\.name)) == ["hypervisor", "tsc_deadline_timer"])
    }

    @Test("the hypervisor, the deadline timer and the inverted bits are set, and what the guest may not have is clear")
    func policy() throws {
        for model in [CPUModel.host, .amdEPYCMilan] {
            let guest = guest(milan, model)
            for name in ["hypervisor", "tsc_deadline_timer", "x2apic", "fdp_excptn_only", "zero_fcs_fds", "sha_ni"] {
                #expect(guest.features.contains(try #require(CPUFeature(named: name))), "\(name)")
            }
            for name in ["svm", "perfctr_core", "pdcm", "osxsave", "rtm", "monitor", "arch_capabilities", "ht"] {
                #expect(!guest.features.contains(try #require(CPUFeature(named: name))), "\(name)")
            }
            let leaves = guest.entries(of: 0)
            #expect(leaves.leaf(0xA) == nil && leaves.leaf(0x14) == nil && leaves.leaf(0x8000_000A) == nil)
            #expect(leaves.leaf(0)?.eax == 0xD)
            #expect(leaves.leaf(0x8000_0000)?.eax == 0x8000_0021)
        }
        // Only the host model keeps what ties the guest to hosts like this one.
        #expect(guest(milan, .host).entries(of: 0).leaf(0x8000_0007)?.edx == 1 << 8)
        #expect(guest(milan, .amdEPYCMilan).entries(of: 0).leaf(0x8000_0007)?.edx == 0)
        #expect(guest(icelake, .intelIcelake).features.contains(try #require(CPUFeature(named: "arch_capabilities"))))
    }

    @Test("nested virtualisation, performance counters and a hidden hypervisor are options")
    func options() throws {
        let svm = try #require(CPUFeature(named: "svm"))
        let nested = guest(milan, .amdEPYC) { $0.nestedVirtualization = true }
        #expect(nested.features.contains(svm))
        #expect(nested.entries(of: 0).leaf(0x8000_000A)?.eax == 1)
        #expect(nested.entries(of: 0).hasVirtualization)
        let monitored = guest(milan, .host) { $0.performanceMonitoring = true }.entries(of: 0)
        #expect(monitored.leaf(0xA) != nil && monitored.leaf(0x8000_0022) != nil)
        let hidden = guest(milan, .host) { $0.hypervisorVisible = false }.entries(of: 0)
        #expect(hidden.leaf(0x4000_0000) == nil && (hidden.leaf(1)?.ecx ?? 0) >> 31 == 0)
        let timed = guest(milan, .host) { $0.timeStampFrequency = 2_400_000 }.entries(of: 0)
        #expect(timed.leaf(0x4000_0000)?.eax == 0x4000_0010)
        #expect(timed.leaf(0x4000_0010) == CPUIDEntry(leaf: 0x4000_0010, eax: 2_400_000, ebx: 1_000_000))
    }

    @Test("VMware's leaves come first where they are asked for, and KVM's are behind them")
    func vmwareLeaves() throws {
        let leaves = guest(milan, .host) {
            $0.interface = .vmware
            $0.timeStampFrequency = 2_400_000
        }.entries(of: 0)
        let first = try #require(leaves.leaf(0x4000_0000))
        #expect(first.eax == 0x4000_0010 && text(first) == "VMwareVMware")
        #expect(leaves.leaf(0x4000_0010) == CPUIDEntry(leaf: 0x4000_0010, eax: 2_400_000, ebx: 1_000_000))
        #expect(leaves.leaf(0x4000_0001) == nil)
        let second = try #require(leaves.leaf(0x4000_0100))
        #expect(second.eax == 0x4000_0101 && text(second) == "KVMKVMKVM\0\0\0")
        #expect(leaves.leaf(0x4000_0101)?.eax == 0x0100_7EFB)
        let hidden = guest(milan, .host) {
            $0.interface = .vmware
            $0.hypervisorVisible = false
        }.entries(of: 0)
        #expect(!hidden.contains { $0.leaf >> 28 == 4 })
    }

    @Test("Hyper-V's leaves have of KVM's what Windows uses here, and none of what is not served")
    func hyperVLeaves() throws {
        let offered = [
            CPUIDEntry(leaf: 0x4000_0000, eax: 0x4000_0082, ebx: 1, ecx: 2, edx: 3),
            CPUIDEntry(leaf: 0x4000_0002, eax: 0x3839, ebx: 0x000A_0000),
            CPUIDEntry(leaf: 0x4000_0003, eax: .max, ebx: .max, ecx: .max, edx: .max),
            CPUIDEntry(leaf: 0x4000_0004, eax: 1 << 2 | 1 << 14, ebx: .max),
            CPUIDEntry(leaf: 0x4000_0005, eax: 1024, ebx: 64), CPUIDEntry(leaf: 0x4000_000A, eax: .max),
            CPUIDEntry(leaf: 0x4000_0080, eax: .max),
        ]
        let leaves = guest(milan, .host) {
            $0.interface = .hyperV
            $0.hyperV = offered
        }.entries(of: 0)
        let first = try #require(leaves.leaf(0x4000_0000))
        #expect(first.eax == 0x4000_0005 && text(first) == "Microsoft Hv")
        #expect(leaves.leaf(0x4000_0001)?.eax == 0x3123_7648)
        #expect(leaves.leaf(0x4000_0002)?.eax == 0x3839)
        let abilities = try #require(leaves.leaf(0x4000_0003))
        // No reset (7), no guest crash (EDX 10), no privileges.
        #expect(abilities.eax == 0xA7F && abilities.ebx == 0 && abilities.edx == 1 << 8 | 1 << 19)
        // Relaxed timing and no AutoEOI on top; nested enlightenments off.
        #expect(leaves.leaf(0x4000_0004)?.eax == 1 << 2 | 1 << 5 | 1 << 9)
        #expect(leaves.leaf(0x4000_000A) == nil && leaves.leaf(0x4000_0080) == nil)
        #expect(leaves.leaf(0x4000_0100)?.eax == 0x4000_0101)
        // A KVM without them is itself.
        let plain = guest(milan, .host) { $0.interface = .hyperV }.entries(of: 0)
        #expect(plain.leaf(0x4000_0000).map(text) == "KVMKVMKVM\0\0\0" && plain.leaf(0x4000_0100) == nil)
    }

    private func text(_ entry: CPUIDEntry) -> String {
        let bytes = [entry.ebx, entry.ecx, entry.edx].flatMap { word in
            (0..<4).map { UInt8(truncatingIfNeeded: word >> (8 * UInt32($0))) }
        }
        return String(decoding: bytes, as: UTF8.self)
    }

    @Test("the vector state has the components of the model's features, and their size")
    func vectorState() {
        let zen = guest(milan, .amdEPYC).entries(of: 0)
        #expect(zen.leaf(0xD)?.eax == 0b111 && zen.leaf(0xD)?.ebx == 576 && zen.leaf(0xD)?.ecx == 832)
        #expect(zen.leaf(0xD, 1)?.eax == 0b0111 && zen.leaf(0xD, 1)?.ecx == 0)
        #expect(zen.leaf(0xD, 2) != nil && zen.leaf(0xD, 9) == nil && zen.leaf(0xD, 11) == nil)
        let full = guest(genoa, .amdEPYCGenoa).entries(of: 0)
        #expect(full.leaf(0xD)?.eax == 0x2E7 && full.leaf(0xD)?.ecx == 2440)
        #expect(full.leaf(0xD, 7)?.eax == 1024)
        // The host model keeps the supervisor's components.
        #expect(guest(milan, .host).entries(of: 0).leaf(0xD, 11) != nil)
        // Without XSAVE there is nothing to describe.
        let old = guest(milan, .x86_64_v2).entries(of: 0)
        #expect(old.leaf(0xD) == nil && old.leaf(0)?.eax == 0xB)
    }

    @Test("each processor of an AMD guest knows its core, its socket and what it shares")
    func amdTopology() {
        let guest = guest(milan, .amdEPYCMilan, CPUTopology(processors: 8, coresPerSocket: 2, threadsPerCore: 2))
        let last = guest.entries(of: 7)
        #expect(last.leaf(1).map { $0.ebx } == 0x0704_0800)
        #expect((last.leaf(1)?.edx ?? 0) >> 28 & 1 == 1)
        #expect((last.leaf(0x8000_0001)?.ecx ?? 0) >> 1 & 1 == 1)
        #expect(last.leaf(0xB, 0).map { [$0.eax, $0.ebx, $0.ecx, $0.edx] } == [1, 2, 0x100, 7])
        #expect(last.leaf(0xB, 1).map { [$0.eax, $0.ebx, $0.ecx, $0.edx] } == [2, 4, 0x201, 7])
        #expect(last.leaf(0xB, 2).map { [$0.eax, $0.ebx, $0.ecx, $0.edx] } == [0, 0, 2, 7])
        #expect(last.leaf(0x8000_0008).map { [$0.eax, $0.ecx, $0.edx] } == [0x3030, 0x2003, 0])
        #expect(last.leaf(0x8000_001E).map { [$0.eax, $0.ebx, $0.ecx] } == [7, 0x101, 1])
        // Bits 25 to 14: how many share it, minus one.
        #expect((0..<4).map { (last.leaf(0x8000_001D, $0)?.eax ?? 0) >> 14 } == [1, 1, 1, 3])
        #expect(last.leaf(0x8000_001D, 4)?.eax == 0)
        #expect(last.leaf(4) == nil && last.leaf(0x1F) == nil)
    }

    @Test("each processor of an Intel guest knows its core, its socket and what it shares")
    func intelTopology() {
        let guest = guest(icelake, .intelIcelake, CPUTopology(processors: 6, coresPerSocket: 3))
        let last = guest.entries(of: 5)
        #expect(last.leaf(1).map { $0.ebx } == 0x0604_0800)
        #expect(last.leaf(0xB, 1).map { [$0.eax, $0.ebx, $0.edx] } == [2, 3, 6])
        #expect(last.leaf(0x1F, 1)?.edx == 6)
        // Bits 31 to 26: core ids of a socket minus one; bits 25 to 14: how many share it, minus one.
        #expect((0..<4).map { (last.leaf(4, $0)?.eax ?? 0) >> 14 & 0xFFF } == [0, 0, 0, 3])
        #expect((last.leaf(4, 0)?.eax ?? 0) >> 26 == 3)
        #expect(last.leaf(0x8000_0008)?.ecx == 0)
        #expect(last.leaf(0x8000_001E) == nil)
    }

    @Test("a guest moves only where nothing is missing")
    func moving() {
        let guest = guest(milan, .amdEPYC).entries(of: 0)
        #expect(GuestCPUID.missing(for: guest, on: genoa).isEmpty)
        #expect(GuestCPUID.missing(for: guest, on: milan).isEmpty)
        let modern = self.guest(genoa, .amdEPYCGenoa).entries(of: 0)
        #expect(GuestCPUID.missing(for: modern, on: milan).features.map(\.name).contains("avx512f"))
    }

    @Test("a host that offers nothing gets leaves all the same")
    func emptyHost() {
        #expect(guest([], .amdEPYC).entries(of: 0).allSatisfy { $0.leaf != 0 })
        #expect(guest([], .amdEPYC).shortfall != nil)
    }
}

@Suite("The leaves on a real machine", .enabled(if: KVMSystem.isAvailable, skipReason))
struct RealCPUIDTests {
    @Test("KVM takes the leaves of a guest as they are", arguments: [CPUModel.host, .x86_64_v1])
    func accepted(model: CPUModel) throws {
        let system = try KVMSystem()
        let topology = CPUTopology(processors: 2, coresPerSocket: 2)
        let guest = GuestCPUID(supported: try system.supportedCPUID(), model: model, topology: topology)
        let machine = try VirtualMachine(system)
        // Some paravirtual KVMs show the guest all that the hardware has, whatever they are told.
        let bare = try VirtualCPU(machine, id: 2)
        try bare.setCPUID([CPUIDEntry(leaf: 0, eax: 1), CPUIDEntry(leaf: 1)])
        let isObeyed = CPUFeatureSet(try bare.cpuid())[.leaf1EDX] == 0
        for index in 0..<2 {
            let vcpu = try VirtualCPU(machine, id: topology.apicID(of: index))
            try vcpu.setCPUID(guest.entries(of: index))
            let taken = try vcpu.cpuid()
            #expect(taken.leaf(0xB)?.edx == UInt32(index))
            #expect(taken.leaf(1)?.ebx == guest.entries(of: index).leaf(1)?.ebx)
            if isObeyed { #expect(GuestCPUID.missing(for: taken, on: guest.entries(of: index)).isEmpty) }
        }
    }
}
