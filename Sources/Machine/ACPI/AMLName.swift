/// A name or path in the ACPI namespace (ACPI 6.5, 20.2.2): `_HID`, `\_SB.PCI0`, `^PCEJ`.
///
/// Names are constants of ours, so an ill-formed one is a programming error and traps.
struct AMLName: Equatable, Sendable, ExpressibleByStringLiteral {
    /// The encoded NameString.
    let bytes: [UInt8]

    init(stringLiteral value: StaticString) { self.init("\(value)") }

    init(_ text: String) {
        var rest = Substring(text)
        var bytes: [UInt8] = []
        if rest.first == "\\" {
            bytes.append(0x5c)
            rest.removeFirst()
        } else {
            while rest.first == "^" {
                bytes.append(0x5e)
                rest.removeFirst()
            }
        }
        let segments = rest.split(separator: ".", omittingEmptySubsequences: false).map(AMLName.segment)
        switch segments.count {
        case 1: break
        case 2: bytes.append(0x2e)
        default:
            precondition(segments.count <= 255, "a path has at most 255 segments")
            bytes += [0x2f, UInt8(segments.count)]
        }
        self.bytes = bytes + segments.joined()
    }

    /// The four characters of one segment, filled up with underscores.
    static func segment(_ text: some StringProtocol) -> [UInt8] {
        let characters = Array(text.utf8)
        precondition((1...4).contains(characters.count), "a name segment has one to four characters")
        for (index, character) in characters.enumerated() {
            let isLead = (0x41...0x5a).contains(character) || character == 0x5f
            let isDigit = (0x30...0x39).contains(character)
            precondition(isLead || (isDigit && index > 0), "a name segment is made of A-Z, _ and, after the first, 0-9")
        }
        return characters + repeatElement(0x5f, count: 4 - characters.count)
    }
}
