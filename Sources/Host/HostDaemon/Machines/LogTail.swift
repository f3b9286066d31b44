import Linux

/// The end of a log file.
enum LogTail {
    /// The last lines of a text file, oldest first; empty if it cannot be read. Reads disks: not on a loop.
    static func lines(of path: String, limit: Int) -> [String] {
        let size = 32 * 1024
        guard let file = try? Descriptor(opening: path, [.readOnly, .nonBlocking]),
            let identity = try? file.identity(path), identity.kind == .regular,
            let bytes = try? file.contents(upTo: size, at: max(0, identity.size - Int64(size)), path)
        else { return [] }
        var lines = String(decoding: bytes, as: UTF8.self).split(separator: "\n").map(String.init)
        // The first one may have lost its beginning.
        if identity.size > Int64(size), !lines.isEmpty { lines.removeFirst() }
        return Array(lines.suffix(limit))
    }
}
