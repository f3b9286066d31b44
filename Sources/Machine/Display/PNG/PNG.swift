/// Pictures as PNG files (W3C Recommendation "Portable Network Graphics", third edition): eight bits red, green and blue.
public enum PNG {
    /// A file with the picture.
    public static func encode(_ surface: Surface) -> [UInt8] {
        var file: [UInt8] = [0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a]
        // Header: size, eight bits a sample, true colour; deflate, the filters there are, not interlaced.
        appendChunk("IHDR", big(surface.width) + big(surface.height) + [8, 2, 0, 0, 0], to: &file)
        var scanlines: [UInt8] = []
        scanlines.reserveCapacity((surface.width * 3 + 1) * surface.height)
        for y in 0..<surface.height {
            scanlines.append(0)
            for pixel in surface.pixels[y * surface.width..<(y + 1) * surface.width] {
                scanlines.append(UInt8(truncatingIfNeeded: pixel >> 16))
                scanlines.append(UInt8(truncatingIfNeeded: pixel >> 8))
                scanlines.append(UInt8(truncatingIfNeeded: pixel))
            }
        }
        appendChunk("IDAT", Deflater()?.compress(scanlines, isLast: true) ?? stored(scanlines), to: &file)
        appendChunk("IEND", [], to: &file)
        return file
    }

    private static func big(_ value: Int) -> [UInt8] {
        [24, 16, 8, 0].map { UInt8(truncatingIfNeeded: value >> $0) }
    }

    private static func appendChunk(_ type: String, _ body: [UInt8], to file: inout [UInt8]) {
        file += big(body.count)
        let checked = Array(type.utf8) + body
        file += checked
        file += big(Int(crc32(checked)))
    }

    /// What is taken if there is no memory to compress: a zlib stream (RFC 1950) of stored blocks (RFC 1951, section 3.2.4).
    private static func stored(_ bytes: [UInt8]) -> [UInt8] {
        var stream: [UInt8] = [0x78, 0x01]
        var start = 0
        repeat {
            let count = min(bytes.count - start, 0xffff)
            let isLast = start + count == bytes.count
            stream += [
                isLast ? 1 : 0, UInt8(count & 0xff), UInt8(count >> 8), UInt8(~count & 0xff), UInt8(~count >> 8 & 0xff),
            ]
            stream += bytes[start..<start + count]
            start += count
        } while start < bytes.count
        return stream + big(Int(adler32(bytes)))
    }

    /// The checksum of RFC 1950, section 8.2.
    static func adler32(_ bytes: [UInt8]) -> UInt32 {
        var low: UInt32 = 1
        var high: UInt32 = 0
        for byte in bytes {
            low = (low + UInt32(byte)) % 65521
            high = (high + low) % 65521
        }
        return high << 16 | low
    }

    private static let crcTable: [UInt32] = (0..<256).map { index in
        (0..<8).reduce(UInt32(index)) { value, _ in value & 1 != 0 ? 0xedb8_8320 ^ value >> 1 : value >> 1 }
    }

    /// The checksum of PNG's annex on CRCs (ISO 3309).
    static func crc32(_ bytes: [UInt8]) -> UInt32 {
        ~bytes.reduce(UInt32.max) { crcTable[Int(UInt8(truncatingIfNeeded: $0) ^ $1)] ^ $0 >> 8 }
    }
}
