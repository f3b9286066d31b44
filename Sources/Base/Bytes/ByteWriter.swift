/// Builds a byte sequence field by field, as formats on disk, in guest memory and on the wire are laid out.
public struct ByteWriter: Sendable {
    /// What was written so far.
    public private(set) var bytes: [UInt8] = []

    public init() {}

    public var count: Int { bytes.count }

    public mutating func little<T: FixedWidthInteger>(_ value: T) {
        for index in 0..<MemoryLayout<T>.size { bytes.append(UInt8(truncatingIfNeeded: value >> (8 * index))) }
    }

    public mutating func big<T: FixedWidthInteger>(_ value: T) {
        for index in (0..<MemoryLayout<T>.size).reversed() {
            bytes.append(UInt8(truncatingIfNeeded: value >> (8 * index)))
        }
    }

    public mutating func append(_ other: some Sequence<UInt8>) { bytes.append(contentsOf: other) }

    /// Writes `text` in exactly `width` bytes: cut if longer, filled up if shorter.
    public mutating func text(_ text: String, width: Int, fill: UInt8 = 0) {
        let cut = Array(text.utf8.prefix(width))
        bytes.append(contentsOf: cut)
        bytes.append(contentsOf: repeatElement(fill, count: width - cut.count))
    }

    public mutating func zeros(_ count: Int) { bytes.append(contentsOf: repeatElement(0, count: count)) }

    /// Fills up with zeros to the next multiple of `alignment`.
    public mutating func align(to alignment: Int) {
        let excess = bytes.count % alignment
        if excess != 0 { zeros(alignment - excess) }
    }

    /// Overwrites what stands at `offset` with a little-endian integer, such as a length known only later.
    ///
    /// - Precondition: the integer lies inside what was written.
    public mutating func patch<T: FixedWidthInteger>(at offset: Int, little value: T) {
        precondition(offset >= 0 && offset + MemoryLayout<T>.size <= bytes.count, "patch outside the bytes")
        for index in 0..<MemoryLayout<T>.size {
            bytes[offset + index] = UInt8(truncatingIfNeeded: value >> (8 * index))
        }
    }
}
