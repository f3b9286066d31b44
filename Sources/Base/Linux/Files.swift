import CLinux

/// Removes a file; one that is not there is no error.
public func removeFile(_ path: String) { _ = unsafe unlink(path) }

/// The whole of a file.
///
/// - Parameter limit: more bytes than this are an error (EFBIG).
public func readFile(_ path: String, limit: Int = 1 << 30) throws(SystemError) -> [UInt8] {
    let file = try Descriptor(opening: path, .readOnly)
    var bytes: [UInt8] = []
    // Files in /proc and /sys tell no size: read until the end.
    while true {
        var failure: SystemError?
        let chunk = unsafe [UInt8](unsafeUninitializedCapacity: 1 << 16) { buffer, count in
            let result = unsafe CLinux.read(file.raw, buffer.baseAddress, buffer.count)
            if result < 0 { failure = .last("read", path) } else { count = result }
        }
        if let failure {
            if failure.number == EINTR { continue }
            throw failure
        }
        if chunk.isEmpty { return bytes }
        bytes += chunk
        if bytes.count > limit { throw SystemError(number: EFBIG, operation: "read", subject: path) }
    }
}

/// The directory part of a path: "." if there is none.
public func directory(of path: String) -> String {
    guard let slash = path.lastIndex(of: "/") else { return "." }
    return slash == path.startIndex ? "/" : String(path[..<slash])
}

/// A path relative to a directory; an absolute one stays as it is.
public func resolve(_ path: String, in directory: String) -> String {
    path.hasPrefix("/") ? path : directory + "/" + path
}

/// Whether a path leads to something.
public func fileExists(_ path: String) -> Bool { unsafe access(path, F_OK) == 0 }

/// Renames a file, over another if there is one.
public func renameFile(_ path: String, _ target: String) throws(SystemError) {
    try retrying("rename", path) { unsafe rename(path, target) }
}

/// The names in a directory, without "." and "..", in no order.
public func listDirectory(_ path: String) throws(SystemError) -> [String] {
    guard let stream = unsafe opendir(path) else { throw SystemError.last("list", path) }
    defer { unsafe closedir(stream) }
    var names: [String] = []
    while let entry = unsafe readdir(stream) {
        let name = unsafe withUnsafeBytes(of: &entry.pointee.d_name) { bytes in
            unsafe String(decoding: bytes.prefix { $0 != 0 }, as: UTF8.self)
        }
        if name != ".", name != ".." { names.append(name) }
    }
    return names
}

/// The path without links and relative parts.
public func absolutePath(_ path: String) throws(SystemError) -> String {
    guard let resolved = unsafe realpath(path, nil) else { throw SystemError.last("find", path) }
    defer { unsafe free(resolved) }
    return unsafe String(cString: resolved)
}

/// Writes text to standard error.
public func writeToStandardError(_ text: String) {
    var text = text
    text.withUTF8 { buffer in _ = unsafe write(2, buffer.baseAddress, buffer.count) }
}

extension Descriptor {
    /// Writes all of a text to a file, as far as the file takes it.
    public func writeAll(_ text: String) { _ = writeAll(Array(text.utf8)) }
}

/// The wall clock as ISO 8601 in UTC with milliseconds: "2026-11-23T01:51:52.123Z".
public func timestamp() -> String {
    let now = wallClock()
    let time = CalendarTime(secondsSince1970: now.seconds)
    func padded(_ value: Int, _ width: Int) -> String {
        let digits = String(value)
        return String(repeating: "0", count: max(0, width - digits.count)) + digits
    }
    let date = "\(time.year)-\(padded(time.month, 2))-\(padded(time.day, 2))"
    let clock = "\(padded(time.hour, 2)):\(padded(time.minute, 2)):\(padded(time.second, 2))"
    return "\(date)T\(clock).\(padded(Int(now.nanoseconds / 1_000_000), 3))Z"
}

/// Writes text to standard output.
public func writeToStandardOutput(_ text: String) {
    var text = text
    text.withUTF8 { buffer in _ = unsafe write(1, buffer.baseAddress, buffer.count) }
}

/// This process's number.
public func processIdentifier() -> CInt { getpid() }

/// Ends the process at once, after what `atexit` asks for.
public func exitProcess(_ code: Int32) -> Never { exit(code) }
