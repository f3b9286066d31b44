import Linux
import Signatures

/// Compresses archives for the kernel, and keeps what it made for the next time.
struct Packer {
    private let isQuick: Bool
    private let directory: String

    init(isQuick: Bool, directory: String) {
        self.isQuick = isQuick
        self.directory = directory
    }

    /// The initial RAM file system, and what each archive takes in it.
    func pack(_ archives: [RootArchives.Archive]) throws(ImageError) -> (initrd: [UInt8], sizes: [Int]) {
        var tools: [Tool] = []
        for archive in archives where archive.isCompressible {
            if let tool = try start(archive) { tools.append(tool) }
        }
        for tool in tools { try tool.wait() }
        var initrd: [UInt8] = []
        var sizes: [Int] = []
        for archive in archives {
            var packed = archive.cpio
            if archive.isCompressible {
                packed = try content(of: path(archive))
                // Written down only now that the tool has succeeded.
                try describingFailure { () throws(SystemError) in
                    try Files.replace("\(path(archive)).key", with: Array(key(archive).utf8))
                }
            }
            // The kernel skips zeros between archives, and wants those that are not compressed aligned (init/initramfs.c,
            // unpack_to_rootfs).
            packed += [UInt8](repeating: 0, count: (4 - packed.count % 4) % 4)
            sizes.append(packed.count)
            initrd += packed
        }
        return (initrd, sizes)
    }

    /// Begins to compress one archive; nil if that was done before.
    private func start(_ archive: RootArchives.Archive) throws(ImageError) -> Tool? {
        let target = path(archive)
        if fileExists(target), let known = try? readFile("\(target).key"), known == Array(key(archive).utf8) {
            return nil
        }
        removeFile("\(target).key")
        let source = "\(directory)/\(archive.name).cpio"
        try describingFailure { () throws(SystemError) in
            let file = try Descriptor(opening: source, [.writeOnly, .create, .truncate])
            try file.write(archive.cpio, at: 0, source)
        }
        let command = command(archive)
        return try Tool(command[0], Array(command.dropFirst()), input: source, output: target)
    }

    /// The kernel's own decompressors take these (Documentation/staging/xz.rst: crc32, the x86 filter). One thread and one
    /// block, so that the bytes do not depend on the machine.
    private func command(_ archive: RootArchives.Archive) -> [String] {
        if isQuick { return ["/usr/bin/zstd", "-q", "-3", "-T1", "-c"] }
        // The kernel allocates the dictionary while it unpacks: no more than there is to remember.
        var dictionary = 1
        while dictionary < 64, dictionary << 20 < archive.cpio.count { dictionary *= 2 }
        return [
            "/usr/bin/xz", "-T1", "--check=crc32", "--x86", "--lzma2=preset=9e,dict=\(dictionary)MiB", "-c",
        ]
    }

    private func path(_ archive: RootArchives.Archive) -> String {
        "\(directory)/\(archive.name).\(isQuick ? "zst" : "xz")"
    }

    private func key(_ archive: RootArchives.Archive) -> String {
        "\(Hexadecimal.text(SHA256.digest(of: archive.cpio))) \(command(archive).joined(separator: " "))\n"
    }
}
