/// The input ended before the value it should hold, or an offset lies outside it.
public struct OutOfBounds: Error, Equatable, Sendable, CustomStringConvertible {
    /// Where the read began, in bytes from the start of the input.
    public var offset: Int
    /// How many bytes it needed.
    public var needed: Int
    /// How many bytes the input has.
    public var available: Int

    public init(offset: Int, needed: Int, available: Int) {
        self.offset = offset
        self.needed = needed
        self.available = available
    }

    public var description: String { "\(needed) bytes at offset \(offset) exceed the \(available) bytes there are" }
}

/// Reads integers and slices one after another from foreign bytes; every step is checked.
public struct ByteReader: ~Escapable {
    private let bytes: RawSpan
    /// Where the next read begins, in bytes from the start.
    public private(set) var offset = 0

    @_lifetime(copy bytes)
    public init(_ bytes: RawSpan) { self.bytes = bytes }

    @_lifetime(copy bytes)
    public init(_ bytes: Span<UInt8>) { unsafe self.bytes = bytes.bytes }

    /// How many bytes are left.
    public var remaining: Int { bytes.byteCount - offset }

    /// Continues at `offset`, counted from the start.
    @_lifetime(self: copy self)
    public mutating func seek(to offset: Int) throws(OutOfBounds) {
        guard offset >= 0, offset <= bytes.byteCount else {
            throw OutOfBounds(offset: offset, needed: 0, available: bytes.byteCount)
        }
        self.offset = offset
    }

    @_lifetime(self: copy self)
    public mutating func skip(_ count: Int) throws(OutOfBounds) { _ = try take(count) }

    /// Reads one little-endian integer.
    @_lifetime(self: copy self)
    public mutating func little<T: FixedWidthInteger & BitwiseCopyable>(_ type: T.Type = T.self) throws(OutOfBounds)
        -> T
    {
        let range = try take(MemoryLayout<T>.size)
        return unsafe T(littleEndian: bytes.unsafeLoadUnaligned(fromByteOffset: range.lowerBound, as: T.self))
    }

    /// Reads one big-endian integer.
    @_lifetime(self: copy self)
    public mutating func big<T: FixedWidthInteger & BitwiseCopyable>(_ type: T.Type = T.self) throws(OutOfBounds) -> T {
        let range = try take(MemoryLayout<T>.size)
        return unsafe T(bigEndian: bytes.unsafeLoadUnaligned(fromByteOffset: range.lowerBound, as: T.self))
    }

    /// The next `count` bytes, copied.
    @_lifetime(self: copy self)
    public mutating func array(_ count: Int) throws(OutOfBounds) -> [UInt8] {
        let range = try take(count)
        return unsafe bytes.extracting(range).withUnsafeBytes { unsafe Array($0) }
    }

    /// Checks that `count` bytes are left and steps over them.
    @_lifetime(self: copy self)
    private mutating func take(_ count: Int) throws(OutOfBounds) -> Range<Int> {
        guard count >= 0, count <= remaining else {
            throw OutOfBounds(offset: offset, needed: count, available: bytes.byteCount)
        }
        let start = offset
        offset += count
        return start..<offset
    }
}
