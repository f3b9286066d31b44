/// A value with a list of fields in a fixed order, which is both how it is written and how it is read.
protocol FieldCoded {
    init()
    mutating func code(_ coder: inout FieldCoder)
}

/// Writes or reads a list of fields, little-endian and without padding.
///
/// One list serves both ways, so that they cannot differ. Reading foreign bytes stops at the first mistake: fields
/// after it keep what they had, and the mistake is reported at the end.
struct FieldCoder {
    /// What is written, or to be read.
    private(set) var bytes: [UInt8]
    private var offset = 0
    private let isReading: Bool
    /// The first mistake in what is read.
    private(set) var failure: String?
    /// The version of the list; fields that came later are coded for later versions only.
    let version: UInt32

    private init(bytes: [UInt8], isReading: Bool, version: UInt32) {
        self.bytes = bytes
        self.isReading = isReading
        self.version = version
    }

    /// The value's bytes: a version, then its fields.
    static func encode(_ value: some FieldCoded, version: UInt32) -> [UInt8] {
        var coder = FieldCoder(bytes: [], isReading: false, version: version)
        var (value, versionField) = (value, version)
        coder.field(&versionField)
        value.code(&coder)
        return coder.bytes
    }

    /// A value from its bytes, all of which must be used.
    ///
    /// - Parameter newest: the newest version that this program knows.
    static func decode<Value: FieldCoded>(_ bytes: [UInt8], newest: UInt32, _ what: StaticString) throws(KVMError)
        -> Value
    {
        var head = FieldCoder(bytes: bytes, isReading: true, version: 0)
        var version: UInt32 = 0
        head.field(&version)
        if head.failure == nil, version == 0 || version > newest {
            throw .badState("\(what): version \(version) is not known; the newest known is \(newest)")
        }
        var coder = FieldCoder(bytes: bytes, isReading: true, version: version)
        coder.field(&version)
        var value = Value()
        value.code(&coder)
        let excess = bytes.count - coder.offset
        coder.check(excess == 0, "\(excess) bytes are left over")
        if let failure = coder.failure { throw .badState("\(what): \(failure)") }
        return value
    }

    /// Notes a mistake in what is read.
    mutating func fail(_ reason: @autoclosure () -> String) {
        if failure == nil { failure = "\(reason()) at byte \(offset)" }
    }

    /// Notes a mistake in what is read unless a condition holds.
    mutating func check(_ condition: Bool, _ reason: @autoclosure () -> String) {
        if isReading, failure == nil, !condition { fail(reason()) }
    }

    mutating func field<Integer: FixedWidthInteger>(_ value: inout Integer) {
        let size = MemoryLayout<Integer>.size
        if isReading {
            guard failure == nil else { return }
            guard size <= bytes.count - offset else { return fail("\(size) bytes are missing") }
            var result: Integer = 0
            for index in 0..<size { result |= Integer(truncatingIfNeeded: bytes[offset + index]) << (8 * index) }
            value = result
            offset += size
        } else {
            for index in 0..<size { bytes.append(UInt8(truncatingIfNeeded: value >> (8 * index))) }
        }
    }

    mutating func field(_ value: inout Bool) {
        var byte: UInt8 = value ? 1 : 0
        field(&byte)
        check(byte <= 1, "a truth value is \(byte)")
        value = byte == 1
    }

    mutating func field(_ value: inout some FieldCoded) { value.code(&self) }

    /// A presence byte, then the value if there is one.
    mutating func optional<Value: FieldCoded>(_ value: inout Value?) {
        var present = value != nil
        field(&present)
        guard present, failure == nil else { return }
        var content = value ?? Value()
        content.code(&self)
        value = content
    }

    /// As many values as there are, without a count.
    mutating func fixed<Value: FieldCoded>(_ values: inout [Value]) {
        for index in values.indices { values[index].code(&self) }
    }

    /// As many integers as there are, without a count.
    mutating func fixed<Integer: FixedWidthInteger>(_ values: inout [Integer]) {
        for index in values.indices { field(&values[index]) }
    }

    /// A count, then the values.
    mutating func list<Value: FieldCoded>(_ values: inout [Value], limit: Int) {
        guard let count = count(of: values.count, limit: limit) else { return }
        if values.count != count { values = [Value](repeating: Value(), count: count) }
        for index in values.indices where failure == nil { values[index].code(&self) }
    }

    /// A count, then the bytes.
    mutating func blob(_ values: inout [UInt8], limit: Int) {
        guard let count = count(of: values.count, limit: limit) else { return }
        if isReading {
            guard count <= bytes.count - offset else { return fail("\(count) bytes are missing") }
            values = Array(bytes[offset..<offset + count])
            offset += count
        } else {
            bytes += values
        }
    }

    private mutating func count(of actual: Int, limit: Int) -> Int? {
        var count = UInt32(clamping: actual)
        field(&count)
        check(Int(count) <= limit, "\(count) entries exceed \(limit)")
        return failure == nil ? Int(count) : nil
    }
}
