import Testing

@testable import VMDK

@Suite("The text of a VMDK descriptor")
struct VMDKDescriptorTests {
    /// As ESX writes one.
    static let golden = """
        # Disk DescriptorFile
        version=1
        encoding="UTF-8"
        CID=fffffffe
        parentCID=ffffffff
        isNativeSnapshot="no"
        createType="vmfs"

        # Extent description
        RW 4192256 VMFS "web01-flat.vmdk"

        # The Disk Data Base 
        #DDB

        ddb.adapterType = "lsilogic"
        ddb.geometry.cylinders = "260"
        ddb.geometry.heads = "255"
        ddb.geometry.sectors = "63"
        ddb.longContentID = "0481be4e314537249f0f1ca6fffffffe"
        ddb.uuid = "60 00 C2 9e 1b 4f 3b 5c-d8 2c 9d 9a 6f 25 7c 41"
        ddb.virtualHWVersion = "7"

        """

    func parse(_ text: String) throws(DiskError) -> VMDKDescriptor {
        try VMDKDescriptor(parsing: Array(text.utf8), name: "a.vmdk")
    }

    func problem(_ text: String) -> String {
        do {
            _ = try parse(text)
            return ""
        } catch {
            return error.description
        }
    }

    /// A good descriptor with one line in place of another.
    func problem(replacing line: String, with other: String) -> String {
        var lines = Self.golden.split(separator: "\n", omittingEmptySubsequences: false).map(String.init)
        if let index = lines.firstIndex(where: { $0.hasPrefix(line) }) { lines[index] = other }
        return problem(lines.joined(separator: "\n"))
    }

    @Test("what ESX writes is read whole and written back byte for byte")
    func golden() throws {
        let descriptor = try parse(Self.golden)
        #expect(descriptor.version == 1)
        #expect(descriptor.contentID == 0xffff_fffe)
        #expect(descriptor.parentContentID == nil)
        #expect(descriptor.createType == .vmfs)
        #expect(descriptor.header == [.init("isNativeSnapshot", "no")])
        #expect(descriptor.extents == [.init(.readWrite, sectors: 4_192_256, .vmfs, file: "web01-flat.vmdk")])
        #expect(descriptor.extents.first?.line == 10)
        #expect(descriptor["ddb.adapterType"] == "lsilogic")
        #expect(descriptor.database.count == 7)
        #expect(descriptor.sectorCount == 4_192_256)

        // We write createType before other keys; apart from that order, the same bytes.
        let text = String(decoding: try descriptor.text(name: "a.vmdk"), as: UTF8.self)
        let expected = Self.golden.split(separator: "\n", omittingEmptySubsequences: false)
        var swapped = Array(expected)
        swapped.swapAt(5, 6)
        #expect(text == swapped.joined(separator: "\n"))
        #expect(try parse(text) == descriptor)
    }

    @Test("carriage returns, white space, missing final line end and zero padding are tolerated")
    func tolerance() throws {
        let text = Self.golden.replacing("\nCID=", with: "\n CID = ").replacing("\n", with: "\r\n").dropLast()
        let bytes = Array(text.utf8) + [UInt8](repeating: 0, count: 300)
        let descriptor = try VMDKDescriptor(parsing: bytes, name: "a.vmdk")
        #expect(try descriptor == parse(Self.golden))
    }

    @Test("every kind of extent is read, with its offset if it has one")
    func extents() throws {
        let lines = [
            #"RW 2048 FLAT "a b-f001.vmdk" 128"#, "RW 63 ZERO", #"RDONLY 1 SPARSE "s.vmdk""#, "NOACCESS 5 ZERO",
            #"RW 1 VMFSSPARSE "d-delta.vmdk""#, #"RW 1 VMFSRDM "r-rdm.vmdk""#, #"RW 1 SESPARSE "e-sesparse.vmdk""#,
            #"RW 7 VMFS "v.vmdk" 9"#, #"RW 1 HOLOGRAM "h.vmdk""#,
        ]
        let text = Self.golden.replacing(#"RW 4192256 VMFS "web01-flat.vmdk""#, with: lines.joined(separator: "\n"))
        let descriptor = try parse(text)
        #expect(
            descriptor.extents == [
                .init(.readWrite, sectors: 2048, .flat, file: "a b-f001.vmdk", offset: 128),
                .init(.readWrite, sectors: 63, .zero), .init(.readOnly, sectors: 1, .sparse, file: "s.vmdk"),
                .init(.none, sectors: 5, .zero), .init(.readWrite, sectors: 1, .vmfsSparse, file: "d-delta.vmdk"),
                .init(.readWrite, sectors: 1, .vmfsRDM, file: "r-rdm.vmdk"),
                .init(.readWrite, sectors: 1, .seSparse, file: "e-sesparse.vmdk"),
                .init(.readWrite, sectors: 7, .vmfs, file: "v.vmdk", offset: 9),
                .init(.readWrite, sectors: 1, .init(rawValue: "HOLOGRAM"), file: "h.vmdk"),
            ])
        #expect(try parse(String(decoding: descriptor.text(name: "a"), as: UTF8.self)) == descriptor)
    }

    @Test(
        "a broken line is named with its number",
        arguments: [
            ("RW", "RW", "a.vmdk:10: is not of the form: access, sectors, type, \"file\", offset"),
            ("RW", "RW 5", "a.vmdk:10: is not of the form: access, sectors, type, \"file\", offset"),
            ("RW", "RW 0 ZERO", "a.vmdk:10: \"0\" is not a number of sectors"),
            ("RW", "RW -5 ZERO", "a.vmdk:10: \"-5\" is not a number of sectors"),
            ("RW", "RW 99999999999999999999 ZERO", "a.vmdk:10: \"99999999999999999999\" is not a number of sectors"),
            (
                "RW", "RW 18014398509481984 ZERO",
                "a.vmdk:10: makes the disk longer than 18014398509481983 sectors"
            ),
            (
                "RW", "RW 18014398509481983 ZERO\nRW 1 ZERO",
                "a.vmdk:11: makes the disk longer than 18014398509481983 sectors"
            ),
            ("RW", "RW 5 ZERO \"x.vmdk\"", "a.vmdk:10: names a file for a ZERO extent, which has none"),
            ("RW", "RW 5 FLAT", "a.vmdk:10: names no file for its \"FLAT\" extent"),
            ("RW", "RW 5 FLAT \"x.vmdk\"", "a.vmdk:10: gives no offset for a FLAT extent"),
            ("RW", "RW 5 FLAT \"x.vmdk\" x", "a.vmdk:10: \"x\" is not an offset in sectors"),
            (
                "RW", "RW 5 FLAT \"x.vmdk\" 1 2",
                "a.vmdk:10: is not of the form: access, sectors, type, \"file\", offset"
            ),
            ("RW", "RW 5 FLAT \"x.vmdk", "a.vmdk:10: has a file name that is not one name in quotes after the type"),
            ("RW", "RW \"x\" 5 FLAT", "a.vmdk:10: has a file name that is not one name in quotes after the type"),
            ("RW", "WO 5 ZERO", "a.vmdk:10: is neither an extent nor of the form key=\"value\""),
            ("RW", "", "a.vmdk: has no extent"),
            ("CID", "", "a.vmdk: CID is missing"),
            ("CID", "CID=123456789", "a.vmdk:4: CID: \"123456789\" is not a content identifier of 8 digits"),
            ("CID", "CID=+1", "a.vmdk:4: CID: \"+1\" is not a content identifier of 8 digits"),
            ("CID", "CID=\"12\" 3\"", "a.vmdk:4: is neither an extent nor of the form key=\"value\""),
            ("parentCID", "", "a.vmdk: parentCID is missing"),
            ("createType", "", "a.vmdk: createType is missing"),
            ("version", "version=9", "a.vmdk:2: version: \"9\" is none of 1, 2, 3"),
            ("encoding", "encoding=\"EBCDIC\"", "disk a.vmdk: the encoding \"EBCDIC\" is not supported yet"),
            ("# Disk", "# disk descriptorfile", "a.vmdk:1: does not begin with \"# Disk DescriptorFile\""),
            ("ddb.uuid", "ddb.adapterType = \"ide\"", "a.vmdk:20: \"ddb.adapterType\" is already defined"),
            ("ddb.uuid", "nonsense", "a.vmdk:20: is neither an extent nor of the form key=\"value\""),
            ("ddb.uuid", "a\0b", "a.vmdk:20: holds a zero byte"),
        ])
    func malformed(line: String, other: String, expected: String) {
        #expect(problem(replacing: line, with: other) == expected)
    }

    @Test("limits on length and number of extents hold")
    func limits() {
        #expect(problem("# Disk DescriptorFile\n" + String(repeating: "#", count: 1 << 20)).contains("at most 1048576"))
        let many = (0..<8193).map { _ in "RW 1 ZERO" }.joined(separator: "\n")
        #expect(problem(replacing: "RW", with: many) == "a.vmdk:8202: is one extent too many; the limit is 8192")
    }

    @Test("names in other encodings survive a round trip")
    func encodings() throws {
        let text = Self.golden.replacing("UTF-8", with: "windows-1252").replacing("web01", with: "w@b")
        let bytes = text.utf8.map { $0 == UInt8(ascii: "@") ? 0xe9 : $0 }
        let descriptor = try VMDKDescriptor(parsing: bytes, name: "a.vmdk")
        #expect(descriptor.extents.first?.fileName == "wéb-flat.vmdk")
        #expect(try VMDKDescriptor(parsing: descriptor.text(name: "a"), name: "a") == descriptor)
        #expect(problem(replacing: "encoding", with: "encoding=utf-8") == "")
        let bad = Array(Self.golden.utf8) + [0xff]
        #expect(throws: DiskError.malformed(file: "a", line: 22, "is not text in the encoding UTF-8")) {
            try VMDKDescriptor(parsing: bad, name: "a")
        }
    }

    @Test("a value that would break the text is refused when writing")
    func unwritable() throws {
        for value in ["a\"b", "a\nRW 1 ZERO", "\0"] {
            var descriptor = try parse(Self.golden)
            descriptor["ddb.comment"] = value
            #expect(throws: DiskError.self) { try descriptor.text(name: "a") }
            descriptor["ddb.comment"] = nil
            descriptor.extents[0].fileName = value
            #expect(throws: DiskError.self) { try descriptor.text(name: "a") }
        }
    }

    @Test("a new content identifier differs from the old one, is not the mark for none, and ends the long form")
    func contentID() throws {
        var descriptor = try parse(Self.golden)
        descriptor.renewContentID(random: Array(0..<16))
        #expect(descriptor.contentID == 0x0c0d_0e0f)
        #expect(descriptor["ddb.longContentID"] == "000102030405060708090a0b0c0d0e0f")
        descriptor.renewContentID(random: Array(0..<16))
        #expect(descriptor.contentID != 0x0c0d_0e0f)
        descriptor.renewContentID(random: [UInt8](repeating: 0xff, count: 16))
        #expect(descriptor.contentID != .max)
        descriptor.renewContentID(random: [])
        #expect(descriptor.contentID == 0)
    }
}
