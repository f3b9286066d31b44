/// A name of 8 and 3 characters as a directory entry has it.
struct FATName: Sendable {
    /// The 11 characters, in capitals, filled up with spaces.
    var characters: [UInt8]
    /// Byte 12 of the entry: bit 3 says that the name, bit 4 that the extension is to be shown in small letters. Not in
    /// fatgen103; Windows NT introduced it, and Linux (fs/fat/dir.c, CASE_LOWER_BASE and CASE_LOWER_EXT) follows.
    var caseFlags: UInt8

    static let dot = FATName(characters: Array(".          ".utf8), caseFlags: 0)
    static let dotDot = FATName(characters: Array("..         ".utf8), caseFlags: 0)

    private init(characters: [UInt8], caseFlags: UInt8) {
        self.characters = characters
        self.caseFlags = caseFlags
    }

    init(_ name: String) throws(FATError) {
        let fields = name.utf8.split(separator: UInt8(ascii: "."), omittingEmptySubsequences: false)
        guard fields.count == 1 || fields.count == 2 else { throw .name(name) }
        let base = Array(fields[0])
        let suffix = fields.count == 2 ? Array(fields[1]) : []
        guard (1...8).contains(base.count), fields.count == 1 || (1...3).contains(suffix.count) else {
            throw .name(name)
        }
        caseFlags = 0
        characters = []
        for (field, width, flag) in [(base, 8, UInt8(0x08)), (suffix, 3, 0x10)] {
            var hasSmall = false
            var hasCapital = false
            for byte in field {
                switch byte {
                case UInt8(ascii: "a")...UInt8(ascii: "z"):
                    hasSmall = true
                    characters.append(byte - 32)
                case UInt8(ascii: "A")...UInt8(ascii: "Z"):
                    hasCapital = true
                    characters.append(byte)
                case UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "-"), UInt8(ascii: "_"):
                    characters.append(byte)
                default: throw .name(name)
                }
            }
            if hasSmall && hasCapital { throw .name(name) }
            if hasSmall { caseFlags |= flag }
            characters += [UInt8](repeating: UInt8(ascii: " "), count: width - field.count)
        }
    }
}
