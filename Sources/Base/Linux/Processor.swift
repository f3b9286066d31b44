import CLinux

/// What the processor itself says it can do, whatever firmware and kernel made of it.
public enum Processor {
    /// Whether it has hardware virtualisation: VMX (Intel SDM, volume 2, CPUID leaf 1, ECX bit 5) or SVM (AMD APM, volume 3, CPUID
    /// Fn8000_0001, ECX bit 2).
    public static var hasVirtualisation: Bool {
        wafer_cpuid_ecx(1) >> 5 & 1 == 1 || wafer_cpuid_ecx(0x8000_0001) >> 2 & 1 == 1
    }
}
