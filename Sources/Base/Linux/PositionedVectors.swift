import CLinux

extension Descriptor {
    /// How many stretches one call takes (UIO_MAXIOV).
    public static var vectorsMax: Int { 1024 }

    /// Writes all of the stretches at `offset`, one after another.
    ///
    /// - Parameters:
    ///   - pieces: at most `vectorsMax`; used up.
    ///   - subject: the name for error texts.
    @unsafe public borrowing func write(
        vectors pieces: UnsafeMutableBufferPointer<IOVector>, at offset: Int64, _ subject: String = ""
    ) throws(SystemError) {
        let raw = self.raw
        var rest = unsafe pieces[...]
        var offset = offset
        while true {
            unsafe Self.dropDone(&rest, 0)
            let vectors = unsafe UnsafeMutableBufferPointer(rebasing: rest)
            if vectors.isEmpty { return }
            let done = try retrying("write", subject) {
                unsafe pwritev(raw, Self.kernelVectors(vectors), CInt(vectors.count), Int(offset))
            }
            offset += Int64(done)
            unsafe Self.dropDone(&rest, done)
        }
    }

    /// Fills the stretches with what lies at `offset`, one after another.
    ///
    /// - Parameters:
    ///   - pieces: at most `vectorsMax`; used up.
    ///   - subject: the name for error texts.
    /// - Returns: how many bytes were read; fewer than asked for if the file ends.
    @unsafe public borrowing func read(
        vectors pieces: UnsafeMutableBufferPointer<IOVector>, at offset: Int64, _ subject: String = ""
    ) throws(SystemError) -> Int {
        let raw = self.raw
        var rest = unsafe pieces[...]
        var total = 0
        while true {
            unsafe Self.dropDone(&rest, 0)
            let vectors = unsafe UnsafeMutableBufferPointer(rebasing: rest)
            if vectors.isEmpty { return total }
            let done = try retrying("read", subject) {
                unsafe preadv(raw, Self.kernelVectors(vectors), CInt(vectors.count), Int(offset) + total)
            }
            if done == 0 { return total }
            total += done
            unsafe Self.dropDone(&rest, done)
        }
    }

    /// The same array, as the kernel calls it.
    private static func kernelVectors(_ pieces: UnsafeMutableBufferPointer<IOVector>) -> UnsafePointer<iovec>? {
        unsafe pieces.baseAddress.map { unsafe UnsafeRawPointer($0).assumingMemoryBound(to: iovec.self) }
    }

    /// Takes `count` bytes, and what is empty, off the front.
    private static func dropDone(_ rest: inout Slice<UnsafeMutableBufferPointer<IOVector>>, _ count: Int) {
        var count = count
        while let first = unsafe rest.first, unsafe first.count <= count {
            unsafe count -= first.count
            unsafe rest.removeFirst()
        }
        if count > 0, unsafe !rest.isEmpty {
            let start = unsafe rest.startIndex
            unsafe rest[start].base = unsafe rest[start].base.map { unsafe $0 + count }
            unsafe rest[start].count -= count
        }
    }

    /// The next stretch of a sparse file that holds data, from `offset` on; nil if there is none.
    ///
    /// A file system that does not know says that all of it does.
    ///
    /// - Parameter size: the file's length in bytes.
    public borrowing func nextData(from offset: Int, size: Int) -> Range<Int>? {
        guard offset < size else { return nil }
        let start = lseek(raw, offset, SEEK_DATA)
        if start < 0 { return wafer_errno() == ENXIO ? nil : offset..<size }
        let end = lseek(raw, start, SEEK_HOLE)
        return start..<(end > start ? min(end, size) : size)
    }
}
