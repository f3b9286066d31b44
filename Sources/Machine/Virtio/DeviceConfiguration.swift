import DeviceModel

/// What a device's driver reads of its configuration: up to 64 bytes, numbers little-endian. Built and read without
/// allocating, since drivers read it by exits.
public struct DeviceConfiguration: Sendable {
    private var bytes = InlineArray<64, UInt8>(repeating: 0)
    public private(set) var count: Int

    /// - Parameter count: so many zeros to begin with; at most 64.
    public init(count: Int = 0) {
        precondition(count >= 0 && count <= 64, "a configuration has at most 64 bytes")
        self.count = count
    }

    /// Adds a number at the end.
    public mutating func append<T: FixedWidthInteger>(_ value: T) {
        let offset = count
        count += MemoryLayout<T>.size
        set(offset, value)
    }

    /// Writes a number over what is there.
    public mutating func set<T: FixedWidthInteger>(_ offset: Int, _ value: T) {
        precondition(offset >= 0 && offset + MemoryLayout<T>.size <= count, "not in the configuration")
        for index in 0..<MemoryLayout<T>.size {
            bytes[offset + index] = UInt8(truncatingIfNeeded: value >> T(8 * index))
        }
    }

    public subscript(offset: Int) -> UInt8 { bytes[offset] }

    /// What a driver reads at an offset; all ones outside.
    public func read(_ offset: Int, width: Int) -> UInt64 {
        guard offset >= 0, width > 0, width <= 8, offset <= count - width else { return allOnes(width: width) }
        var value: UInt64 = 0
        for index in (0..<width).reversed() { value = value << 8 | UInt64(bytes[offset + index]) }
        return value
    }
}
