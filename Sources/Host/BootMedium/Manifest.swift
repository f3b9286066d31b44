import Signatures

/// What a system image consists of: its version and the name, size and hash of every part.
///
/// A text, so that a person can read it, whose exact bytes are signed (`manifest.sig` beside it). Format:
/// docs/formats/update-bundle.md.
public struct Manifest: Equatable, Sendable {
    /// One file of the image.
    public struct Part: Equatable, Sendable {
        /// Its name in a bank: 1 to 8 characters and an extension of up to 3, small letters and digits.
        public var name: String
        /// Its length in bytes.
        public var size: UInt64
        /// The SHA-256 of its bytes, 32 bytes.
        public var hash: [UInt8]

        public init(name: String, size: UInt64, hash: [UInt8]) {
            self.name = name
            self.size = size
            self.hash = hash
        }
    }

    /// A longer manifest is refused.
    public static let sizeMax = 8192
    /// More parts are refused.
    public static let partsMax = 16
    /// The name of the part that is the kernel.
    public static let kernel = "vmlinuz"
    /// The name of the part that is the initial RAM file system.
    public static let initialRAMDisk = "initrd"
    /// The names that the manifest and its signature have in a bank.
    public static let fileName = "manifest"
    public static let signatureFileName = "manifest.sig"

    private static let firstLine = "wafer-manifest 1"

    /// The product's version, such as `1.2.0`.
    public var version: String
    /// What tells builds of one version apart; one word.
    public var build: String
    /// In the order in which they lie in an update bundle.
    public var parts: [Part]

    public init(version: String, build: String, parts: [Part]) {
        self.version = version
        self.build = build
        self.parts = parts
    }

    /// The part with a name; nil if there is none.
    public subscript(name: String) -> Part? { parts.first { $0.name == name } }

    /// The text whose bytes are signed and stored.
    public var text: String {
        var lines = [Self.firstLine, "version \(version)", "build \(build)"]
        for part in parts { lines.append("part \(part.name) \(part.size) \(Hexadecimal.text(part.hash))") }
        return lines.map { $0 + "\n" }.joined()
    }

    /// Reads a manifest that its signature was found good for, or one that is yet to be shown to a person.
    public init(parsing bytes: [UInt8]) throws(ManifestError) {
        guard bytes.count <= Self.sizeMax else { throw .tooLong }
        guard bytes.allSatisfy({ $0 == 10 || (32..<127).contains($0) }), bytes.last == 10 else { throw .notText }
        var version: String?
        var build: String?
        var parts: [Part] = []
        for (index, line) in bytes.dropLast().split(separator: 10, omittingEmptySubsequences: false).enumerated() {
            let number = index + 1
            let words = line.split(separator: 32, omittingEmptySubsequences: false).map {
                String(decoding: $0, as: UTF8.self)
            }
            if number == 1 {
                guard words.joined(separator: " ") == Self.firstLine else { throw .unknownFormat }
                continue
            }
            guard words.allSatisfy({ !$0.isEmpty }) else { throw .line(number) }
            switch (words[0], words.count) {
            case ("version", 2) where version == nil: version = words[1]
            case ("build", 2) where build == nil: build = words[1]
            case ("part", 4):
                guard parts.count < Self.partsMax, let part = Self.part(words),
                    !parts.contains(where: { $0.name == part.name })
                else { throw .line(number) }
                parts.append(part)
            default: throw .line(number)
            }
        }
        guard let version, let build else { throw .missing("version and build") }
        self.init(version: version, build: build, parts: parts)
        for name in [Self.kernel, Self.initialRAMDisk] where self[name] == nil { throw .missing(name) }
    }

    private static func part(_ words: [String]) -> Part? {
        // One manifest has one text: no leading zeros, no capital digits.
        guard isPartName(words[1]), let size = UInt64(words[2]), String(size) == words[2], size > 0, size < 1 << 32,
            let hash = Hexadecimal.bytes(words[3]), hash.count == SHA256.size, Hexadecimal.text(hash) == words[3]
        else { return nil }
        return Part(name: words[1], size: size, hash: hash)
    }

    /// Whether a part may have this name, which becomes a file's on a FAT volume.
    static func isPartName(_ name: String) -> Bool {
        let fields = name.utf8.split(separator: UInt8(ascii: "."), omittingEmptySubsequences: false)
        guard fields.count == 1 || fields.count == 2, (1...8).contains(fields[0].count) else { return false }
        if fields.count == 2, !(1...3).contains(fields[1].count) { return false }
        return ![fileName, signatureFileName].contains(name)
            && fields.joined().allSatisfy {
                (UInt8(ascii: "a")...UInt8(ascii: "z")).contains($0)
                    || (UInt8(ascii: "0")...UInt8(ascii: "9")).contains($0)
            }
    }
}

/// Why a manifest is refused.
public enum ManifestError: Error, Equatable, Sendable, CustomStringConvertible {
    case tooLong
    case notText
    case unknownFormat
    /// The line with this number, counted from one, says nothing that may stand there.
    case line(Int)
    case missing(String)

    public var description: String {
        switch self {
        case .tooLong: "the manifest is longer than \(Manifest.sizeMax) bytes"
        case .notText: "the manifest is no text"
        case .unknownFormat: "the manifest is of a format that this version does not know"
        case .line(let number): "line \(number) of the manifest makes no sense"
        case .missing(let what): "the manifest does not name \(what)"
        }
    }
}
