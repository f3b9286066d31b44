/// The registers that the backdoor takes and gives, the low 32 bits of each.
public struct BackdoorRegisters: Equatable, Sendable {
    /// `Backdoor.magic` where the guest means the backdoor; the answer's first value.
    public var eax: UInt32
    public var ebx: UInt32
    /// The command in the low half, a sub-command in the high half.
    public var ecx: UInt32
    /// The port in the low half, a channel in the high half.
    public var edx: UInt32
    public var esi: UInt32
    public var edi: UInt32

    public init(
        eax: UInt32 = 0, ebx: UInt32 = 0, ecx: UInt32 = 0, edx: UInt32 = 0, esi: UInt32 = 0, edi: UInt32 = 0
    ) {
        self.eax = eax
        self.ebx = ebx
        self.ecx = ecx
        self.edx = edx
        self.esi = esi
        self.edi = edi
    }
}

extension UInt32 {
    var lowHalf: UInt16 { UInt16(truncatingIfNeeded: self) }

    /// The upper sixteen bits, where the backdoor keeps sub-commands, states and channels.
    var highHalf: UInt16 {
        get { UInt16(truncatingIfNeeded: self >> 16) }
        set { self = self & 0xffff | UInt32(newValue) << 16 }
    }
}
