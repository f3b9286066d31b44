/// An archive as the kernel unpacks it into its first root: cpio in the "newc" format
/// (Linux: Documentation/driver-api/early-userspace/buffer-format.rst).
///
/// All belongs to root and is of the first second of 1970; inodes are counted. The same calls give the same bytes.
struct CPIOArchive {
    private var content: [UInt8] = []
    private var count = 0
    private var directories: Set<String> = []

    /// Adds a directory and those above it. One that is there already stays as it is.
    mutating func directory(_ path: String, permissions: UInt32 = 0o755) {
        guard !path.isEmpty, directories.insert(path).inserted else { return }
        parent(of: path)
        entry(path, mode: 0o040000 | permissions, [])
    }

    mutating func file(_ path: String, _ bytes: [UInt8], permissions: UInt32 = 0o644) {
        parent(of: path)
        entry(path, mode: 0o100000 | permissions, bytes)
    }

    mutating func link(_ path: String, to target: String) {
        parent(of: path)
        entry(path, mode: 0o120777, Array(target.utf8))
    }

    /// The archive with its end.
    consuming func finish() -> [UInt8] {
        entry("TRAILER!!!", mode: 0, [])
        return content
    }

    private mutating func parent(of path: String) {
        guard let slash = path.lastIndex(of: "/") else { return }
        directory(String(path[..<slash]))
    }

    private mutating func entry(_ path: String, mode: UInt32, _ bytes: [UInt8]) {
        count += 1
        let name = Array(path.utf8) + [0]
        // inode, mode, owner, group, links, time, size, device, device of the node, length of the name, checksum (unused)
        let fields = [UInt32(count), mode, 0, 0, 1, 0, UInt32(bytes.count), 0, 0, 0, 0, UInt32(name.count), 0]
        content += Array("070701".utf8)
        for field in fields {
            let digits = String(field, radix: 16, uppercase: true).utf8
            content += [UInt8](repeating: UInt8(ascii: "0"), count: 8 - digits.count) + Array(digits)
        }
        content += name
        align()
        content += bytes
        align()
    }

    private mutating func align() {
        while !content.count.isMultiple(of: 4) { content.append(0) }
    }
}
