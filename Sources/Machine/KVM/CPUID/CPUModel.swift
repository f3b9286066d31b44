/// Who made a processor; it decides what some leaves mean.
public enum CPUVendor: Hashable, Sendable, CustomStringConvertible {
    case intel
    /// AMD, and Hygon, whose processors are AMD's.
    case amd
    case other

    /// By leaf 0.
    public init(_ entries: [CPUIDEntry]) {
        let zero = entries.first { $0.leaf == 0 }
        // The first four letters of "GenuineIntel", "AuthenticAMD" and "HygonGenuine".
        switch zero?.ebx {
        case 0x756E_6547: self = .intel
        case 0x6874_7541, 0x6F67_7948: self = .amd
        default: self = .other
        }
    }

    public var description: String {
        switch self {
        case .intel: "Intel"
        case .amd: "AMD"
        case .other: "other"
        }
    }
}

/// What a guest's processors can do, so that the guest runs alike on all hosts that can do it.
///
/// As with VMware's EVC, a model masks feature bits and leaves the family, model, stepping and name of the host's
/// processor as they are: software chooses by feature bits. Masking does not stop a guest from executing an instruction
/// that the host has.
public struct CPUModel: Hashable, Sendable, CustomStringConvertible {
    public let name: String
    /// Nil for any.
    public let vendor: CPUVendor?
    /// What the model promises; nil for all that the host has.
    public let features: CPUFeatureSet?

    public var description: String { name }

    private init(_ name: String, _ vendor: CPUVendor?, _ features: CPUFeatureSet?) {
        self.name = name
        self.vendor = vendor
        self.features = features
    }

    /// A model that adds features to another.
    private func adding(_ name: String, _ vendor: CPUVendor? = nil, _ features: StaticString) -> CPUModel {
        CPUModel(name, vendor, (self.features ?? CPUFeatureSet()).union(CPUFeatureSet(features)))
    }

    /// All that the host has, including an invariant time-stamp counter. Moves only to hosts that have all of it, too.
    public static let host = CPUModel("host", nil, nil)

    /// Level 1 of the x86-64 psABI, and what every 64-bit processor has besides.
    public static let x86_64_v1 = CPUModel(
        "x86-64-v1", nil,
        CPUFeatureSet(
            """
            fpu vme de pse tsc msr pae mce cx8 apic sep mtrr pge mca cmov pat pse36 clflush mmx fxsr sse sse2 \
            syscall nx lm
            """))

    /// Level 2 of the psABI: Intel since Nehalem (2008), AMD since Bulldozer (2011).
    public static let x86_64_v2 = x86_64_v1.adding("x86-64-v2", nil, "sse3 ssse3 cx16 sse4_1 sse4_2 popcnt lahf_lm")

    /// Level 3 of the psABI, and what both Intel since Haswell (2013) and AMD since Zen (2017) have besides.
    public static let x86_64_v3 = x86_64_v2.adding(
        "x86-64-v3", nil,
        """
        xsave avx avx2 bmi1 bmi2 f16c fma abm movbe \
        aes pclmulqdq rdrand fsgsbase smep rdtscp pdpe1gb xsaveopt
        """)

    /// Level 4 of the psABI, and what both Intel since Skylake-SP (2017) and AMD since Zen 4 (2022) have besides.
    public static let x86_64_v4 = x86_64_v3.adding(
        "x86-64-v4", nil,
        """
        avx512f avx512bw avx512cd avx512dq avx512vl \
        adx rdseed smap clflushopt clwb pku erms invpcid pcid xsavec xgetbv1 3dnowprefetch
        """)

    /// Haswell (2013), without transactional memory, which later microcode takes away.
    public static let intelHaswell = x86_64_v3.adding("intel-haswell", .intel, "pcid invpcid erms")

    /// Skylake-SP (2017), without transactional memory and MPX.
    public static let intelSkylake = intelHaswell.adding(
        "intel-skylake", .intel,
        """
        adx rdseed smap clflushopt clwb pku xsavec xgetbv1 3dnowprefetch \
        avx512f avx512bw avx512cd avx512dq avx512vl
        """)

    /// Ice Lake-SP (2021).
    public static let intelIcelake = intelSkylake.adding(
        "intel-icelake", .intel,
        """
        avx512ifma avx512vbmi avx512_vbmi2 avx512_vnni avx512_bitalg avx512_vpopcntdq gfni vaes vpclmulqdq sha_ni \
        rdpid fsrm wbnoinvd
        """)

    /// Zen: EPYC 7001 (2017). Without XSAVES, which an erratum of Zen and Zen 2 takes away.
    public static let amdEPYC = x86_64_v3.adding(
        "amd-epyc", .amd,
        """
        adx rdseed smap clflushopt sha_ni xsavec xgetbv1 3dnowprefetch \
        cr8_legacy sse4a misalignsse topoext mmxext fxsr_opt clzero xsaveerptr
        """)

    /// Zen 2: EPYC 7002 (2019).
    public static let amdEPYCRome = amdEPYC.adding("amd-epyc-rome", .amd, "clwb rdpid wbnoinvd")

    /// Zen 3: EPYC 7003 (2021).
    public static let amdEPYCMilan = amdEPYCRome.adding(
        "amd-epyc-milan", .amd, "pcid invpcid pku vaes vpclmulqdq fsrm erms")

    /// Zen 4: EPYC 9004 (2022).
    public static let amdEPYCGenoa = amdEPYCMilan.adding(
        "amd-epyc-genoa", .amd,
        """
        avx512f avx512bw avx512cd avx512dq avx512vl avx512ifma avx512vbmi avx512_vbmi2 avx512_vnni avx512_bitalg \
        avx512_vpopcntdq avx512_bf16 gfni
        """)

    /// All models, each line of processors from the oldest to the newest.
    public static let all: [CPUModel] = [
        .host, .x86_64_v1, .x86_64_v2, .x86_64_v3, .x86_64_v4, .intelHaswell, .intelSkylake, .intelIcelake, .amdEPYC,
        .amdEPYCRome, .amdEPYCMilan, .amdEPYCGenoa,
    ]

    /// A model by its name; nil if there is none.
    public init?(named name: String) {
        guard let model = Self.all.first(where: { $0.name == name }) else { return nil }
        self = model
    }

    /// What no model promises and every model lets through where the host has it, because it depends on microcode and
    /// kernel rather than on the generation: defences against speculation, and help for running under a hypervisor.
    static let passing = CPUFeatureSet(
        """
        ss x2apic arat tsc_adjust umip fdp_excptn_only zero_fcs_fds \
        md_clear spec_ctrl intel_stibp flush_l1d arch_capabilities spec_ctrl_ssbd \
        intel_psfd ipred_ctrl rrsba_ctrl ddpd_u bhi_ctrl mcdt_no \
        ibpb ibrs stibp ibrs_always stibp_always ibrs_preferred ibrs_same_mode ssbd virt_ssbd ssb_no psfd btc_no \
        ibpb_ret no_nested_data_bp lfence_rdtsc null_sel_clr_base autoibrs sbpb ibpb_brtype srso_no
        """)

    /// Why a host cannot give what the model promises; nil if it can.
    ///
    /// - Parameter supported: what KVM offers on the host.
    public func shortfall(on supported: [CPUIDEntry]) -> Shortfall? {
        let hostVendor = CPUVendor(supported)
        let missing = (features ?? CPUFeatureSet()).subtracting(CPUFeatureSet(supported)).features
        let wrongVendor = vendor != nil && vendor != hostVendor
        guard wrongVendor || !missing.isEmpty else { return nil }
        return Shortfall(model: name, vendor: wrongVendor ? hostVendor : nil, features: missing)
    }

    /// What a host lacks for a model.
    public struct Shortfall: Hashable, Sendable, CustomStringConvertible {
        public let model: String
        /// The host's vendor, if it is the wrong one.
        public let vendor: CPUVendor?
        public let features: [CPUFeature]

        public var description: String {
            var reasons: [String] = []
            if let vendor { reasons.append("the host's processor is of another vendor (\(vendor))") }
            if !features.isEmpty { reasons.append("the host lacks \(features.map(\.name).joined(separator: ", "))") }
            return "processor model \(model): " + reasons.joined(separator: "; ")
        }
    }
}
