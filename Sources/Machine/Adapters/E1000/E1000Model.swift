/// Which of Intel's controllers a card is.
public enum E1000Model: CaseIterable, Sendable {
    /// 82545EM, on PCI: what `e1000` means to VMware.
    case e1000
    /// 82574L, on PCI Express with MSI-X: `e1000e`.
    case e1000e

    var device: UInt16 { self == .e1000 ? 0x100f : 0x10d3 }
    /// VMware's "PRO/1000 MT Single Port Adapter"; the 82574 goes by its own name there too.
    var subsystem: UInt16 { self == .e1000 ? 0x0750 : 0x07d0 }
    var revision: UInt8 { self == .e1000 ? 1 : 0 }
    var transmitQueues: Int { self == .e1000 ? 1 : 2 }
    /// How many MSI-X vectors the hardware has; zero for none.
    public var vectorCount: Int { self == .e1000 ? 0 : 5 }
    /// The two identifier registers of the PHY: Marvell 88E1011 and Intel's BM.
    var phyIdentifier: (UInt16, UInt16) { self == .e1000 ? (0x0141, 0x0c20) : (0x0141, 0x0cb1) }
    var portBar: Int { self == .e1000 ? 4 : 2 }
    var portCount: UInt64 { self == .e1000 ? 64 : 32 }
    var flashBar: Int { self == .e1000 ? 2 : 1 }
    var flashCount: UInt64 { self == .e1000 ? 0x10000 : 0x20000 }
    static let vectorBar = 3
}
