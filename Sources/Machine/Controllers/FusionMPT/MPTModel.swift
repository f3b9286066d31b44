/// Which of LSI Logic's controllers it is.
public enum MPTModel: Sendable {
    /// The parallel 53C1030, VMware's `lsilogic`.
    case parallel
    /// SAS1068, VMware's `lsisas1068`.
    case sas

    static let vendor: UInt16 = 0x1000
    /// As VMware's say whose they are.
    static let subsystemVendor: UInt16 = 0x15ad
    static let subsystem: UInt16 = 0x1976

    var device: UInt16 { self == .parallel ? 0x0030 : 0x0054 }
    var revision: UInt8 { 1 }
    /// Base class 01 (mass storage), subclass 00 (SCSI) or 07 (Serial Attached SCSI).
    var classCode: UInt32 { self == .parallel ? 0x01_00_00 : 0x01_07_00 }
    /// Product identifier of the firmware: type in 15:12, initiator in 11:8, family (1030C0, 1068) in 7:0.
    var product: UInt16 { self == .parallel ? 0x0104 : 0x2102 }
    /// Port type of the port facts.
    var portType: UInt8 { self == .parallel ? 0x01 : 0x30 }
    var name: String { self == .parallel ? "LSI53C1030" : "LSISAS1068" }
}
