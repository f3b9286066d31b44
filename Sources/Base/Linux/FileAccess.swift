import CLinux

extension Descriptor {
    /// Writes as many of the bytes as the kernel takes now.
    public borrowing func write(some bytes: Span<UInt8>) -> Transfer {
        unsafe bytes.withUnsafeBytes { unsafe write($0) }
    }

    /// Writes all the bytes to a file, at its position.
    public borrowing func write(all bytes: Span<UInt8>, _ subject: String) throws(SystemError) {
        let raw = self.raw
        var offset = 0
        while offset < bytes.count {
            let rest = bytes.extracting(offset..<bytes.count)
            offset += try retrying("write", subject) {
                unsafe rest.withUnsafeBytes { unsafe CLinux.write(raw, $0.baseAddress, $0.count) }
            }
        }
    }

    /// Tells the other side of a stream socket that nothing more comes from here.
    public borrowing func shutDownWriting() { _ = shutdown(raw, CInt(SHUT_WR)) }

    /// Sets the file's permission bits, whatever the umask.
    public borrowing func setPermissions(_ permissions: UInt32) throws(SystemError) {
        let raw = self.raw
        try retrying("set permissions") { fchmod(raw, permissions) }
    }

    /// A file in memory with these bytes, to be read from the start.
    public static func memoryFile(_ bytes: [UInt8]) throws(SystemError) -> Descriptor {
        let file = Descriptor(
            adopting: try retrying("create memory file") { unsafe wafer_memfd_create("text", WAFER_MFD_CLOEXEC) })
        try file.write(all: bytes.span, "memory file")
        let raw = file.raw
        try retrying("rewind memory file") { lseek(raw, 0, SEEK_SET) }
        return file
    }
}

/// A new pipe, closed on exec; each end is taken by its owner, and one that nobody takes is closed with this.
public struct Pipe: ~Copyable {
    private var readEnd: Descriptor?
    private var writeEnd: Descriptor?

    public init() throws(SystemError) {
        var ends: [CInt] = [-1, -1]
        try retrying("create pipe") { unsafe wafer_pipe(&ends, O_CLOEXEC) }
        readEnd = Descriptor(adopting: ends[0])
        writeEnd = Descriptor(adopting: ends[1])
    }

    /// Hands over the end to read from; nil if it was taken before.
    public mutating func takeReadEnd() -> Descriptor? { readEnd.take() }

    /// Hands over the end to write to; nil if it was taken before.
    public mutating func takeWriteEnd() -> Descriptor? { writeEnd.take() }
}
