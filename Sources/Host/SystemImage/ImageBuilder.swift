import BootMedium
import Linux
import Signatures

/// Builds the boot medium.
public enum ImageBuilder {
    /// Builds the disk image, its parts and the table of sizes. The same inputs give the same bytes.
    ///
    /// - Returns: the sizes.
    /// - Throws: also if the image exceeds its budget; then nothing is at `inputs.output`.
    public static func build(_ inputs: ImageInputs) throws(ImageError) -> SizeTable {
        try describingFailure { () throws(SystemError) in try FileSystem.makeDirectory(inputs.work) }
        removeFile(inputs.output)
        let key = try SigningKey(inputs.key)
        let root = try RootArchives(inputs, trusted: key.publicFile)
        let (initrd, packed) = try Packer(isQuick: inputs.isQuick, directory: inputs.work).pack(root.archives)
        let kernel = try content(of: try kernelImage(inputs.kernel))
        let loader = try Loader(work: inputs.work, sector: DiskImage.firstSector)
        let configuration = try content(of: inputs.loaderConfiguration)
        var environment = BootEnvironment()
        environment["bank"] = BootBank.a.rawValue

        let parts = [(Manifest.kernel, kernel), (Manifest.initialRAMDisk, initrd)]
        let signed = sign(parts, version: Version.text, build: inputs.build, key)
        let bank = parts.map { DiskImage.VolumeFile(path: $0.0, bytes: $0.1) } + signed.files
        let system: [DiskImage.VolumeFile]
        do {
            system = [
                .init(path: "EFI/BOOT/BOOTX64.EFI", bytes: loader.efi),
                .init(path: "grub/grub.cfg", bytes: configuration),
                .init(path: BootEnvironment.path, bytes: try environment.bytes()),
            ]
        } catch { throw .layout("\(error)") }

        var sizes = SizeTable()
        sizes.add("kernel", raw: kernel.count, flash: kernel.count)
        for (archive, flash) in zip(root.archives, packed) { sizes.add(archive.name, raw: archive.raw, flash: flash) }
        sizes.add("loader-bios", raw: loader.bios.core.count, flash: loader.bios.core.count)
        let efi = loader.efi.count + configuration.count + BootEnvironment.size
        sizes.add("loader-uefi", raw: efi, flash: efi)
        let signature = signed.files.reduce(0) { $0 + $1.bytes.count }
        sizes.add("manifest", raw: signature, flash: signature)
        try write(Array(sizes.text.utf8), to: inputs.sizes)
        guard inputs.isQuick || sizes.total.flash <= SizeTable.budget else {
            throw .tooBig(sizes.total.flash, budget: SizeTable.budget)
        }

        for file in bank { try write(file.bytes, to: "\(inputs.work)/\(file.path)") }
        let image = try DiskImage(
            loader: loader, system: system, bank: bank, identity: SHA256.digest(of: signed.manifest))
        try write(Array(image.layoutText.utf8), to: "\(inputs.work)/layout.tsv")
        try image.write(to: inputs.output)
        return sizes
    }

    /// Writes an update bundle with a kernel and an initial RAM file system.
    public static func writeUpdate(
        kernel: String, initrd: String, version: String, build: String, key: String, output: String
    ) throws(ImageError) {
        let parts = [(Manifest.kernel, try content(of: kernel)), (Manifest.initialRAMDisk, try content(of: initrd))]
        let signed = sign(parts, version: version, build: build, try SigningKey(key))
        let bundle = UpdateBundle(manifest: signed.manifest, signature: signed.signature)
        try write(bundle.bytes + parts.flatMap(\.1), to: output)
    }

    private struct Signed {
        var manifest: [UInt8]
        var signature: [UInt8]

        /// As they lie in a bank.
        var files: [DiskImage.VolumeFile] {
            [
                .init(path: Manifest.fileName, bytes: manifest),
                .init(path: Manifest.signatureFileName, bytes: signature),
            ]
        }
    }

    private static func sign(
        _ parts: [(name: String, bytes: [UInt8])], version: String, build: String, _ key: SigningKey
    )
        -> Signed
    {
        let manifest = Manifest(
            version: version, build: build,
            parts: parts.map { .init(name: $0.name, size: UInt64($0.bytes.count), hash: SHA256.digest(of: $0.bytes)) })
        let text = Array(manifest.text.utf8)
        return Signed(manifest: text, signature: key.secret.signature(of: text))
    }

    private static func kernelImage(_ tree: String) throws(ImageError) -> String {
        let names = try describingFailure { () throws(SystemError) in try listDirectory("\(tree)/boot") }
        let images = names.filter { $0.hasPrefix("vmlinuz-") }
        guard images.count == 1 else { throw .kernel("\(tree)/boot must hold one kernel") }
        return "\(tree)/boot/\(images[0])"
    }

    private static func write(_ bytes: [UInt8], to path: String) throws(ImageError) {
        try describingFailure { () throws(SystemError) in
            let file = try Descriptor(opening: path, [.writeOnly, .create, .truncate])
            try file.write(bytes, at: 0, path)
        }
    }
}
