import CZlib

/// Reads a zlib stream piece by piece, as a client does.
final class Inflater {
    private let stream: UnsafeMutablePointer<z_stream>

    struct Broken: Error { var result: CInt }

    init() {
        stream = .allocate(capacity: 1)
        stream.initialize(to: z_stream())
        _ = inflateInit_(stream, ZLIB_VERSION, CInt(MemoryLayout<z_stream>.size))
    }

    deinit {
        inflateEnd(stream)
        stream.deallocate()
    }

    /// All that these bytes mean.
    func inflate(_ bytes: [UInt8]) throws -> [UInt8] {
        var output: [UInt8] = []
        var input = bytes
        try input.withUnsafeMutableBufferPointer { input in
            stream.pointee.next_in = input.baseAddress
            stream.pointee.avail_in = CUnsignedInt(input.count)
            repeat {
                var result = Z_OK
                output += [UInt8](unsafeUninitializedCapacity: 65536) { buffer, count in
                    stream.pointee.next_out = buffer.baseAddress
                    stream.pointee.avail_out = CUnsignedInt(buffer.count)
                    result = CZlib.inflate(stream, Z_SYNC_FLUSH)
                    count = buffer.count - Int(stream.pointee.avail_out)
                }
                guard result == Z_OK || result == Z_STREAM_END || result == Z_BUF_ERROR else {
                    throw Broken(result: result)
                }
            } while stream.pointee.avail_out == 0
        }
        return output
    }
}
