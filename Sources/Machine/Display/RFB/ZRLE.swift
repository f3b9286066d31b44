/// The encoding ZRLE (RFC 6143, section 7.7.6): tiles of 64 by 64, each in the way that suits it, and zlib around all of them.
enum ZRLE {
    private static let side = 64
    /// Kinds of tiles; 2 to 16 are packed palettes of that many colours.
    private static let raw: UInt8 = 0
    private static let solid: UInt8 = 1
    private static let paletteMax = 16
    private static let plainRuns: UInt8 = 128

    static func encode(
        _ rectangle: PixelRect, of surface: Surface, _ translator: PixelTranslator, _ deflater: Deflater,
        to output: inout [UInt8]
    ) {
        var writer = Writer(translator)
        var tile: [UInt32] = []
        for y in stride(from: 0, to: rectangle.height, by: side) {
            for x in stride(from: 0, to: rectangle.width, by: side) {
                let width = min(side, rectangle.width - x)
                let height = min(side, rectangle.height - y)
                tile.removeAll(keepingCapacity: true)
                for row in rectangle.y + y..<rectangle.y + y + height {
                    RectangleEncoder.forEachPixel(surface, x: rectangle.x + x, y: row, width: width, translator) {
                        tile.append($1)
                    }
                }
                encode(tile, width: width, &writer)
            }
        }
        let compressed = deflater.compress(writer.bytes)
        for shift in [24, 16, 8, 0] { output.append(UInt8(truncatingIfNeeded: compressed.count >> shift)) }
        output += compressed
    }

    private static func encode(_ tile: [UInt32], width: Int, _ writer: inout Writer) {
        var palette: [UInt32] = []
        var runs = 0
        var previous: UInt32?
        for pixel in tile {
            if pixel == previous { continue }
            runs += 1
            previous = pixel
            if palette.count <= paletteMax, !palette.contains(pixel) { palette.append(pixel) }
        }
        if palette.count == 1 {
            writer.bytes.append(solid)
            writer.pixel(palette[0])
        } else if palette.count <= paletteMax {
            packed(tile, width: width, palette, &writer)
        } else if runs * (writer.pixelSize + 1) < tile.count * writer.pixelSize {
            self.runs(tile, &writer)
        } else {
            writer.bytes.append(raw)
            for pixel in tile { writer.pixel(pixel) }
        }
    }

    /// Numbers of palette colours, one, two or four bits each; each row begins with a byte of its own.
    private static func packed(_ tile: [UInt32], width: Int, _ palette: [UInt32], _ writer: inout Writer) {
        writer.bytes.append(UInt8(palette.count))
        for colour in palette { writer.pixel(colour) }
        let bits = palette.count == 2 ? 1 : palette.count <= 4 ? 2 : 4
        var filled = 0
        var byte: UInt8 = 0
        var lastPixel: UInt32?
        var lastNumber = 0
        for (index, pixel) in tile.enumerated() {
            if pixel != lastPixel {
                lastNumber = palette.firstIndex(of: pixel) ?? 0
                lastPixel = pixel
            }
            byte |= UInt8(lastNumber) << UInt8(8 - bits - filled)
            filled += bits
            if filled == 8 || (index + 1) % width == 0 {
                writer.bytes.append(byte)
                byte = 0
                filled = 0
            }
        }
    }

    /// Each run of a colour: the pixel, then its length less one, in bytes of 255 and a rest.
    private static func runs(_ tile: [UInt32], _ writer: inout Writer) {
        writer.bytes.append(plainRuns)
        var start = 0
        while start < tile.count {
            var end = start + 1
            while end < tile.count, tile[end] == tile[start] { end += 1 }
            writer.pixel(tile[start])
            var length = end - start - 1
            while length >= 255 {
                writer.bytes.append(255)
                length -= 255
            }
            writer.bytes.append(UInt8(length))
            start = end
        }
    }

    /// Writes pixels as short as the format allows: without the byte of 32 bits that no colour uses.
    private struct Writer {
        var bytes: [UInt8] = []
        let translator: PixelTranslator
        private let isShort: Bool
        private let shift: UInt32

        init(_ translator: PixelTranslator) {
            self.translator = translator
            let format = translator.format
            let colours = [
                (format.redMax, format.redShift), (format.greenMax, format.greenShift),
                (format.blueMax, format.blueShift),
            ]
            let used = colours.reduce(UInt64(0)) { $0 | UInt64($1.0) << UInt64($1.1) }
            let isCandidate = format.bitsPerPixel == 32 && format.depth <= 24
            let fitsLow = used <= 0xff_ffff
            isShort = isCandidate && (fitsLow || used & 0xff == 0 && used <= 0xffff_ffff)
            shift = fitsLow ? 0 : 8
        }

        /// Bytes of a pixel.
        var pixelSize: Int { isShort ? 3 : translator.format.bytesPerPixel }

        mutating func pixel(_ value: UInt32) {
            guard isShort else { return translator.append(value, to: &bytes) }
            let value = value >> shift
            if translator.format.isBigEndian {
                for shift: UInt32 in [16, 8, 0] { bytes.append(UInt8(truncatingIfNeeded: value >> shift)) }
            } else {
                for shift: UInt32 in [0, 8, 16] { bytes.append(UInt8(truncatingIfNeeded: value >> shift)) }
            }
        }
    }
}
