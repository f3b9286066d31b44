import Linux
import Signatures

/// A part of the root that stays compressed in the host's memory and is mounted from there: a squashfs image.
struct RootVolume {
    var name: String
    /// Paths in the volume, and the files' bytes.
    var files: [(path: String, bytes: [UInt8])]

    /// Small blocks: to load one module no more than this is unpacked around it.
    private static let blockSize = "256K"

    /// Bytes of its files.
    var raw: Int { files.reduce(0) { $0 + $1.bytes.count } }

    /// The image, made by Debian's mksquashfs, or by an earlier call with the same files.
    func image(isQuick: Bool, directory: String) throws(ImageError) -> [UInt8] {
        let target = "\(directory)/\(name).squashfs"
        let compression = isQuick ? ["-comp", "zstd", "-Xcompression-level", "3"] : ["-comp", "xz", "-Xbcj", "x86"]
        let options =
            compression + ["-b", Self.blockSize]
            // Nothing of this machine: no owners, times, attributes.
            + ["-all-root", "-all-time", "0", "-mkfs-time", "0", "-no-xattrs", "-no-exports", "-noappend"]
            + ["-quiet", "-no-progress"]
        let key = Array("\(Hexadecimal.text(digest)) \(options.joined(separator: " "))\n".utf8)
        if fileExists(target), let known = try? readFile("\(target).key"), known == key {
            return try content(of: target)
        }

        removeFile("\(target).key")
        let stage = "\(directory)/\(name).stage"
        try describingFailure { () throws(SystemError) in
            try FileSystem.removeTree(stage)
            for (path, bytes) in files {
                try Self.makeDirectories(Files.directory(of: path), below: stage)
                let file = try Descriptor(opening: "\(stage)/\(path)", [.writeOnly, .create, .exclusive])
                try file.setPermissions(0o644)
                try file.write(bytes, at: 0, path)
            }
        }
        try Tool("/usr/bin/mksquashfs", [stage, target] + options).wait()
        try describingFailure { () throws(SystemError) in
            try FileSystem.removeTree(stage)
            try Files.replace("\(target).key", with: key)
        }
        return try content(of: target)
    }

    /// A hash of every path and every byte.
    private var digest: [UInt8] {
        var hash = SHA256()
        for (path, bytes) in files {
            hash.update(Array("\(path)\0\(bytes.count)\0".utf8))
            hash.update(bytes)
        }
        return hash.digest()
    }

    /// Makes directories that all may read, whatever this user's mask.
    private static func makeDirectories(_ path: String, below root: String) throws(SystemError) {
        var current = root
        for name in [""] + path.split(separator: "/").filter({ $0 != "." }) {
            if !name.isEmpty { current += "/\(name)" }
            if fileExists(current) { continue }
            try Files.makeDirectory(current)
            try Descriptor(opening: current, [.readOnly, .directory]).setPermissions(0o755)
        }
    }
}
