import CLinux

extension OpenMode {
    /// Refuses a path whose last component is a symbolic link, with the error `isLinkLoop`.
    public static let notFollowingLink = OpenMode(rawValue: O_NOFOLLOW)
}

extension SystemError {
    /// Whether a path led to a symbolic link where none may be, or through too many of them.
    public var isLinkLoop: Bool { number == ELOOP }
    /// Whether there is nothing at the path.
    public var isNotFound: Bool { number == ENOENT }
    /// Whether something is there already.
    public var isExisting: Bool { number == EEXIST }
    /// Whether somebody else has the thing for themselves.
    public var isBusy: Bool { number == EBUSY }
}

extension Descriptor {
    /// Opens `name` in the directory this descriptor stands for.
    ///
    /// The result is closed on exec.
    public borrowing func opening(_ name: String, _ mode: OpenMode, permissions: UInt32 = 0o644) throws(SystemError)
        -> Descriptor
    {
        let directory = self.raw
        let flags = mode.rawValue | O_CLOEXEC
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

    /// Makes reads and writes go around the host's page cache, or through it again.
    ///
    /// - Returns: whether the file system can do that.
    public borrowing func setDirect(_ on: Bool) -> Bool {
        setStatusFlag(OpenMode.direct.rawValue, on)
    }

    /// Makes calls that would wait fail instead, or wait again.
    public borrowing func setNotWaiting(_ on: Bool) -> Bool { setStatusFlag(OpenMode.nonBlocking.rawValue, on) }

    private borrowing func setStatusFlag(_ flag: CInt, _ on: Bool) -> Bool {
        let raw = self.raw
        let flags = wafer_fcntl(raw, F_GETFL, 0)
        return flags >= 0 && wafer_fcntl(raw, F_SETFL, Int(on ? flags | flag : flags & ~flag)) >= 0
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

    /// Makes one directory. One that is there already is no error.
    public static func makeDirectory(_ path: String, permissions: UInt32 = 0o755) throws(SystemError) {
        do {
            try retrying("make directory", path) { unsafe mkdir(path, permissions) }
        } catch {
            if !error.isExisting { throw error }
        }
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
        // The name is ours alone while the caller holds whatever lock guards the file; what a crash left of it goes. Made
        // anew, so that a link somebody put there leads our bytes nowhere.
        let temporary = "\(target).new"
        try? remove(temporary)
        let file = try Descriptor(
            opening: temporary, [.writeOnly, .create, .exclusive], permissions: old?.permissions ?? permissions)
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

extension Descriptor {
    /// Whether the first `count` bytes, or what there is of them, can be read into mapped memory; a trial for direct I/O.
    public borrowing func canRead(_ count: Int, into memory: Mapping) -> Bool {
        precondition(count >= 0 && count <= memory.count, "read beyond the mapping")
        let raw = self.raw
        return unsafe pread(raw, memory.base, count, 0) >= 0
    }
}
