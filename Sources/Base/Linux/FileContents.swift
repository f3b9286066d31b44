import CLinux

extension Descriptor {
    /// Opens `name` in the directory this descriptor stands for.
    ///
    /// - Parameter followingLink: whether `name` itself may be a symbolic link.
    public borrowing func opening(
        _ name: String, _ mode: OpenMode, followingLink: Bool = true, permissions: UInt32 = 0o644
    ) throws(SystemError) -> Descriptor {
        let directory = self.raw
        let flags = mode.rawValue | O_CLOEXEC | (followingLink ? 0 : O_NOFOLLOW)
        return Descriptor(
            adopting: try retrying("open", name) { unsafe wafer_openat(directory, name, flags, permissions) })
    }

    /// Reads from `offset` until the end of the file or until `limit` bytes are there.
    public borrowing func contents(upTo limit: Int, at offset: Int64 = 0, _ subject: String = "") throws(SystemError)
        -> [UInt8]
    {
        let raw = self.raw
        var bytes = [UInt8](repeating: 0, count: limit)
        var filled = 0
        while filled < limit {
            let start = filled
            let count = try retrying("read", subject) {
                unsafe bytes.withUnsafeMutableBytes { buffer in
                    // Inside the array: start < limit == buffer.count.
                    unsafe pread(raw, buffer.baseAddress.map { unsafe $0 + start }, limit - start, Int(offset) + start)
                }
            }
            if count == 0 { break }
            filled += count
        }
        bytes.removeLast(limit - filled)
        return bytes
    }

    /// Writes all the bytes at `offset`.
    public borrowing func write(_ bytes: [UInt8], at offset: Int64, _ subject: String = "") throws(SystemError) {
        let raw = self.raw
        var written = 0
        while written < bytes.count {
            let start = written
            written += try retrying("write", subject) {
                unsafe bytes.withUnsafeBytes { buffer in
                    // Inside the array: start < bytes.count == buffer.count.
                    unsafe pwrite(
                        raw, buffer.baseAddress.map { unsafe $0 + start }, buffer.count - start, Int(offset) + start)
                }
            }
        }
    }

    /// Makes everything written so far survive a power cut.
    public borrowing func synchronize(_ subject: String = "") throws(SystemError) {
        let raw = self.raw
        try retrying("write to stable storage", subject) { fsync(raw) }
    }

    /// Cuts or extends (with a hole) a file to `size` bytes.
    public borrowing func resize(to size: Int64, _ subject: String = "") throws(SystemError) {
        let raw = self.raw
        try retrying("resize", subject) { ftruncate(raw, Int(size)) }
    }

    /// Reserves disk space for the first `size` bytes, which read as zeros, and extends the file to them.
    public borrowing func allocate(_ size: Int64, _ subject: String = "") throws(SystemError) {
        let raw = self.raw
        try retrying("allocate", subject) { wafer_fallocate(raw, 0, 0, Int(size)) }
    }
}

/// Operations on names in the file system.
public enum Files {
    /// The path with every symbolic link resolved; the file must exist.
    public static func resolve(_ path: String) throws(SystemError) -> String {
        guard let resolved = unsafe realpath(path, nil) else { throw SystemError.last("resolve", path) }
        defer { unsafe free(resolved) }
        return unsafe String(cString: resolved)
    }

    /// The directory part of a path; `.` if it has none.
    public static func directory(of path: String) -> String {
        guard let slash = path.utf8.lastIndex(of: UInt8(ascii: "/")) else { return "." }
        return slash == path.startIndex ? "/" : String(path[..<slash])
    }

    /// The last component of a path.
    public static func name(of path: String) -> String {
        guard let slash = path.utf8.lastIndex(of: UInt8(ascii: "/")) else { return path }
        return String(path[path.utf8.index(after: slash)...])
    }

    /// Removes a name; other names and open descriptors keep the file.
    public static func remove(_ path: String) throws(SystemError) {
        try retrying("remove", path) { unsafe unlink(path) }
    }

    /// Makes the names created, renamed and removed in a directory survive a power cut.
    public static func synchronizeDirectory(_ path: String) throws(SystemError) {
        try Descriptor(opening: path, [.readOnly, .directory]).synchronize(path)
    }

    /// Replaces a file's content so that at any moment, power cut included, the name leads to the whole old or the
    /// whole new content. Permissions and, where allowed, ownership are kept; a symbolic link stays one.
    public static func replace(_ path: String, with bytes: [UInt8], permissions: UInt32 = 0o644) throws(SystemError) {
        let old = try? FileIdentity(of: path)
        let target = old == nil ? path : try resolve(path)
        // The name is ours alone while the caller holds whatever lock guards the file; a left-over of a crash is reused.
        let temporary = "\(target).new"
        let file = try Descriptor(
            opening: temporary, [.writeOnly, .create, .truncate], permissions: old?.permissions ?? permissions)
        do {
            if let old {
                let raw = file.raw
                _ = fchown(raw, old.owner, old.group)  // best effort: only root may
                try retrying("set permissions of", temporary) { fchmod(raw, old.permissions) }
            }
            try file.write(bytes, at: 0, temporary)
            try file.synchronize(temporary)
            try retrying("rename", temporary) { unsafe rename(temporary, target) }
        } catch {
            try? remove(temporary)
            throw error
        }
        try synchronizeDirectory(directory(of: target))
    }
}
