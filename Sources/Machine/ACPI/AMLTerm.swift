/// A declaration or a statement (a TermObj, ACPI 6.5, 20.2.5), or several in a row.
struct AMLTerm: Equatable, Sendable {
    /// The encoded terms.
    let bytes: [UInt8]
}

/// Collects the terms in the braces of a scope, a device, a method or a branch.
@resultBuilder
enum AMLBlock {
    static func buildExpression(_ term: AMLTerm) -> [UInt8] { term.bytes }
    static func buildBlock(_ parts: [UInt8]...) -> [UInt8] { parts.flatMap { $0 } }
    static func buildOptional(_ part: [UInt8]?) -> [UInt8] { part ?? [] }
    static func buildEither(first part: [UInt8]) -> [UInt8] { part }
    static func buildEither(second part: [UInt8]) -> [UInt8] { part }
    static func buildArray(_ parts: [[UInt8]]) -> [UInt8] { parts.flatMap { $0 } }
}

// Declarations
extension AMLTerm {
    static func block(@AMLBlock _ terms: () -> [UInt8]) -> AMLTerm { AMLTerm(bytes: terms()) }

    static func name(_ name: AMLName, _ value: AMLValue) -> AMLTerm {
        AMLTerm(bytes: [0x08] + name.bytes + value.bytes)
    }

    static func scope(_ name: AMLName, @AMLBlock _ terms: () -> [UInt8]) -> AMLTerm {
        AMLTerm(bytes: AMLEncoding.package([0x10], name.bytes + terms()))
    }

    static func device(_ name: AMLName, @AMLBlock _ terms: () -> [UInt8]) -> AMLTerm {
        AMLTerm(bytes: AMLEncoding.package([0x5b, 0x82], name.bytes + terms()))
    }

    /// - Parameter serialized: only one thread at a time runs the method; needed where it declares objects.
    static func method(
        _ name: AMLName, arguments: UInt8 = 0, serialized: Bool = false, @AMLBlock _ terms: () -> [UInt8]
    ) -> AMLTerm {
        precondition(arguments <= 7, "a method has at most seven arguments")
        let flags = arguments | (serialized ? 0x08 : 0)
        return AMLTerm(bytes: AMLEncoding.package([0x14], name.bytes + [flags] + terms()))
    }

    static func mutex(_ name: AMLName) -> AMLTerm { AMLTerm(bytes: [0x5b, 0x01] + name.bytes + [0x00]) }

    /// Names a stretch of I/O ports.
    static func ioRegion(_ name: AMLName, port: UInt16, count: UInt8) -> AMLTerm {
        let location = AMLEncoding.integer(UInt64(port)) + AMLEncoding.integer(UInt64(count))
        return AMLTerm(bytes: [0x5b, 0x80] + name.bytes + [0x01] + location)
    }

    /// Names the 32-bit registers that a region holds, from its start on. Accesses are 32 bits wide.
    static func registers(of region: AMLName, _ names: [String]) -> AMLTerm {
        // Flags: DWordAcc, NoLock, Preserve. Each field fills its access, so nothing is ever read to be preserved.
        let fields = names.flatMap { AMLName.segment($0) + AMLEncoding.fieldLength(bits: 32) }
        return AMLTerm(bytes: AMLEncoding.package([0x5b, 0x81], region.bytes + [0x03] + fields))
    }

    /// Names 32 bits at a byte offset of a buffer.
    static func createDWordField(_ name: AMLName, in buffer: AMLValue, at offset: AMLValue) -> AMLTerm {
        AMLTerm(bytes: [0x8a] + buffer.bytes + offset.bytes + name.bytes)
    }
}

// Statements
extension AMLTerm {
    static func store(_ value: AMLValue, to target: AMLTarget) -> AMLTerm {
        AMLTerm(bytes: [0x70] + value.bytes + target.bytes)
    }

    static func returning(_ value: AMLValue) -> AMLTerm { AMLTerm(bytes: [0xa4] + value.bytes) }

    static func call(_ method: AMLName, _ arguments: AMLValue...) -> AMLTerm {
        AMLTerm(bytes: method.bytes + arguments.flatMap(\.bytes))
    }

    static func notify(_ object: AMLName, _ event: AMLValue) -> AMLTerm {
        AMLTerm(bytes: [0x86] + object.bytes + event.bytes)
    }

    /// Waits for the mutex for as long as it takes.
    static func acquire(_ mutex: AMLName) -> AMLTerm { AMLTerm(bytes: [0x5b, 0x23] + mutex.bytes + [0xff, 0xff]) }

    static func release(_ mutex: AMLName) -> AMLTerm { AMLTerm(bytes: [0x5b, 0x27] + mutex.bytes) }

    static func when(_ condition: AMLValue, @AMLBlock _ terms: () -> [UInt8]) -> AMLTerm {
        AMLTerm(bytes: AMLEncoding.package([0xa0], condition.bytes + terms()))
    }

    static func when(
        _ condition: AMLValue, @AMLBlock _ terms: () -> [UInt8], @AMLBlock otherwise: () -> [UInt8]
    ) -> AMLTerm {
        AMLTerm(
            bytes: AMLEncoding.package([0xa0], condition.bytes + terms()) + AMLEncoding.package([0xa1], otherwise()))
    }

    static func loop(while condition: AMLValue, @AMLBlock _ terms: () -> [UInt8]) -> AMLTerm {
        AMLTerm(bytes: AMLEncoding.package([0xa2], condition.bytes + terms()))
    }
}
