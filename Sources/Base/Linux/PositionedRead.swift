import CLinux

extension Descriptor {
    /// Reads from `offset` until `buffer` is full or the file ends.
    ///
    /// - Parameter subject: the name for error texts.
    /// - Returns: how many bytes were read.
    @unsafe public borrowing func read(
        into buffer: UnsafeMutableRawBufferPointer, at offset: Int64, _ subject: String = ""
    ) throws(SystemError) -> Int {
        let raw = self.raw
        var filled = 0
        while filled < buffer.count {
            let start = filled
            let count = try retrying("read", subject) {
                // Inside the buffer: start < buffer.count.
                unsafe pread(
                    raw, buffer.baseAddress.map { unsafe $0 + start }, buffer.count - start, Int(offset) + start)
            }
            if count == 0 { break }
            filled += count
        }
        return filled
    }
}
