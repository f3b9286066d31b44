/// A data structure of fixed size that a controller shows the guest: fields are set at their offsets, the rest is zero.
struct StructureBytes {
    private(set) var bytes: [UInt8]

    init(count: Int) { bytes = [UInt8](repeating: 0, count: count) }

    /// Sets a little-endian integer.
    ///
    /// - Precondition: it lies inside the structure.
    mutating func set<T: FixedWidthInteger>(_ offset: Int, _ value: T) {
        for index in 0..<MemoryLayout<T>.size {
            bytes[offset + index] = UInt8(truncatingIfNeeded: value >> (8 * index))
        }
    }

    /// Sets a big-endian integer.
    mutating func setBig<T: FixedWidthInteger>(_ offset: Int, _ value: T) { set(offset, value.byteSwapped) }

    /// Sets text of printable ASCII, cut or filled up with spaces to `width`; anything else becomes a question mark.
    mutating func set(_ offset: Int, text: String, width: Int, fill: UInt8 = 0x20) {
        let cut = text.utf8.prefix(width).map { $0 >= 0x20 && $0 < 0x7f ? $0 : UInt8(ascii: "?") }
        set(offset, cut + [UInt8](repeating: fill, count: width - cut.count))
    }

    mutating func set(_ offset: Int, _ value: [UInt8]) {
        for (index, byte) in value.enumerated() { bytes[offset + index] = byte }
    }
}
