import CLinux

/// What a directory entry is.
public enum FileKind: Character, Sendable {
    case file = "f"
    case directory = "d"
    case link = "l"
    case block = "b"
    case character = "c"
    case socket = "s"
    case pipe = "p"
    case unknown = "?"

    fileprivate init(mode: mode_t) {
        self =
            switch CInt(mode) & S_IFMT {
            case S_IFREG: .file
            case S_IFDIR: .directory
            case S_IFLNK: .link
            case S_IFBLK: .block
            case S_IFCHR: .character
            case S_IFSOCK: .socket
            case S_IFIFO: .pipe
            default: .unknown
            }
    }
}

/// What `lstat` says about a path.
public struct FileStatus: Sendable {
    public var kind: FileKind
    /// Length in bytes.
    public var size: Int64
    /// Permission bits.
    public var permissions: UInt32
    /// Device the file lies on; differs from the parent's at a mount point.
    public var device: UInt64
}

/// More operations on names in the file system, for setting up a host.
public enum FileSystem {
    /// A small text file without the white space around it, as sysfs attributes are.
    public static func text(of path: String) throws(SystemError) -> String {
        var bytes = try readFile(path, limit: 1 << 20)[...]
        while let last = bytes.last, last == 10 || last == 32 || last == 9 || last == 0 { bytes.removeLast() }
        return String(decoding: bytes, as: UTF8.self)
    }

    /// Writes a file in place, made if it is missing; for attributes in /proc and /sys.
    public static func write(_ text: String, to path: String) throws(SystemError) {
        let file = try Descriptor(opening: path, [.writeOnly, .create, .truncate])
        let bytes = Array(text.utf8)
        try file.write(all: bytes.span, path)
    }

    /// Names in a directory with what they are, a link not followed; without `.` and `..`, in no order.
    ///
    /// Cheaper than `status(of:)` for each: the kernel says it along with the name. Not every disk file system does
    /// (`unknown`); /proc, /sys, tmpfs and ext4 do.
    public static func entries(in path: String) throws(SystemError) -> [(name: String, kind: FileKind)] {
        guard let stream = unsafe opendir(path) else { throw SystemError.last("list", path) }
        defer { _ = unsafe closedir(stream) }
        var entries: [(name: String, kind: FileKind)] = []
        while let entry = unsafe readdir(stream) {
            let name = unsafe withUnsafeBytes(of: &entry.pointee.d_name) { bytes in
                unsafe String(decoding: bytes.prefix { $0 != 0 }, as: UTF8.self)
            }
            // The DT_ constants are the file type bits of a mode, shifted down (dirent.h, DTTOIF).
            let kind = FileKind(mode: mode_t(unsafe entry.pointee.d_type) << 12)
            if name != ".", name != ".." { entries.append((name, kind)) }
        }
        return entries
    }

    /// What stands at a path, a link not followed; nil if nothing does.
    public static func status(of path: String) -> FileStatus? {
        var result = stat()
        guard unsafe lstat(path, &result) == 0 else { return nil }
        return FileStatus(
            kind: FileKind(mode: result.st_mode), size: Int64(result.st_size),
            permissions: UInt32(result.st_mode & 0o7777), device: UInt64(result.st_dev))
    }

    /// Makes a directory and those above it. One that is there already is no error.
    public static func makeDirectory(_ path: String, permissions: UInt32 = 0o755) throws(SystemError) {
        if unsafe mkdir(path, permissions) == 0 { return }
        switch wafer_errno() {
        case EEXIST where status(of: path)?.kind != .file: return
        case ENOENT:
            guard let slash = path.lastIndex(of: "/"), slash != path.startIndex else {
                throw SystemError(number: ENOENT, operation: "make directory", subject: path)
            }
            try makeDirectory(String(path[..<slash]), permissions: permissions)
            try retrying("make directory", path) { unsafe mkdir(path, permissions) }
        case let number: throw SystemError(number: number, operation: "make directory", subject: path)
        }
    }

    /// Removes a file, a link or an empty directory.
    public static func remove(_ path: String) throws(SystemError) {
        try retrying("remove", path) { unsafe CLinux.remove(path) }
    }

    /// Removes a directory and all below it, links not followed. Nothing there is no error.
    public static func removeTree(_ path: String) throws(SystemError) {
        guard let status = status(of: path) else { return }
        if status.kind == .directory {
            for name in try listDirectory(path) { try removeTree("\(path)/\(name)") }
        }
        try remove(path)
    }

    /// Where a symbolic link points.
    public static func linkTarget(_ path: String) throws(SystemError) -> String {
        var buffer = [UInt8](repeating: 0, count: 4096)
        let count = try retrying("read link", path) {
            unsafe buffer.withUnsafeMutableBytes { bytes in
                guard let base = bytes.baseAddress else { return -1 }
                return unsafe readlink(path, base.assumingMemoryBound(to: CChar.self), bytes.count)
            }
        }
        return String(decoding: buffer[..<count], as: UTF8.self)
    }

    /// Makes a symbolic link at `path`.
    public static func makeLink(_ path: String, to target: String) throws(SystemError) {
        try retrying("make link", path) { unsafe symlink(target, path) }
    }
}
