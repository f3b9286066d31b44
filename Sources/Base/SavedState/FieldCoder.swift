/// A value with a list of fields in a fixed order, which is both how it is written and how it is read.
public protocol FieldCoded {
    init()
    mutating func code(_ coder: inout FieldCoder)
}

/// Writes or reads a list of fields, little-endian and without padding.
///
/// One list serves both ways, so that they cannot differ. Reading foreign bytes stops at the first mistake: fields
/// after it keep what they had, and the mistake is reported at the end. So whoever reads looks at `failure` before using what it
/// read, and checks what a type does not say: ranges, and numbers that index something.
public struct FieldCoder {
    /// What is written, or to be read.
    public private(set) var bytes: [UInt8]
    private var offset = 0
    public let isReading: Bool
    /// The first mistake in what is read, or why what is written cannot be.
    public private(set) var failure: String?
    /// The version of the list; fields that came later are coded for later versions only.
    public let version: UInt32
    /// When reading: nanoseconds that went by since the state was taken, for clocks that shall show it.
    public let elapsed: UInt64
    /// The field at hand, for messages.
    private var name: StaticString = ""

    private init(bytes: [UInt8], isReading: Bool, version: UInt32, elapsed: UInt64 = 0) {
        self.bytes = bytes
        self.isReading = isReading
        self.version = version
        self.elapsed = elapsed
    }

    /// Begins to write fields of a version.
    public init(writing version: UInt32) { self.init(bytes: [], isReading: false, version: version) }

    /// Begins to read fields of a version.
    ///
    /// - Parameter elapsed: nanoseconds since they were written.
    public init(reading bytes: [UInt8], version: UInt32, elapsed: UInt64 = 0) {
        self.init(bytes: bytes, isReading: true, version: version, elapsed: elapsed)
    }

    /// The value's bytes: a version, then its fields.
    public static func encode(_ value: some FieldCoded, version: UInt32) -> [UInt8] {
        var coder = FieldCoder(writing: version)
        var (value, versionField) = (value, version)
        coder.field(&versionField)
        value.code(&coder)
        return coder.bytes
    }

    /// A value from its bytes, all of which must be used.
    ///
    /// - Parameters:
    ///   - newest: the newest version that this program knows.
    ///   - what: whose bytes they are, for messages.
    public static func decode<Value: FieldCoded>(
        _ bytes: [UInt8], newest: UInt32, _ what: String
    ) throws(StateError) -> Value {
        var head = FieldCoder(reading: bytes, version: 0)
        var version: UInt32 = 0
        head.field(&version)
        if head.failure == nil, version == 0 || version > newest {
            throw .futureVersion(section: what, version: version, newest: newest)
        }
        var coder = FieldCoder(reading: bytes, version: version)
        coder.field(&version)
        var value = Value()
        value.code(&coder)
        try coder.finish(what)
        return value
    }

    /// Ends reading: all bytes must be used, and nothing may be wrong with them. Ends writing, too.
    ///
    /// - Parameter section: whose fields they are, for messages.
    public mutating func finish(_ section: String) throws(StateError) {
        name = ""
        let excess = isReading ? bytes.count - offset : 0
        check(excess == 0, "\(excess) bytes are left over")
        guard let failure else { return }
        throw isReading ? .badField(section: section, failure) : .cannotSave(section: section, failure)
    }

    /// Notes a mistake in what is read, or a reason why it cannot be written.
    public mutating func fail(_ reason: @autoclosure () -> String) {
        guard failure == nil else { return }
        let field = name.utf8CodeUnitCount == 0 ? "" : "\(name): "
        failure = isReading ? "\(field)\(reason()) at byte \(offset)" : reason()
    }

    /// Notes a mistake in what is read unless a condition holds.
    public mutating func check(_ condition: Bool, _ reason: @autoclosure () -> String) {
        if isReading, failure == nil, !condition { fail(reason()) }
    }

    /// - Parameter name: the field's name, for messages.
    public mutating func field<Integer: FixedWidthInteger>(_ value: inout Integer, _ name: StaticString = "") {
        let size = MemoryLayout<Integer>.size
        guard isReading else {
            for index in 0..<size { bytes.append(UInt8(truncatingIfNeeded: value >> (8 * index))) }
            return
        }
        guard failure == nil else { return }
        self.name = name
        guard size <= bytes.count - offset else { return fail("\(size) bytes are missing") }
        var result: Integer = 0
        for index in 0..<size { result |= Integer(truncatingIfNeeded: bytes[offset + index]) << (8 * index) }
        value = result
        offset += size
    }

    public mutating func field(_ value: inout Bool, _ name: StaticString = "") {
        var byte: UInt8 = value ? 1 : 0
        field(&byte, name)
        check(byte <= 1, "a truth value is \(byte)")
        value = byte == 1
    }

    public mutating func field(_ value: inout some FieldCoded) { value.code(&self) }

    /// A presence byte, then the value if there is one.
    public mutating func optional<Value: FieldCoded>(_ value: inout Value?) {
        var present = value != nil
        field(&present)
        guard failure == nil else { return }
        guard present else {
            value = nil
            return
        }
        var content = value ?? Value()
        content.code(&self)
        value = content
    }

    /// A presence byte, then the integer, which is zero if there is none.
    public mutating func optional<Integer: FixedWidthInteger>(_ value: inout Integer?, _ name: StaticString = "") {
        var (present, content) = (value != nil, value ?? 0)
        field(&present, name)
        field(&content, name)
        guard failure == nil else { return }
        value = present ? content : nil
    }

    /// As many values as there are, without a count.
    public mutating func fixed<Value: FieldCoded>(_ values: inout [Value]) {
        for index in values.indices { values[index].code(&self) }
    }

    /// As many integers as there are, without a count.
    public mutating func fixed<Integer: FixedWidthInteger>(_ values: inout [Integer], _ name: StaticString = "") {
        for index in values.indices { field(&values[index], name) }
    }

    /// A count, then the values.
    public mutating func list<Value: FieldCoded>(_ values: inout [Value], limit: Int, _ name: StaticString = "") {
        guard let count = count(of: values.count, limit: limit, name) else { return }
        if values.count != count { values = [Value](repeating: Value(), count: count) }
        for index in values.indices where failure == nil { values[index].code(&self) }
    }

    /// A count, then the integers.
    public mutating func list<Integer: FixedWidthInteger>(
        _ values: inout [Integer], limit: Int, _ name: StaticString = ""
    ) {
        guard let count = count(of: values.count, limit: limit, name) else { return }
        if values.count != count { values = [Integer](repeating: 0, count: count) }
        for index in values.indices where failure == nil { field(&values[index], name) }
    }

    /// A count, then the bytes.
    public mutating func blob(_ values: inout [UInt8], limit: Int, _ name: StaticString = "") {
        guard let count = count(of: values.count, limit: limit, name) else { return }
        if isReading {
            guard count <= bytes.count - offset else { return fail("\(count) bytes are missing") }
            values = Array(bytes[offset..<offset + count])
            offset += count
        } else {
            bytes += values
        }
    }

    /// Text as its UTF-8 bytes, counted.
    ///
    /// - Parameter limit: the most bytes it may have.
    public mutating func text(_ value: inout String, limit: Int, _ name: StaticString = "") {
        var content = Array(value.utf8)
        blob(&content, limit: limit, name)
        guard isReading, failure == nil else { return }
        guard let text = String(validating: content, as: UTF8.self) else { return fail("it is no text") }
        value = text
    }

    private mutating func count(of actual: Int, limit: Int, _ name: StaticString) -> Int? {
        var count = UInt32(clamping: actual)
        field(&count, name)
        check(Int(count) <= limit, "\(count) entries exceed \(limit)")
        return failure == nil ? Int(count) : nil
    }
}
