import BootMedium
import Linux
import Signatures
import TestFiles
import Testing

@testable import SystemImage

/// A small kernel package, and the rest that an image is made of.
private struct Sources {
    var directory: String
    var inputs: ImageInputs

    init(_ directory: String, work: String) throws {
        self.directory = directory
        let kernel = "\(directory)/kernel"
        let modules = "\(kernel)/lib/modules/6.1.0-test"
        func write(_ path: String, _ text: String) throws {
            try FileSystem.makeDirectory(Files.directory(of: path))
            try Files.replace(path, with: Array(text.utf8))
        }
        if !fileExists(kernel) {
            try write("\(kernel)/boot/vmlinuz-6.1.0-test", String(repeating: "kernel ", count: 1000))
            for name in ["loop", "squashfs", "first", "second-part", "third"] {
                try write("\(modules)/kernel/\(name).ko", "module \(name)")
            }
            try write(
                "\(modules)/modules.dep",
                """
                kernel/loop.ko:
                kernel/third.ko:
                kernel/squashfs.ko:
                kernel/second-part.ko: kernel/first.ko
                kernel/first.ko:

                """)
            try write("\(modules)/modules.alias", "alias pci:* second_part\nalias usb:* third\n")
            try write("\(modules)/modules.builtin", "kernel/inside.ko\n")
            try write("\(directory)/modules", "all: needed\n    +second_part inside\n")
            try write("\(directory)/wafer", "binary")
            try write("\(directory)/root/etc/extra/file", "extra")
            try write("\(directory)/grub.cfg", "# configuration\n")
            try SigningKey.generate("\(directory)/key")
        }
        inputs = ImageInputs(
            kernel: kernel, modules: "\(directory)/modules", wafer: "\(directory)/wafer", files: "\(directory)/root",
            loaderConfiguration: "\(directory)/grub.cfg", key: "\(directory)/key", build: "test", isQuick: true,
            output: "\(directory)/\(work).img", work: "\(directory)/\(work)", sizes: "\(directory)/\(work)/size.tsv")
    }
}

@Suite(
    "Building the boot medium",
    .enabled(
        if: [
            "/usr/bin/grub-mkimage", "/usr/lib/grub/i386-pc/boot.img", "/usr/lib/grub/x86_64-efi/fat.mod",
            "/usr/bin/mksquashfs", "/usr/bin/zstd", "/usr/share/OVMF/OVMF_CODE_4M.fd",
            "/usr/share/seabios/bios-256k.bin",
        ].allSatisfy(fileExists), "GRUB, firmware or packing tools are not installed"))
struct ImageBuilderTests {
    @Test("the same inputs give the same bytes, in another directory and when nothing has to be packed again")
    func reproducible() throws {
        try withTemporaryDirectory { directory in
            for work in ["one", "two", "one"] { _ = try ImageBuilder.build(Sources(directory, work: work).inputs) }
            let image = try readFile("\(directory)/one.img")
            #expect(try image == readFile("\(directory)/two.img"))
            // Another key is another image.
            removeFile("\(directory)/key")
            try SigningKey.generate("\(directory)/key")
            _ = try ImageBuilder.build(Sources(directory, work: "two").inputs)
            #expect(try image != readFile("\(directory)/two.img"))
        }
    }

    @Test("the bank holds parts that the manifest names, signed with the key that the image trusts")
    func manifest() throws {
        try withTemporaryDirectory { directory in
            let inputs = try Sources(directory, work: "one").inputs
            let sizes = try ImageBuilder.build(inputs)
            let text = try readFile("\(inputs.work)/manifest")
            let manifest = try Manifest(parsing: text)
            for part in manifest.parts {
                let bytes = try readFile("\(inputs.work)/\(part.name)")
                #expect(part.size == UInt64(bytes.count) && part.hash == SHA256.digest(of: bytes))
            }
            let keys = Ed25519.PublicKey.list(String(decoding: try readFile("\(directory)/key.pub"), as: UTF8.self))
            let key = try #require(keys?.first)
            #expect(key.verifies(try readFile("\(inputs.work)/manifest.sig"), of: text))
            #expect(!key.verifies(try readFile("\(inputs.work)/manifest.sig"), of: text + [10]))

            let table = String(decoding: try readFile(inputs.sizes), as: UTF8.self)
            #expect(table.hasPrefix("part\traw bytes\tbytes on flash\nkernel\t7000\t7000\n"))
            #expect(table.split(separator: "\n").last == "total\t\(sizes.total.raw)\t\(sizes.total.flash)")
            let flash = sizes.rows.filter { !["kernel", "loader-bios", "loader-uefi", "manifest"].contains($0.part) }
            #expect(flash.reduce(0) { $0 + $1.flash } == manifest["initrd"]?.size)

            try ImageBuilder.writeUpdate(
                kernel: "\(inputs.work)/vmlinuz", initrd: "\(inputs.work)/initrd", version: "9.0.0", build: "test",
                key: inputs.key, output: "\(directory)/update")
            let update = try readFile("\(directory)/update")
            let bundle = try UpdateBundle(parsing: update)
            #expect(key.verifies(bundle.signature, of: bundle.manifest))
            #expect(try Manifest(parsing: bundle.manifest).version == "9.0.0")
            #expect(
                try Array(update.dropFirst(bundle.bytes.count))
                    == readFile("\(inputs.work)/vmlinuz") + readFile("\(inputs.work)/initrd"))
        }
    }

    @Test("an inspection tells what a medium holds and what would start, by the signatures that count")
    func inspection() throws {
        try withTemporaryDirectory { directory in
            let inputs = try Sources(directory, work: "one").inputs
            _ = try ImageBuilder.build(inputs)
            func lines(_ key: String = "key") throws -> [String] {
                let text = String(decoding: try readFile("\(directory)/\(key).pub"), as: UTF8.self)
                let keys = try #require(Ed25519.PublicKey.list(text))
                return try MediumInspection(inputs.output, trusted: keys).lines
            }
            let version = try Manifest(parsing: readFile("\(inputs.work)/manifest")).version
            let whole = "bank\tA\twhole\t\(version) test"
            let empty = "bank\tB\tnot whole\tthere is no file manifest"
            #expect(try lines() == ["revision\t0", whole, empty, "variable\tbank\tA", "starts\tA\tas usual"])
            try SigningKey.generate("\(directory)/other")
            #expect(
                try lines("other")[1]
                    == "bank\tA\tnot whole\tits manifest is damaged, or not signed with a key that this host trusts")
            // Without the boot sector of bank A nothing starts.
            let place = try #require(DiskImage.partitions.first { $0.partition == .bankA })
            let file = try Descriptor(opening: inputs.output, .readWrite)
            try file.write([UInt8](repeating: 0, count: 512), at: Int64(place.offset), inputs.output)
            #expect(try lines()[1] == "bank\tA\tnot whole\tthere is no FAT file system")
            #expect(try lines().last == "starts\tnothing")
        }
    }

    @Test("partition table and file systems please Debian's own tools")
    func foreignTools() throws {
        try withTemporaryDirectory { directory in
            let inputs = try Sources(directory, work: "one").inputs
            _ = try ImageBuilder.build(inputs)
            if fileExists("/sbin/sfdisk") { #expect(try run("/sbin/sfdisk", ["--verify", inputs.output]) == 0) }
            if fileExists("/sbin/sgdisk") { #expect(try run("/sbin/sgdisk", ["-v", inputs.output]) == 0) }
            guard fileExists("/sbin/fsck.vfat") else { return }
            let image = try readFile(inputs.output)
            let layout = String(decoding: try readFile("\(inputs.work)/layout.tsv"), as: UTF8.self)
            for line in layout.split(separator: "\n") {
                let fields = line.split(separator: "\t")
                guard ["WAFER-ESP", "WAFER-A", "WAFER-B"].contains(fields[0]) else { continue }
                let offset = try #require(Int(fields[1]))
                let volume = "\(directory)/volume"
                try Files.replace(volume, with: Array(image[offset..<(offset + #require(Int(fields[2])))]))
                #expect(try run("/sbin/fsck.vfat", ["-n", volume]) == 0, "\(fields[0])")
            }
        }
    }

    @Test("the modules in the image are those of the list and what they need, and the indexes speak of no others")
    func modules() throws {
        try withTemporaryDirectory { directory in
            let inputs = try Sources(directory, work: "one").inputs
            let tree = try ModuleTree(kernel: inputs.kernel)
            #expect(tree.release == "6.1.0-test")
            let selection = try tree.select(["second_part", "inside"])
            #expect(selection.files == ["kernel/first.ko", "kernel/second-part.ko"])
            #expect(
                selection.dependencies == "kernel/first.ko: \nkernel/second-part.ko: kernel/first.ko\n")
            #expect(selection.aliases == "alias pci:* second_part\n")
            #expect(throws: ImageError.missingModules(["fourth"], release: "6.1.0-test")) {
                try tree.select(["first", "fourth"])
            }
        }
    }

    @Test("a missing input is named, and no image is left")
    func missing() throws {
        try withTemporaryDirectory { directory in
            var inputs = try Sources(directory, work: "one").inputs
            _ = try ImageBuilder.build(inputs)
            inputs.wafer = "\(directory)/nothing"
            #expect {
                try ImageBuilder.build(inputs)
            } throws: {
                "\($0)".contains("\(directory)/nothing")
            }
            #expect(!fileExists(inputs.output))
        }
    }
}
