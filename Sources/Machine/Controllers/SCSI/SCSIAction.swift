public import DeviceModel

/// A stretch of blocks.
public struct SCSIRange: Equatable, Sendable, BitwiseCopyable {
    public var block: UInt64
    public var count: UInt64

    public init(block: UInt64, count: UInt64) {
        self.block = block
        self.count = count
    }
}

/// What a transport does for a command. Ranges are checked against the medium and in blocks of the unit.
public enum SCSIAction: Equatable, Sendable {
    /// Nothing: the command ended well.
    case good
    /// Hands these bytes to the initiator, already cut to what it asked for.
    case data([UInt8])
    /// Moves data between the initiator and the medium.
    case read(SCSIRange)
    case write(SCSIRange, durable: Bool)
    /// Puts what was written on stable storage.
    case flush
    /// Fetches that many bytes from the initiator, and goes on with `SCSIUnit.accept`.
    case fetch(Int, SCSIParameterList)
    /// Zeroes the range; the storage behind it may be freed.
    case zero(SCSIRange, mayUnmap: Bool)
    /// The ranges' contents are no longer needed.
    case discard([SCSIRange])
    /// The initiator wants the medium out.
    case eject
    /// The initiator wants a medium in.
    case load
    /// Ends with CHECK CONDITION and this sense.
    case failed(SCSISense)
}

/// What the bytes are that a command brings along.
public enum SCSIParameterList: Equatable, Sendable {
    case unmap
    case modes(isLong: Bool)
    /// The block that WRITE SAME repeats.
    case sameBlock(SCSIRange, mayUnmap: Bool)
}

extension SCSISense {
    /// What an initiator gets to see of a block request's end; nil if it ended well.
    public init?(_ status: BlockStatus, _ operation: BlockOperation) {
        switch status {
        case .done: return nil
        case .failed: self = operation == .read ? .readError : .writeError
        case .noSpace: self = .noSpace
        case .readOnly: self = .writeProtected
        case .outOfRange: self = .outOfRange
        case .unsupported:
            // A hint that the disk does not take does no harm.
            if operation == .discard { return nil }
            self = .invalidOpcode
        }
    }
}
