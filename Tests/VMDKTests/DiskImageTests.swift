import CLinux
import Linux
import TestFiles
import Testing

@testable import VMDK

let owner = LockHolder(name: "web01", process: 412, host: "esx1")

func message(_ body: () throws -> Void) -> String {
    do {
        try body()
        return "nothing wrong"
    } catch {
        return "\(error)"
    }
}

func write(_ path: String, _ text: String) throws {
    try Files.replace(path, with: Array(text.utf8))
}

func makeFile(_ path: String, _ size: Int64) throws {
    try Descriptor(opening: path, [.readWrite, .create]).resize(to: size)
}

@Suite("Opening disk images")
struct DiskImageTests {
    func descriptor(_ extents: String, createType: String = "monolithicFlat", parent: String = "ffffffff") -> String {
        """
        # Disk DescriptorFile
        version=1
        CID=fffffffe
        parentCID=\(parent)
        createType="\(createType)"
        \(extents)
        ddb.adapterType = "lsilogic"

        """
    }

    /// What opening a descriptor with these extents says; `flat.vmdk` has 1 MiB.
    func problem(_ extents: String, createType: String = "monolithicFlat", parent: String = "ffffffff") throws -> String
    {
        try withTemporaryDirectory { directory in
            try makeFile(directory + "/flat.vmdk", 1 << 20)
            try write(directory + "/a.vmdk", descriptor(extents, createType: createType, parent: parent))
            return message { _ = try DiskImage.open(directory + "/a.vmdk", .init(owner: owner)) }
                .replacing(directory + "/", with: "")
        }
    }

    @Test("a disk that was created opens with the size and identity it was given")
    func createAndOpen() throws {
        try withTemporaryDirectory { directory in
            let path = directory + "/disk.vmdk"
            try DiskImage.create(path, byteCount: 3 << 30)
            var layout = try DiskImage.open(path, .init(owner: owner))
            #expect(layout.byteCount == 3 << 30 && !layout.isReadOnly && layout.warnings.isEmpty)
            #expect(layout.format == .vmdk(.monolithicFlat))
            #expect(layout.extents.count == 1)
            guard case .file(let file, 0) = layout.extents[0].source else {
                throw DiskError.refused(file: path, "shape")
            }
            #expect(file.byteCount == 3 << 30 && !file.isBlockDevice)
            #expect(try FileIdentity(of: directory + "/disk-flat.vmdk").permissions == 0o600)
            // Sparse: the file is long but holds next to nothing.
            var status = stat()
            #expect(stat(directory + "/disk-flat.vmdk", &status) == 0 && status.st_blocks < 16)

            let before = try #require(layout.descriptor)
            #expect(before["ddb.geometry.cylinders"] == "391")
            #expect(before["ddb.uuid"]?.hasPrefix("60 00 C2 9") == true)
            #expect(before["ddb.uuid"]?.utf8.count == 47)
            try layout.markChanged()
            let after = try DiskImage.descriptor(of: path)
            #expect(after.contentID != before.contentID && after == layout.descriptor)
            #expect(after["ddb.longContentID"]?.hasSuffix(VMDKDescriptor.hex(UInt64(after.contentID), 8)) == true)
        }
    }

    @Test("preallocation takes the space at once")
    func preallocated() throws {
        try withTemporaryDirectory { directory in
            try DiskImage.create(directory + "/disk.vmdk", byteCount: 1 << 20, allocation: .preallocated, adapter: .ide)
            var status = stat()
            #expect(stat(directory + "/disk-flat.vmdk", &status) == 0 && status.st_blocks >= 2048)
        }
    }

    @Test("creating refuses what is there, what cannot be, and leaves nothing behind")
    func createErrors() throws {
        try withTemporaryDirectory { directory in
            func create(_ name: String, _ size: UInt64) -> String {
                message { try DiskImage.create("\(directory)/\(name)", byteCount: size) }
                    .replacing(directory + "/", with: "")
            }
            #expect(create("a.vmdk", 1000) == "disk a.vmdk: 1000 bytes is not a size a disk can have")
            #expect(create("a.vmdk", 0) == "disk a.vmdk: 0 bytes is not a size a disk can have")
            #expect(
                create("a.vmdk", 1 << 63) == "disk a.vmdk: \(1 << 63 as UInt64) bytes is not a size a disk can have")
            #expect(create("a.img", 512).hasPrefix("disk a.img: a disk's name ends in .vmdk"))
            #expect(create("a-flat.vmdk", 512).hasPrefix("disk a-flat.vmdk: a disk's name ends in .vmdk"))
            #expect(create("a\"b.vmdk", 512).hasSuffix("a value cannot be written in a descriptor"))
            // The data is made first and must go again when the descriptor cannot be made.
            try write(directory + "/a.vmdk", "mine")
            #expect(create("a.vmdk", 512) == "open a.vmdk: File exists")
            #expect(throws: SystemError.self) { try FileIdentity(of: directory + "/a-flat.vmdk") }
            #expect(try FileIdentity(of: directory + "/a.vmdk").size == 4)
            #expect(create("none/a.vmdk", 512) == "open none/a-flat.vmdk: No such file or directory")
        }
    }

    @Test("extents of several files and zeros make one disk in their order")
    func severalExtents() throws {
        try withTemporaryDirectory { directory in
            try makeFile(directory + "/one.vmdk", 4096)
            try makeFile(directory + "/two.img", 8192)
            let text = descriptor(
                """
                RW 4 FLAT "two.img" 0
                RW 2 ZERO
                RW 8 FLAT "one.vmdk" 0
                RW 8 FLAT "two.img" 8
                """, createType: "twoGbMaxExtentFlat")
            try write(directory + "/a.vmdk", text)
            let layout = try DiskImage.open(directory + "/a.vmdk", .init(owner: owner))
            #expect(layout.byteCount == 22 * 512)
            #expect(layout.extents.map(\.start) == [0, 2048, 3072, 7168])
            #expect(layout.extents.map(\.isWritable) == [true, false, true, true])
            var names: [String] = []
            for case .file(let file, let offset) in layout.extents.map(\.source) {
                names.append("\(Files.name(of: file.path)) \(offset)")
            }
            #expect(names == ["two.img 0", "one.vmdk 0", "two.img 4096"])
        }
    }

    @Test("a RDONLY extent or a read-only opening makes the whole disk read-only")
    func readOnly() throws {
        try withTemporaryDirectory { directory in
            try makeFile(directory + "/flat.vmdk", 1 << 20)
            try write(directory + "/a.vmdk", descriptor(#"RDONLY 2048 VMFS "flat.vmdk""#, createType: "vmfs"))
            var layout = try DiskImage.open(directory + "/a.vmdk", .init(owner: owner))
            #expect(layout.isReadOnly && !layout.extents[0].isWritable)
            let before = try DiskImage.descriptor(of: directory + "/a.vmdk")
            try layout.markChanged()
            #expect(try DiskImage.descriptor(of: directory + "/a.vmdk") == before)
        }
    }

    @Test(
        "kinds of VMDK that are still to come are named",
        arguments: [
            (#"RW 8 SPARSE "x.vmdk""#, "monolithicSparse", "createType \"monolithicSparse\""),
            (#"RW 8 VMFSSPARSE "x.vmdk""#, "vmfsSparse", "createType \"vmfsSparse\""),
            (#"RW 8 SESPARSE "x.vmdk""#, "seSparse", "createType \"seSparse\""),
            (#"RW 8 VMFSRDM "x.vmdk""#, "vmfsRawDeviceMap", "createType \"vmfsRawDeviceMap\""),
            (#"RW 8 FLAT "/dev/sda" 0"#, "fullDevice", "createType \"fullDevice\""),
            (#"RW 8 SPARSE "x.vmdk""#, "monolithicFlat", "an extent of type \"SPARSE\" (line 6)"),
            ("NOACCESS 8 ZERO", "monolithicFlat", "an extent without access (line 6)"),
        ])
    func notSupported(extent: String, createType: String, what: String) throws {
        #expect(try problem(extent, createType: createType) == "disk a.vmdk: \(what) is not supported yet")
    }

    @Test("a disk with a parent is refused, not read without it")
    func parents() throws {
        #expect(
            try problem(#"RW 8 FLAT "flat.vmdk" 0"#, parent: "12AB")
                == "disk a.vmdk: a disk with a parent (a snapshot or linked clone, parentCID 000012ab) is not supported yet"
        )
    }

    @Test(
        "an extent that does not fit its file, or uses bytes twice, is refused",
        arguments: [
            (
                #"RW 2049 FLAT "flat.vmdk" 0"#,
                "a.vmdk:6: needs 1049088 bytes from byte 0 of \"flat.vmdk\", which has 1048576"
            ),
            (
                #"RW 2048 FLAT "flat.vmdk" 1"#,
                "a.vmdk:6: needs 1048576 bytes from byte 512 of \"flat.vmdk\", which has 1048576"
            ),
            (
                #"RW 18014398509481983 FLAT "flat.vmdk" 18014398509481983"#,
                "a.vmdk:6: needs 9223372036854775296 bytes from byte 9223372036854775296 of \"flat.vmdk\", which has 1048576"
            ),
            ("RW 9 FLAT \"flat.vmdk\" 0\nRW 8 FLAT \"flat.vmdk\" 8", "a.vmdk:7: overlaps the extent on line 6"),
            ("RW 8 FLAT \"flat.vmdk\" 8\nRW 9 FLAT \"flat.vmdk\" 0", "a.vmdk:6: overlaps the extent on line 7"),
            (#"RW 8 FLAT "none.vmdk" 0"#, "open none.vmdk: No such file or directory"),
        ])
    func misfits(extents: String, expected: String) throws { #expect(try problem(extents) == expected) }

    @Test(
        "a descriptor leads to no file outside its directory and to none that is not a disk's data",
        arguments: [
            ("/etc/passwd", "an extent must lie in its descriptor's directory"),
            ("../flat.vmdk", "an extent must lie in its descriptor's directory"),
            ("sub/flat.vmdk", "an extent must lie in its descriptor's directory"),
            ("..", "an extent's name must end in .vmdk, .img or .raw"),
            ("a.vmx", "an extent's name must end in .vmdk, .img or .raw"),
            (".vmdk", "an extent's name must end in .vmdk, .img or .raw"),
            ("", "an extent's name must end in .vmdk, .img or .raw"),
        ])
    func hostileNames(name: String, expected: String) throws {
        #expect(try problem("RW 8 FLAT \"\(name)\" 0") == "a.vmdk:6: names \"\(name)\"; \(expected)")
    }

    @Test("a link, a pipe, a directory, the descriptor itself and a second name of an extent are no extents")
    func hostileFiles() throws {
        try withTemporaryDirectory { directory in
            try makeFile(directory + "/flat.vmdk", 4096)
            #expect(symlink("/etc/passwd", directory + "/link.vmdk") == 0)
            #expect(mkfifo(directory + "/pipe.vmdk", 0o600) == 0)
            #expect(mkdir(directory + "/dir.vmdk", 0o700) == 0)
            #expect(link(directory + "/flat.vmdk", directory + "/twin.vmdk") == 0)
            func open(_ extents: String) throws -> String {
                try write(directory + "/a.vmdk", descriptor(extents))
                return message { _ = try DiskImage.open(directory + "/a.vmdk", .init(owner: owner)) }
                    .replacing(directory + "/", with: "")
            }
            #expect(
                try open(#"RW 1 FLAT "link.vmdk" 0"#)
                    == "disk link.vmdk: is a symbolic link, which an extent must not be")
            #expect(
                try open(#"RW 1 FLAT "pipe.vmdk" 0"#) == "disk pipe.vmdk: is not a regular file, as an extent must be")
            #expect(try open(#"RW 1 FLAT "dir.vmdk" 0"#) == "open dir.vmdk: Is a directory")
            #expect(try open(#"RW 1 FLAT "a.vmdk" 0"#) == "a.vmdk:6: names the descriptor itself")
            #expect(
                try open("RW 1 FLAT \"flat.vmdk\" 0\nRW 1 FLAT \"twin.vmdk\" 1")
                    == "a.vmdk:7: names \"twin.vmdk\", which is the file of an extent above by another name")
        }
    }

    @Test("the name decides the format: a guest that writes a descriptor to its disk gains nothing")
    func probing() throws {
        try withTemporaryDirectory { directory in
            let hostile = descriptor(#"RW 1 FLAT "secret.vmdk" 0"#)
            try makeFile(directory + "/secret.vmdk", 512)
            let padded = hostile + String(repeating: "\n", count: 1024 - hostile.utf8.count)
            try write(directory + "/disk.img", padded)
            let layout = try DiskImage.open(directory + "/disk.img", .init(owner: owner))
            #expect(layout.format == .raw && layout.byteCount == 1024 && layout.descriptor == nil)

            for name in ["x-flat.vmdk", "x-f001.vmdk", "x-s002.vmdk", "x-delta.VMDK", "x-ctk.vmdk"] {
                try write("\(directory)/\(name)", padded)
                #expect(
                    message { _ = try DiskImage.open("\(directory)/\(name)", .init(owner: owner)) }
                        == "disk \(directory)/\(name): is the data of another disk; name its descriptor, such as \"x.vmdk\""
                )
            }
            // And the other way round: data named like a descriptor is not taken for a raw disk.
            try makeFile(directory + "/raw.vmdk", 1024)
            #expect(
                message { _ = try DiskImage.open(directory + "/raw.vmdk", .init(owner: owner)) }
                    == "disk \(directory)/raw.vmdk: is no VMDK descriptor; a raw disk needs a name that does not end in .vmdk"
            )
            for (magic, what) in [
                ("KDMV", "a sparse VMDK (monolithicSparse or streamOptimized)"), ("COWD", "a redo log (vmfsSparse)"),
            ] {
                try write(directory + "/raw.vmdk", magic)
                #expect(
                    message { _ = try DiskImage.open(directory + "/raw.vmdk", .init(owner: owner)) }
                        == "disk \(directory)/raw.vmdk: \(what) is not supported yet")
            }
            var options = DiskImage.Options(owner: owner)
            options.format = .raw
            try makeFile(directory + "/raw.vmdk", 1024)
            #expect(try DiskImage.open(directory + "/raw.vmdk", options).format == .raw)
        }
    }

    @Test("a raw disk needs whole sectors and must be a file or a block device")
    func raw() throws {
        try withTemporaryDirectory { directory in
            for size in [0, 1000] as [Int64] {
                try makeFile(directory + "/disk.img", size)
                #expect(
                    message { _ = try DiskImage.open(directory + "/disk.img", .init(owner: owner)) }
                        .hasSuffix("its size of \(size) bytes is not a number of whole sectors of 512 bytes"))
            }
            #expect(
                message { _ = try DiskImage.open("/dev/null", .init(owner: owner)) }
                    == "disk /dev/null: is neither a regular file nor a block device")
            #expect(mkfifo(directory + "/pipe", 0o600) == 0)
            #expect(message { _ = try DiskImage.open(directory + "/pipe", .init(owner: owner)) }.contains("is neither"))
        }
    }

    @Test("direct I/O is on where requests of 512 bytes work, and a warning says where not")
    func direct() throws {
        try withTemporaryDirectory { directory in
            var options = DiskImage.Options(owner: owner)
            options.direct = true
            try DiskImage.create(directory + "/a.vmdk", byteCount: 1 << 20)
            let layout = try DiskImage.open(directory + "/a.vmdk", options)
            guard case .file(let file, _) = layout.extents[0].source else { return }
            #expect(file.isDirect == layout.warnings.isEmpty)
        }
    }

    @Test("data longer than the descriptor says is told, not used")
    func longer() throws {
        try withTemporaryDirectory { directory in
            try makeFile(directory + "/flat.vmdk", 8192)
            try write(directory + "/a.vmdk", descriptor(#"RW 8 FLAT "flat.vmdk" 0"#))
            let layout = try DiskImage.open(directory + "/a.vmdk", .init(owner: owner))
            #expect(layout.byteCount == 4096)
            #expect(
                layout.warnings.count == 1
                    && layout.warnings[0].hasSuffix("flat.vmdk is 4096 bytes longer than its descriptor says"))
        }
    }

    @Test(
        "disks made by QEMU open if they are flat and are named if they are not",
        .enabled(if: access("/usr/bin/qemu-img", X_OK) == 0, "needs qemu-utils"))
    func madeByQEMU() throws {
        try withTemporaryDirectory { directory in
            func open(_ subformat: String) throws -> DiskLayout {
                let path = "\(directory)/\(subformat).vmdk"
                let arguments = ["create", "-f", "vmdk", "-o", "subformat=\(subformat)", path, "5G"]
                #expect(try run("/usr/bin/qemu-img", arguments) == 0)
                return try DiskImage.open(path, .init(owner: owner))
            }
            let flat = try open("monolithicFlat")
            #expect(flat.byteCount == 5 << 30 && flat.extents.count == 1 && flat.warnings.isEmpty)
            let split = try open("twoGbMaxExtentFlat")
            #expect(split.byteCount == 5 << 30)
            #expect(split.extents.map(\.start) == [0, 2 << 30, 4 << 30])
            let sparse = message { _ = try open("monolithicSparse") }
            #expect(sparse.hasSuffix("a sparse VMDK (monolithicSparse or streamOptimized) is not supported yet"))
            let splitSparse = message { _ = try open("twoGbMaxExtentSparse") }
            #expect(splitSparse.hasSuffix("createType \"twoGbMaxExtentSparse\" is not supported yet"))
        }
    }
}
