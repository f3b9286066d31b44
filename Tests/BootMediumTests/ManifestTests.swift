import BootMedium
import Signatures
import Testing

@Suite("Manifests")
struct ManifestTests {
    static let hash = [UInt8](0..<32)
    static let manifest = Manifest(
        version: "1.2.0", build: "3f2a91c",
        parts: [
            .init(name: "vmlinuz", size: 8_247_232, hash: hash), .init(name: "initrd", size: 14_100_480, hash: hash),
        ])

    @Test("a manifest reads as it was written")
    func roundTrip() throws {
        let text = Self.manifest.text
        #expect(text.hasPrefix("wafer-manifest 1\nversion 1.2.0\nbuild 3f2a91c\npart vmlinuz 8247232 000102"))
        #expect(try Manifest(parsing: Array(text.utf8)) == Self.manifest)
        #expect(Self.manifest["initrd"]?.size == 14_100_480)
        #expect(Self.manifest["other"] == nil)
    }

    @Test(
        "whatever is not exactly a manifest is refused, and the error says where",
        arguments: [
            ("", ManifestError.notText), ("wafer-manifest 2\n", .unknownFormat), ("GRÜN\n", .notText),
            ("wafer-manifest 1\nversion 1\nbuild b", .notText),
            ("wafer-manifest 1\nversion 1\nversion 2\n", .line(3)), ("wafer-manifest 1\nversion  1\n", .line(2)),
            ("wafer-manifest 1\n\n", .line(2)), ("wafer-manifest 1\nnovelty 1\n", .line(2)),
            ("wafer-manifest 1\nversion 1\n", .missing("version and build")),
            ("wafer-manifest 1\nversion 1\nbuild b\n", .missing("vmlinuz")),
        ])
    func refused(text: String, error: ManifestError) {
        #expect(throws: error) { try Manifest(parsing: Array(text.utf8)) }
    }

    @Test(
        "a part has one way to be written",
        arguments: [
            "part vmlinuz 08 \(Hexadecimal.text(hash))", "part vmlinuz 0 \(Hexadecimal.text(hash))",
            "part vmlinuz 4294967296 \(Hexadecimal.text(hash))",
            "part vmlinuz 8 \(Hexadecimal.text(hash).uppercased())",
            "part vmlinuz 8 00", "part ../x 8 \(Hexadecimal.text(hash))", "part manifest 8 \(Hexadecimal.text(hash))",
            "part muchtoolong 8 \(Hexadecimal.text(hash))", "part a.b.c 8 \(Hexadecimal.text(hash))",
            "part vmlinuz -8 \(Hexadecimal.text(hash))", "part vmlinuz +8 \(Hexadecimal.text(hash))",
        ])
    func parts(line: String) {
        let text = "wafer-manifest 1\nversion 1\nbuild b\n\(line)\n"
        #expect(throws: ManifestError.line(4)) { try Manifest(parsing: Array(text.utf8)) }
    }

    @Test("a part that is named twice and a part too many are refused")
    func tooMany() {
        var manifest = Self.manifest
        manifest.parts.append(manifest.parts[0])
        #expect(throws: ManifestError.line(6)) { try Manifest(parsing: Array(manifest.text.utf8)) }
        manifest.parts = (0...Manifest.partsMax).map { .init(name: "p\($0)", size: 1, hash: Self.hash) }
        #expect(throws: ManifestError.line(4 + Manifest.partsMax)) {
            try Manifest(parsing: Array(manifest.text.utf8))
        }
        let long = [UInt8](repeating: 10, count: Manifest.sizeMax + 1)
        #expect(throws: ManifestError.tooLong) { try Manifest(parsing: long) }
    }
}

@Suite("Update bundles")
struct UpdateBundleTests {
    static let bundle = UpdateBundle(
        manifest: Array(ManifestTests.manifest.text.utf8), signature: [UInt8](repeating: 7, count: 64))

    @Test("the beginning of a bundle says how long it is and gives back manifest and signature")
    func roundTrip() throws {
        let bytes = Self.bundle.bytes
        let length = try UpdateBundle.lengthAfterHeader(Array(bytes.prefix(UpdateBundle.headerSize)))
        #expect(UpdateBundle.headerSize + length == bytes.count)
        #expect(try UpdateBundle(parsing: bytes + [1, 2, 3]) == Self.bundle)
    }

    @Test("a beginning cut anywhere is refused")
    func cut() {
        let bytes = Self.bundle.bytes
        for count in bytes.indices {
            #expect(throws: UpdateBundleError.cutShort) { try UpdateBundle(parsing: Array(bytes.prefix(count))) }
        }
    }

    @Test("a header with anything impossible in it is refused")
    func damaged() {
        func error(_ offset: Int, _ value: UInt8) -> UpdateBundleError? {
            var bytes = Self.bundle.bytes
            bytes[offset] = value
            do { _ = try UpdateBundle(parsing: bytes) } catch { return error }
            return nil
        }
        #expect(error(0, 0) == .notABundle)
        #expect(error(8, 2) == .unknownVersion)
        // Lengths: of the manifest, too long; of the signature, not 64; then what is reserved.
        #expect(error(15, 0xff) == .damagedHeader)
        #expect(error(16, 63) == .damagedHeader)
        #expect(error(20, 1) == .damagedHeader)
    }
}
