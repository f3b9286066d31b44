/// Something that yields a value when evaluated (a TermArg, ACPI 6.5, 20.2.5): a constant, a variable or an operation.
struct AMLValue: Equatable, Sendable, ExpressibleByIntegerLiteral {
    /// The encoded term.
    let bytes: [UInt8]

    init(bytes: [UInt8]) { self.bytes = bytes }

    init(integerLiteral value: UInt64) { self = .integer(value) }
}

// Constants
extension AMLValue {
    static func integer(_ value: some UnsignedInteger) -> AMLValue {
        AMLValue(bytes: AMLEncoding.integer(UInt64(value)))
    }

    /// All bits set.
    static let ones = AMLValue(bytes: [0xff])

    /// - Precondition: ASCII without NUL.
    static func string(_ text: String) -> AMLValue {
        precondition(text.utf8.allSatisfy { (0x01...0x7f).contains($0) }, "an AML string is ASCII")
        return AMLValue(bytes: [0x0d] + text.utf8 + [0])
    }

    static func buffer(_ contents: [UInt8]) -> AMLValue {
        let size = AMLEncoding.integer(UInt64(contents.count))
        return AMLValue(bytes: AMLEncoding.package([0x11], size + contents))
    }

    /// - Precondition: at most 255 elements.
    static func package(_ elements: [AMLValue]) -> AMLValue {
        precondition(elements.count <= 255, "a package has at most 255 elements")
        return AMLValue(bytes: AMLEncoding.package([0x12], [UInt8(elements.count)] + elements.flatMap(\.bytes)))
    }

    static func package(_ elements: AMLValue...) -> AMLValue { .package(elements) }

    static func eisaIdentifier(_ text: String) -> AMLValue { .integer(AMLEncoding.eisaIdentifier(text)) }

    static func uuid(_ text: String) -> AMLValue { .buffer(AMLEncoding.uuid(text)) }

    static func resources(_ descriptors: AMLResource...) -> AMLValue { .resources(descriptors) }

    /// A resource template, ended by its end tag. A checksum of zero says that none was computed (6.4.2.9).
    static func resources(_ descriptors: [AMLResource]) -> AMLValue {
        .buffer(descriptors.flatMap(\.bytes) + [0x79, 0x00])
    }
}

// Variables and operations
extension AMLValue {
    static func name(_ name: AMLName) -> AMLValue { AMLValue(bytes: name.bytes) }

    /// Local variable 0 to 7 of the running method.
    static func local(_ index: UInt8) -> AMLValue { AMLValue(bytes: AMLTarget.local(index).bytes) }

    /// Argument 0 to 6 of the running method.
    static func argument(_ index: UInt8) -> AMLValue { AMLValue(bytes: AMLTarget.argument(index).bytes) }

    static func call(_ method: AMLName, _ arguments: AMLValue...) -> AMLValue {
        AMLValue(bytes: method.bytes + arguments.flatMap(\.bytes))
    }

    static func and(_ left: AMLValue, _ right: AMLValue) -> AMLValue { binary(0x7b, left, right) }
    static func or(_ left: AMLValue, _ right: AMLValue) -> AMLValue { binary(0x7d, left, right) }
    static func add(_ left: AMLValue, _ right: AMLValue) -> AMLValue { binary(0x72, left, right) }
    static func subtract(_ left: AMLValue, _ right: AMLValue) -> AMLValue { binary(0x74, left, right) }
    static func shiftLeft(_ value: AMLValue, by count: AMLValue) -> AMLValue { binary(0x79, value, count) }
    static func shiftRight(_ value: AMLValue, by count: AMLValue) -> AMLValue { binary(0x7a, value, count) }

    static func equal(_ left: AMLValue, _ right: AMLValue) -> AMLValue { compare(0x93, left, right) }
    static func less(_ left: AMLValue, _ right: AMLValue) -> AMLValue { compare(0x95, left, right) }
    static func not(_ value: AMLValue) -> AMLValue { AMLValue(bytes: [0x92] + value.bytes) }

    /// An operation with a target; the target here is always the null name, so the result is only the term's value.
    private static func binary(_ opcode: UInt8, _ left: AMLValue, _ right: AMLValue) -> AMLValue {
        AMLValue(bytes: [opcode] + left.bytes + right.bytes + [0x00])
    }

    private static func compare(_ opcode: UInt8, _ left: AMLValue, _ right: AMLValue) -> AMLValue {
        AMLValue(bytes: [opcode] + left.bytes + right.bytes)
    }
}

/// Something that a value can be stored in (a SuperName, ACPI 6.5, 20.2.2).
struct AMLTarget: Equatable, Sendable {
    /// The encoded term.
    let bytes: [UInt8]

    static func name(_ name: AMLName) -> AMLTarget { AMLTarget(bytes: name.bytes) }

    static func local(_ index: UInt8) -> AMLTarget {
        precondition(index < 8, "a method has eight locals")
        return AMLTarget(bytes: [0x60 + index])
    }

    static func argument(_ index: UInt8) -> AMLTarget {
        precondition(index < 7, "a method has at most seven arguments")
        return AMLTarget(bytes: [0x68 + index])
    }
}
