import BootMedium

/// The loader's environment from a broken medium: read, changed, written and read again.
func fuzzBootEnvironment(_ bytes: [UInt8]) {
    // The file has one length; what is short is filled up as GRUB does.
    let file = bytes.prefix(BootEnvironment.size)
    let filled = file + [UInt8](repeating: 0x23, count: BootEnvironment.size - file.count)
    guard var environment = try? BootEnvironment(parsing: Array(filled)) else { return }
    if let written = try? environment.bytes() {
        check(written.count == BootEnvironment.size, "the file keeps its length")
        check((try? BootEnvironment(parsing: written)) == environment, "what was written reads the same")
    }
    environment["trial"] = "1"
    if let written = try? environment.bytes() {
        check((try? BootEnvironment(parsing: written))?["trial"] == "1", "a variable that was set is there")
    }
}
