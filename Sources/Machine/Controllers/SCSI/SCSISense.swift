/// Why a command failed, or what the initiator should know (SPC-4, section 4.5): sense key, additional code, qualifier.
public struct SCSISense: Equatable, Sendable, BitwiseCopyable {
    public var key: UInt8
    public var code: UInt8
    public var qualifier: UInt8

    public init(_ key: UInt8, _ code: UInt8, _ qualifier: UInt8) {
        self.key = key
        self.code = code
        self.qualifier = qualifier
    }

    /// Length in bytes of sense data in fixed format.
    public static let size = 18

    public static let none = SCSISense(0x0, 0x00, 0x00)
    public static let mediumNotPresent = SCSISense(0x2, 0x3a, 0x00)
    public static let writeError = SCSISense(0x3, 0x0c, 0x00)
    public static let readError = SCSISense(0x3, 0x11, 0x00)
    public static let parameterListLength = SCSISense(0x5, 0x1a, 0x00)
    public static let invalidOpcode = SCSISense(0x5, 0x20, 0x00)
    public static let outOfRange = SCSISense(0x5, 0x21, 0x00)
    public static let invalidField = SCSISense(0x5, 0x24, 0x00)
    public static let logicalUnit = SCSISense(0x5, 0x25, 0x00)
    public static let invalidParameter = SCSISense(0x5, 0x26, 0x00)
    public static let savingNotSupported = SCSISense(0x5, 0x39, 0x00)
    public static let removalPrevented = SCSISense(0x5, 0x53, 0x02)
    /// The medium may have changed.
    public static let mediumChanged = SCSISense(0x6, 0x28, 0x00)
    public static let reset = SCSISense(0x6, 0x29, 0x00)
    public static let capacityChanged = SCSISense(0x6, 0x2a, 0x09)
    public static let writeProtected = SCSISense(0x7, 0x27, 0x00)
    /// The storage behind a disk is full.
    public static let noSpace = SCSISense(0x7, 0x27, 0x07)
    /// The data buffer is shorter than the command needs.
    public static let dataPhase = SCSISense(0xb, 0x4b, 0x00)

    /// Sense data in fixed format, for the present command (SPC-4, section 4.5.3).
    public var bytes: [UInt8] {
        var data = StructureBytes(count: Self.size)
        data.set(0, UInt8(0x70))
        data.set(2, key)
        data.set(7, UInt8(Self.size - 8))
        data.set(12, code)
        data.set(13, qualifier)
        return data.bytes
    }
}
