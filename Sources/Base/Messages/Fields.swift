import Bytes

/// A value that stands in a message as one or more fields.
public protocol MessageField {
    func write(to writer: inout FieldWriter)
    init(from reader: inout FieldReader) throws(MessageError)
}

/// Builds a payload.
public struct FieldWriter: Sendable {
    private var writer = ByteWriter()
    public init() {}
    public var bytes: [UInt8] { writer.bytes }

    public mutating func integer<T: FixedWidthInteger>(_ value: T) { writer.little(value) }
    public mutating func raw(_ bytes: some Sequence<UInt8>) { writer.append(bytes) }
    public mutating func write(_ value: some MessageField) { value.write(to: &self) }
}

/// Takes a payload apart; every field is checked.
public struct FieldReader: Sendable {
    private let bytes: [UInt8]
    private var offset = 0

    public init(_ bytes: [UInt8]) { self.bytes = bytes }

    public mutating func integer<T: FixedWidthInteger>(_ type: T.Type = T.self) throws(MessageError) -> T {
        let size = MemoryLayout<T>.size
        guard bytes.count - offset >= size else { throw .truncated }
        var value: T = 0
        for index in (0..<size).reversed() { value = value << 8 | T(truncatingIfNeeded: bytes[offset + index]) }
        offset += size
        return value
    }

    public mutating func raw(_ count: Int) throws(MessageError) -> [UInt8] {
        guard count >= 0, bytes.count - offset >= count else { throw .truncated }
        defer { offset += count }
        return Array(bytes[offset..<offset + count])
    }

    public mutating func read<T: MessageField>(_ type: T.Type = T.self) throws(MessageError) -> T {
        try T(from: &self)
    }

    /// Says that all fields were read.
    public func finish() throws(MessageError) {
        if offset != bytes.count { throw .trailing(bytes.count - offset) }
    }
}

extension UInt8: MessageField {}
extension UInt16: MessageField {}
extension UInt32: MessageField {}
extension UInt64: MessageField {}
extension Int64: MessageField {}

extension FixedWidthInteger where Self: MessageField {
    public func write(to writer: inout FieldWriter) { writer.integer(self) }
    public init(from reader: inout FieldReader) throws(MessageError) { self = try reader.integer(Self.self) }
}

extension Bool: MessageField {
    public func write(to writer: inout FieldWriter) { writer.integer(self ? UInt8(1) : 0) }
    public init(from reader: inout FieldReader) throws(MessageError) {
        let value = try reader.integer(UInt8.self)
        guard value <= 1 else { throw .unknownValue(UInt64(value)) }
        self = value == 1
    }
}

extension String: MessageField {
    public func write(to writer: inout FieldWriter) {
        let bytes = Array(utf8)
        writer.integer(UInt32(truncatingIfNeeded: bytes.count))
        writer.raw(bytes)
    }
    public init(from reader: inout FieldReader) throws(MessageError) {
        let count = try reader.integer(UInt32.self)
        let bytes = try reader.raw(Int(count))
        guard let text = String(validating: bytes, as: UTF8.self) else { throw .notText }
        self = text
    }
}

extension Array: MessageField where Element: MessageField {
    public func write(to writer: inout FieldWriter) {
        writer.integer(UInt32(truncatingIfNeeded: count))
        for element in self { element.write(to: &writer) }
    }
    public init(from reader: inout FieldReader) throws(MessageError) {
        let count = try reader.integer(UInt32.self)
        self = []
        // No reservation: the count is the peer's claim, the elements must really come.
        for _ in 0..<count { append(try Element(from: &reader)) }
    }
}

extension Optional: MessageField where Wrapped: MessageField {
    public func write(to writer: inout FieldWriter) {
        switch self {
        case .some(let value):
            writer.write(true)
            writer.write(value)
        case .none: writer.write(false)
        }
    }
    public init(from reader: inout FieldReader) throws(MessageError) {
        self = try reader.read(Bool.self) ? try reader.read(Wrapped.self) : nil
    }
}

extension MessageField where Self: RawRepresentable, RawValue: MessageField & FixedWidthInteger {
    public func write(to writer: inout FieldWriter) { writer.write(rawValue) }
    public init(from reader: inout FieldReader) throws(MessageError) {
        let raw = try reader.read(RawValue.self)
        guard let value = Self(rawValue: raw) else { throw .unknownValue(UInt64(truncatingIfNeeded: raw)) }
        self = value
    }
}
