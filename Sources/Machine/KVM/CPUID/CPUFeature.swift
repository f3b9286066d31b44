/// One feature bit of the CPUID instruction, by the name that Linux gives it in `/proc/cpuinfo`.
public struct CPUFeature: Hashable, Sendable, CustomStringConvertible {
    /// A register of feature bits.
    public enum Word: Int, Hashable, Sendable, CaseIterable {
        case leaf1ECX, leaf1EDX, leaf6EAX, leaf7EBX, leaf7ECX, leaf7EDX, leaf7Sub1EAX, leaf7Sub1EDX, leaf7Sub2EDX
        case leafDSub1EAX
        case extended1ECX, extended1EDX, extended7EDX, extended8EBX, extended21EAX
        case kvmEAX
    }

    public let word: Word
    /// 0 to 31.
    public let bit: UInt8
    public let name: String

    public var description: String { name }

    private init(_ word: Word, _ bit: UInt8, _ name: String) {
        self.word = word
        self.bit = bit
        self.name = name
    }

    private static func list(_ word: Word, _ names: [(UInt8, String)]) -> [CPUFeature] {
        names.map { CPUFeature(word, $0.0, $0.1) }
    }

    /// Every feature that has a name here (Intel SDM volume 2, CPUID; AMD APM volume 3, appendix E).
    public static let all: [CPUFeature] =
        list(
            .leaf1EDX,
            [
                (0, "fpu"), (1, "vme"), (2, "de"), (3, "pse"), (4, "tsc"), (5, "msr"), (6, "pae"), (7, "mce"),
                (8, "cx8"),
                (9, "apic"), (11, "sep"), (12, "mtrr"), (13, "pge"), (14, "mca"), (15, "cmov"), (16, "pat"),
                (17, "pse36"), (19, "clflush"), (23, "mmx"), (24, "fxsr"), (25, "sse"), (26, "sse2"), (27, "ss"),
                (28, "ht"),
            ])
        + list(
            .leaf1ECX,
            [
                (0, "sse3"), (1, "pclmulqdq"), (3, "monitor"), (5, "vmx"), (9, "ssse3"), (12, "fma"), (13, "cx16"),
                (15, "pdcm"), (17, "pcid"), (19, "sse4_1"), (20, "sse4_2"), (21, "x2apic"), (22, "movbe"),
                (23, "popcnt"), (24, "tsc_deadline_timer"), (25, "aes"), (26, "xsave"), (27, "osxsave"), (28, "avx"),
                (29, "f16c"), (30, "rdrand"), (31, "hypervisor"),
            ])
        + list(.leaf6EAX, [(2, "arat")])
        + list(
            .leaf7EBX,
            [
                (0, "fsgsbase"), (1, "tsc_adjust"), (2, "sgx"), (3, "bmi1"), (4, "hle"), (5, "avx2"),
                (6, "fdp_excptn_only"), (7, "smep"), (8, "bmi2"), (9, "erms"), (10, "invpcid"), (11, "rtm"),
                (13, "zero_fcs_fds"), (14, "mpx"), (16, "avx512f"), (17, "avx512dq"), (18, "rdseed"), (19, "adx"),
                (20, "smap"), (21, "avx512ifma"), (23, "clflushopt"), (24, "clwb"), (25, "intel_pt"), (28, "avx512cd"),
                (29, "sha_ni"), (30, "avx512bw"), (31, "avx512vl"),
            ])
        + list(
            .leaf7ECX,
            [
                (1, "avx512vbmi"), (2, "umip"), (3, "pku"), (4, "ospke"), (5, "waitpkg"), (6, "avx512_vbmi2"),
                (7, "shstk"), (8, "gfni"), (9, "vaes"), (10, "vpclmulqdq"), (11, "avx512_vnni"), (12, "avx512_bitalg"),
                (14, "avx512_vpopcntdq"), (16, "la57"), (22, "rdpid"), (24, "bus_lock_detect"), (25, "cldemote"),
                (27, "movdiri"), (28, "movdir64b"), (30, "sgx_lc"),
            ])
        + list(
            .leaf7EDX,
            [
                (4, "fsrm"), (8, "avx512_vp2intersect"), (10, "md_clear"), (14, "serialize"), (16, "tsxldtrk"),
                (20, "ibt"), (22, "amx_bf16"), (23, "avx512_fp16"), (24, "amx_tile"), (25, "amx_int8"),
                (26, "spec_ctrl"), (27, "intel_stibp"), (28, "flush_l1d"), (29, "arch_capabilities"),
                (30, "core_capabilities"), (31, "spec_ctrl_ssbd"),
            ])
        + list(
            .leaf7Sub1EAX,
            [
                (4, "avx_vnni"), (5, "avx512_bf16"), (10, "fzrm"), (11, "fsrs"), (12, "fsrc"), (21, "amx_fp16"),
                (23, "avx_ifma"),
            ])
        + list(
            .leaf7Sub2EDX,
            [
                (0, "intel_psfd"), (1, "ipred_ctrl"), (2, "rrsba_ctrl"), (3, "ddpd_u"), (4, "bhi_ctrl"), (5, "mcdt_no"),
            ])
        + list(.leafDSub1EAX, [(0, "xsaveopt"), (1, "xsavec"), (2, "xgetbv1"), (3, "xsaves"), (4, "xfd")])
        + list(
            .extended1EDX,
            [
                (11, "syscall"), (20, "nx"), (22, "mmxext"), (25, "fxsr_opt"), (26, "pdpe1gb"), (27, "rdtscp"),
                (29, "lm"),
            ])
        + list(
            .extended1ECX,
            [
                (0, "lahf_lm"), (1, "cmp_legacy"), (2, "svm"), (4, "cr8_legacy"), (5, "abm"), (6, "sse4a"),
                (7, "misalignsse"), (8, "3dnowprefetch"), (9, "osvw"), (11, "xop"), (16, "fma4"), (21, "tbm"),
                (22, "topoext"), (23, "perfctr_core"), (24, "perfctr_nb"), (28, "perfctr_llc"),
            ])
        + list(.extended7EDX, [(8, "invtsc")])
        + list(
            .extended8EBX,
            [
                (0, "clzero"), (2, "xsaveerptr"), (9, "wbnoinvd"), (12, "ibpb"), (14, "ibrs"), (15, "stibp"),
                (16, "ibrs_always"), (17, "stibp_always"), (18, "ibrs_preferred"), (19, "ibrs_same_mode"), (24, "ssbd"),
                (25, "virt_ssbd"), (26, "ssb_no"), (28, "psfd"), (29, "btc_no"), (30, "ibpb_ret"),
            ])
        + list(
            .extended21EAX,
            [
                (0, "no_nested_data_bp"), (2, "lfence_rdtsc"), (6, "null_sel_clr_base"), (8, "autoibrs"), (27, "sbpb"),
                (28, "ibpb_brtype"), (29, "srso_no"),
            ])

    private static let byName = Dictionary(uniqueKeysWithValues: all.map { ($0.name, $0) })

    /// A feature by its name; nil if it has none here.
    public init?(named name: String) {
        guard let feature = Self.byName[name] else { return nil }
        self = feature
    }
}

extension CPUFeature.Word {
    /// Where it is found.
    var leaf: UInt32 {
        switch self {
        case .leaf1ECX, .leaf1EDX: 1
        case .leaf6EAX: 6
        case .leaf7EBX, .leaf7ECX, .leaf7EDX, .leaf7Sub1EAX, .leaf7Sub1EDX, .leaf7Sub2EDX: 7
        case .leafDSub1EAX: 0xD
        case .extended1ECX, .extended1EDX: 0x8000_0001
        case .extended7EDX: 0x8000_0007
        case .extended8EBX: 0x8000_0008
        case .extended21EAX: 0x8000_0021
        case .kvmEAX: 0x4000_0001
        }
    }

    var subleaf: UInt32 {
        switch self {
        case .leaf7Sub1EAX, .leaf7Sub1EDX, .leafDSub1EAX: 1
        case .leaf7Sub2EDX: 2
        default: 0
        }
    }

    /// Its register in an entry.
    func value(in entry: CPUIDEntry) -> UInt32 {
        switch self {
        case .leaf6EAX, .leaf7Sub1EAX, .leafDSub1EAX, .extended21EAX, .kvmEAX: entry.eax
        case .leaf7EBX, .extended8EBX: entry.ebx
        case .leaf1ECX, .leaf7ECX, .extended1ECX: entry.ecx
        case .leaf1EDX, .leaf7EDX, .leaf7Sub1EDX, .leaf7Sub2EDX, .extended1EDX, .extended7EDX: entry.edx
        }
    }

    func set(_ value: UInt32, in entry: inout CPUIDEntry) {
        switch self {
        case .leaf6EAX, .leaf7Sub1EAX, .leafDSub1EAX, .extended21EAX, .kvmEAX: entry.eax = value
        case .leaf7EBX, .extended8EBX: entry.ebx = value
        case .leaf1ECX, .leaf7ECX, .extended1ECX: entry.ecx = value
        case .leaf1EDX, .leaf7EDX, .leaf7Sub1EDX, .leaf7Sub2EDX, .extended1EDX, .extended7EDX: entry.edx = value
        }
    }
}
