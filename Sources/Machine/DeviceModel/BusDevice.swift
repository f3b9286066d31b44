public import SavedState

/// A device the guest reaches through ports or memory-mapped registers. Devices subclass it.
///
/// It does not know its address: it gets the region (which of its ranges, numbered by whoever mapped it) and the offset
/// in it. Called on vCPU threads, several at once; the device guards its own state.
///
/// A class and not a protocol, so that a vCPU can call it through an unowned reference: an access counts no references.
open class BusDevice: StateHolder, @unchecked Sendable {
    // @unchecked: has no state; subclasses guard theirs.

    public init() {}

    /// Reads 1, 2, 4 or 8 bytes, little-endian, in the low bits. What does not exist reads as all ones.
    open func read(region: Int, offset: UInt64, width: Int) -> UInt64 { allOnes(width: width) }

    /// Writes the low 1, 2, 4 or 8 bytes of `value`. Writes to what does not exist are dropped.
    open func write(region: Int, offset: UInt64, width: Int, value: UInt64) {}

    // MARK: Saved state

    /// Nil: a machine with this device can be neither suspended nor moved. A device that has nothing to save says 1.
    open var stateVersion: UInt32? { nil }

    open func saveState(_ coder: inout FieldCoder) {}

    open func restoreState(_ coder: inout FieldCoder) {}

    /// The parts that its state is saved in, one section each, in the order in which they are restored. A section's name is the
    /// device's with the suffix.
    open var stateParts: [(suffix: String, part: any StateHolder)] { [("", self)] }
}

/// All ones in the low `width` bytes: what a bus without a responder returns.
@inlinable public func allOnes(width: Int) -> UInt64 {
    width >= 8 ? .max : (1 << (UInt64(truncatingIfNeeded: width) &* 8)) &- 1
}
