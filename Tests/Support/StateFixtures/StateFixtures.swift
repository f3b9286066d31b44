import Glibc
import Linux
public import SavedState
public import Testing

/// What every device with saved state must be able to do, and the states that were kept when a version was new: later versions must
/// load them. After a version was raised, `WAFER_GOLDEN=write swift test` keeps a state of the new one beside the old ones; those that
/// are kept are never written again.
public enum StateFixtures {
    private static let directory = Linux.directory(of: #filePath) + "/Kept"

    /// - Parameters:
    ///   - name: the kind of device; the kept states are in `Kept/NAME-VERSION.hex`.
    ///   - part: has something in every field.
    ///   - isExact: its state is the same each time; false for what looks at the host's clock.
    ///   - fresh: another one, as after power-on.
    public static func check(
        _ name: String, _ part: any StateHolder, isExact: Bool = true, location: SourceLocation = #_sourceLocation,
        fresh: () throws -> any StateHolder
    ) throws {
        let section = try StateSection(name, of: part)
        let copy = try fresh()
        try section.restore(to: copy)
        if isExact { #expect(try StateSection(name, of: copy) == section, sourceLocation: location) }

        for count in stride(from: 0, to: section.bytes.count, by: max(1, section.bytes.count / 64)) {
            var cut = section
            cut.bytes.removeLast(section.bytes.count - count)
            #expect(throws: StateError.self, "\(count) bytes", sourceLocation: location) {
                try cut.restore(to: fresh())
            }
        }
        var longer = section
        longer.bytes.append(0)
        #expect(throws: StateError.self, sourceLocation: location) { try longer.restore(to: fresh()) }
        var future = section
        future.version += 1
        let refusal = StateError.futureVersion(section: name, version: future.version, newest: section.version)
        #expect(throws: refusal, sourceLocation: location) { try future.restore(to: fresh()) }
        // Whatever the bytes are, there is an end.
        for index in section.bytes.indices where index < 600 {
            var changed = section
            changed.bytes[index] ^= 0xff
            try? changed.restore(to: fresh())
        }

        let path = "\(directory)/\(name)-\(section.version).hex"
        if getenv("WAFER_GOLDEN") != nil, !fileExists(path) { try Files.replace(path, with: text(section.bytes)) }
        for version in 1...section.version {
            guard let kept = try? bytes(readFile("\(directory)/\(name)-\(version).hex")) else {
                Issue.record("no state of version \(version) of \(name) is kept", sourceLocation: location)
                continue
            }
            let old = try fresh()
            try StateSection(name: name, version: version, bytes: kept).restore(to: old)
            if isExact, version == section.version {
                #expect(try StateSection(name, of: old).bytes == kept, sourceLocation: location)
            }
        }
    }

    private static func text(_ bytes: [UInt8]) -> [UInt8] {
        let digits = Array("0123456789abcdef".utf8)
        var text: [UInt8] = []
        for (index, byte) in bytes.enumerated() {
            text += [digits[Int(byte >> 4)], digits[Int(byte & 15)]]
            if index % 32 == 31 || index == bytes.count - 1 { text.append(10) }
        }
        return text
    }

    private static func bytes(_ text: [UInt8]) -> [UInt8] {
        let digits = text.compactMap { Character(UnicodeScalar($0)).hexDigitValue }
        return stride(from: 0, to: digits.count - 1, by: 2).map { UInt8(digits[$0] << 4 | digits[$0 + 1]) }
    }
}
