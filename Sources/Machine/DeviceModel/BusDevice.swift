/// A device the guest reaches through ports or memory-mapped registers. Devices subclass it.
///
/// It does not know its address: it gets the region (which of its ranges, numbered by whoever mapped it) and the offset
/// in it. Called on vCPU threads, several at once; the device guards its own state.
///
/// A class and not a protocol, so that a vCPU can call it through an unowned reference: an access counts no references.
open class BusDevice: @unchecked Sendable {
    // @unchecked: has no state; subclasses guard theirs.

    public init() {}

    /// Reads 1, 2, 4 or 8 bytes, little-endian, in the low bits. What does not exist reads as all ones.
    open func read(region: Int, offset: UInt64, width: Int) -> UInt64 { allOnes(width: width) }

    /// Writes the low 1, 2, 4 or 8 bytes of `value`. Writes to what does not exist are dropped.
    open func write(region: Int, offset: UInt64, width: Int, value: UInt64) {}
}

/// All ones in the low `width` bytes: what a bus without a responder returns.
@inlinable public func allOnes(width: Int) -> UInt64 {
    width >= 8 ? .max : (1 << (UInt64(truncatingIfNeeded: width) &* 8)) &- 1
}
