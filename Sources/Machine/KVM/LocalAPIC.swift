import CLinux

/// The registers of a local APIC: the page that the guest sees at 0xFEE00000 (Intel SDM volume 3, section 11.4.1), of
/// which KVM keeps the first 1024 bytes.
public struct LocalAPIC: Hashable, Sendable {
    /// How many bytes there are.
    public static let byteCount = 1024

    /// Registers of the APIC, by offset.
    public enum Register: Int, Sendable {
        case id = 0x20
        case spurious = 0xF0
        case lint0 = 0x350
        case lint1 = 0x360
    }

    /// Always `byteCount` long.
    public private(set) var bytes: [UInt8]

    /// Takes over a page; nil unless it is `byteCount` long.
    public init?(_ bytes: [UInt8]) {
        guard bytes.count == Self.byteCount else { return nil }
        self.bytes = bytes
    }

    init(buffer: borrowing KernelBuffer) { bytes = buffer.bytes }

    /// A register of 32 bits.
    public subscript(register: Register) -> UInt32 {
        get { (0..<4).reduce(0) { $0 | UInt32(bytes[register.rawValue + $1]) << UInt32($1 * 8) } }
        set {
            for index in 0..<4 {
                bytes[register.rawValue + index] = UInt8(truncatingIfNeeded: newValue >> UInt32(index * 8))
            }
        }
    }
}

extension VirtualCPU {
    /// The local APIC. Needs interrupt controllers in the kernel.
    public func localAPIC() throws(KVMError) -> LocalAPIC {
        let buffer = KernelBuffer(count: LocalAPIC.byteCount)
        try kvmCall(raw, WAFER_KVM_GET_LAPIC, buffer, "read a vCPU's local APIC")
        return LocalAPIC(buffer: buffer)
    }

    /// Sets the local APIC. The APIC base register must be set before.
    public func setLocalAPIC(_ apic: LocalAPIC) throws(KVMError) {
        let buffer = KernelBuffer(apic.bytes, count: LocalAPIC.byteCount)
        try kvmCall(raw, WAFER_KVM_SET_LAPIC, buffer, "set a vCPU's local APIC")
    }

    /// Lets the PIC's interrupts and NMIs through the local APIC, as firmware leaves it: LINT0 is ExtINT, LINT1 is NMI,
    /// both unmasked (MultiProcessor Specification 1.4, section 3.6.2.2, virtual wire mode). For guests that boot
    /// without firmware.
    public func acceptLegacyInterrupts() throws(KVMError) {
        var apic = try localAPIC()
        // Delivery mode in bits 10 to 8.
        apic[.lint0] = 0b111 << 8
        apic[.lint1] = 0b100 << 8
        try setLocalAPIC(apic)
    }
}
