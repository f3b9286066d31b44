import CLinux

/// Runs `body` with the path of a fresh directory, which is removed with all its files afterwards.
public func withTemporaryDirectory<Result>(_ body: (String) throws -> Result) throws -> Result {
    var template = Array("/tmp/wafer-test-XXXXXX".utf8CString)
    guard mkdtemp(&template) != nil else { throw TemporaryDirectoryError() }
    let path = String(decoding: template.dropLast().map(UInt8.init(bitPattern:)), as: UTF8.self)
    defer { removeTree(path) }
    return try body(path)
}

public struct TemporaryDirectoryError: Error {}

private func removeTree(_ path: String) {
    if let directory = opendir(path) {
        while let entry = readdir(directory) {
            let name = withUnsafePointer(to: &entry.pointee.d_name) {
                $0.withMemoryRebound(to: CChar.self, capacity: 256) { String(cString: $0) }
            }
            guard name != ".", name != ".." else { continue }
            // A link to a directory is removed, not followed.
            if unlink(path + "/" + name) != 0 { removeTree(path + "/" + name) }
        }
        closedir(directory)
    }
    rmdir(path)
}
