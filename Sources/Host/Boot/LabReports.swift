import Linux

/// Text that a client asks for, a line an item.
enum LabReports {
    /// `KIND SIZE PERMISSIONS NAME` for each entry of a directory.
    static func directory(_ path: String) throws(SystemError) -> [UInt8] {
        var text = ""
        for name in try listDirectory(path).sorted() {
            guard let status = FileSystem.status(of: "\(path)/\(name)") else { continue }
            let permissions = String(status.permissions, radix: 8)
            text += "\(status.kind.rawValue) \(status.size) \(permissions) \(name)\n"
        }
        return Array(text.utf8)
    }

    /// `PID PARENT STATE THREADS RSS-KIB DESCRIPTORS COMMAND` for each process.
    static func processes() -> [UInt8] {
        var text = ""
        let processes = ((try? listDirectory("/proc")) ?? []).compactMap { Int32($0) }.sorted()
        for process in processes { text += line(process) ?? "" }
        return Array(text.utf8)
    }

    /// One that ends while it is looked at is left out.
    private static func line(_ process: Int32) -> String? {
        let directory = "/proc/\(process)"
        guard let status = try? FileSystem.text(of: "\(directory)/status") else { return nil }
        var values: [Substring: Substring] = [:]
        for line in status.split(separator: "\n") {
            guard let colon = line.firstIndex(of: ":") else { continue }
            values[line[..<colon]] = line[line.index(after: colon)...].split { $0 == " " || $0 == "\t" }.first
        }
        let descriptors = (try? listDirectory("\(directory)/fd").count) ?? 0
        var command = (try? readFile("\(directory)/cmdline", limit: 1 << 20)) ?? []
        while command.last == 0 { command.removeLast() }
        let words = String(decoding: command.map { $0 == 0 || $0 == 10 ? 32 : $0 }, as: UTF8.self)
        let name = words.isEmpty ? "[\(values["Name"] ?? "?")]" : words
        let numbers = [values["PPid"], values["State"], values["Threads"], values["VmRSS"] ?? "0"]
        return "\(process) \(numbers.map { $0 ?? "?" }.joined(separator: " ")) \(descriptors) \(name)\n"
    }
}
