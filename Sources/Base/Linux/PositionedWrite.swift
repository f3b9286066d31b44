import CLinux

extension Descriptor {
    /// Writes all of `buffer` at `offset`.
    ///
    /// - Parameter subject: the name for error texts.
    @unsafe public borrowing func write(
        from buffer: UnsafeRawBufferPointer, at offset: Int64, _ subject: String = ""
    ) throws(SystemError) {
        let raw = self.raw
        var written = 0
        while written < buffer.count {
            let start = written
            written += try retrying("write", subject) {
                // Inside the buffer: start < buffer.count.
                unsafe pwrite(
                    raw, buffer.baseAddress.map { unsafe $0 + start }, buffer.count - start, Int(offset) + start)
            }
        }
    }

    /// Makes the data written so far survive a power cut; of what describes the file, only what reading it needs.
    public borrowing func synchronizeData(_ subject: String = "") throws(SystemError) {
        let raw = self.raw
        try retrying("write to stable storage", subject) { fdatasync(raw) }
    }
}
