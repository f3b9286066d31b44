import CZlib

/// Compresses a stream of bytes (RFC 1950 and 1951), by zlib.
@safe final class Deflater {
    /// How hard to try, of zlib's nine levels: what a screen gains beyond is little.
    private static let level: CInt = 4
    /// Logarithms of the window and, less nine, of the table of strings. Both cost four bytes each: 128 KiB together.
    private static let windowBits: CInt = 14
    private static let memoryLevel: CInt = 7
    private static let chunk = 16 << 10

    /// At one place for as long as zlib knows of it.
    private let stream: UnsafeMutablePointer<z_stream>

    /// - Returns: nil if there is no memory.
    init?() {
        unsafe stream = .allocate(capacity: 1)
        unsafe stream.initialize(to: z_stream())
        let result = unsafe deflateInit2_(
            stream, Self.level, Z_DEFLATED, Self.windowBits, Self.memoryLevel, Z_DEFAULT_STRATEGY, ZLIB_VERSION,
            CInt(MemoryLayout<z_stream>.size))
        guard result == Z_OK else {
            unsafe stream.deallocate()
            return nil
        }
    }

    deinit {
        _ = unsafe deflateEnd(stream)
        unsafe stream.deallocate()
    }

    /// The compressed form of the next bytes, up to where a reader can understand all of them.
    ///
    /// - Parameter isLast: the stream ends with them; nothing may follow.
    func compress(_ bytes: [UInt8], isLast: Bool = false) -> [UInt8] {
        var output: [UInt8] = []
        // zlib does not write to its input, though its type says so.
        unsafe bytes.withUnsafeBufferPointer { input in
            unsafe stream.pointee.next_in = UnsafeMutablePointer(mutating: input.baseAddress)
            unsafe stream.pointee.avail_in = CUnsignedInt(clamping: input.count)
            var isDone = false
            while !isDone {
                let piece = unsafe [UInt8](unsafeUninitializedCapacity: Self.chunk) { buffer, count in
                    unsafe stream.pointee.next_out = buffer.baseAddress
                    unsafe stream.pointee.avail_out = CUnsignedInt(buffer.count)
                    _ = unsafe deflate(stream, isLast ? Z_FINISH : Z_SYNC_FLUSH)
                    unsafe count = buffer.count - Int(stream.pointee.avail_out)
                }
                output += piece
                // Room that is left means that nothing is held back.
                isDone = piece.count < Self.chunk
            }
            unsafe stream.pointee.next_in = nil
        }
        return output
    }
}
