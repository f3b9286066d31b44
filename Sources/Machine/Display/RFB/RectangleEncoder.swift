/// Encodes the pixels of a rectangle (RFC 6143, section 7.7).
enum RectangleEncoder {
    /// Appends the pixels without the rectangle's header. What lies outside the surface is black.
    static func encode(
        _ rectangle: PixelRect, of surface: Surface, as encoding: Int32, _ translator: PixelTranslator,
        to output: inout [UInt8]
    ) {
        switch encoding {
        case RFBUpdates.Encoding.hextile: hextile(rectangle, of: surface, translator, to: &output)
        default: raw(rectangle, of: surface, translator, to: &output)
        }
    }

    /// A row of translated pixels.
    @inline(__always)
    static func forEachPixel(
        _ surface: Surface, x: Int, y: Int, width: Int, _ translator: PixelTranslator, _ body: (Int, UInt32) -> Void
    ) {
        let inside = y < surface.height ? min(max(surface.width - x, 0), width) : 0
        let row = y * surface.width + x
        for column in 0..<inside { body(column, translator.translate(surface.pixels[row + column])) }
        if inside < width {
            let black = translator.translate(0)
            for column in inside..<width { body(column, black) }
        }
    }

    private static func raw(
        _ rectangle: PixelRect, of surface: Surface, _ translator: PixelTranslator, to output: inout [UInt8]
    ) {
        output.reserveCapacity(output.count + rectangle.width * rectangle.height * translator.format.bytesPerPixel)
        for y in rectangle.y..<rectangle.y + rectangle.height {
            forEachPixel(surface, x: rectangle.x, y: y, width: rectangle.width, translator) { _, pixel in
                translator.append(pixel, to: &output)
            }
        }
    }

    // MARK: Hextile (section 7.7.4)

    /// Bits that say how a tile is encoded.
    private enum Subencoding {
        static let raw: UInt8 = 1
        static let background: UInt8 = 2
        static let foreground: UInt8 = 4
        static let subrectangles: UInt8 = 8
        static let coloured: UInt8 = 16
    }

    private static func hextile(
        _ rectangle: PixelRect, of surface: Surface, _ translator: PixelTranslator, to output: inout [UInt8]
    ) {
        /// What the client has from the tile before; nil if that was raw.
        var background: UInt32?
        var tile = HextileTile()
        for y in stride(from: 0, to: rectangle.height, by: 16) {
            for x in stride(from: 0, to: rectangle.width, by: 16) {
                let area = PixelRect(
                    x: rectangle.x + x, y: rectangle.y + y, width: min(16, rectangle.width - x),
                    height: min(16, rectangle.height - y))
                tile.load(area, of: surface, translator)
                background = encode(&tile, background, translator, to: &output)
            }
        }
    }

    /// - Returns: the background that the next tile may count on.
    private static func encode(
        _ tile: inout HextileTile, _ known: UInt32?, _ translator: PixelTranslator, to output: inout [UInt8]
    ) -> UInt32? {
        let size = translator.format.bytesPerPixel
        let background = tile.commonest
        var head: UInt8 = background == known ? 0 : Subencoding.background
        guard !tile.isUniform else {
            output.append(head)
            if head != 0 { translator.append(background, to: &output) }
            return background
        }
        let foreground = tile.isTwoColoured ? tile.other : nil
        head |= Subencoding.subrectangles | (foreground == nil ? Subencoding.coloured : Subencoding.foreground)
        let start = output.count
        output.append(head)
        if head & Subencoding.background != 0 { translator.append(background, to: &output) }
        if let foreground { translator.append(foreground, to: &output) }
        let countPosition = output.count
        output.append(0)
        let limit = start + 1 + tile.width * tile.height * size
        var count = 0
        while let part = tile.nextSubrectangle(besides: background) {
            if foreground == nil { translator.append(part.pixel, to: &output) }
            output.append(UInt8(part.x << 4 | part.y))
            output.append(UInt8((part.width - 1) << 4 | (part.height - 1)))
            count += 1
            // More would take more room than the pixels as they are, or than the count can say.
            if output.count >= limit || count > 255 {
                output.removeLast(output.count - start)
                output.append(Subencoding.raw)
                for pixel in tile.original { translator.append(pixel, to: &output) }
                return nil
            }
        }
        output[countPosition] = UInt8(count)
        return background
    }
}

/// The translated pixels of a tile of up to 16 by 16.
private struct HextileTile {
    private(set) var width = 0
    private(set) var height = 0
    private(set) var original: [UInt32] = []
    /// Pixels that a subrectangle has covered.
    private var isCovered: [Bool] = []
    private var cursor = 0
    private(set) var isUniform = true
    private(set) var isTwoColoured = true
    /// The commoner of the first two colours, and the other of them.
    private(set) var commonest: UInt32 = 0
    private(set) var other: UInt32 = 0

    mutating func load(_ area: PixelRect, of surface: Surface, _ translator: PixelTranslator) {
        (width, height) = (area.width, area.height)
        original.removeAll(keepingCapacity: true)
        for y in area.y..<area.y + area.height {
            RectangleEncoder.forEachPixel(surface, x: area.x, y: y, width: width, translator) { original.append($1) }
        }
        isCovered = Array(repeating: false, count: original.count)
        cursor = 0
        classify()
    }

    private mutating func classify() {
        let first = original[0]
        var second: UInt32?
        var firsts = 0
        var seconds = 0
        isTwoColoured = true
        for pixel in original {
            if pixel == first {
                firsts += 1
            } else if pixel == second ?? pixel {
                second = pixel
                seconds += 1
            } else {
                isTwoColoured = false
            }
        }
        isUniform = second == nil
        let swaps = seconds > firsts
        commonest = swaps ? second ?? first : first
        other = swaps ? first : second ?? first
    }

    /// The next rectangle of one colour that is not the background, in reading order: as far to the right as it goes, then down.
    mutating func nextSubrectangle(
        besides background: UInt32
    ) -> (x: Int, y: Int, width: Int, height: Int, pixel: UInt32)? {
        while cursor < original.count, isCovered[cursor] || original[cursor] == background { cursor += 1 }
        guard cursor < original.count else { return nil }
        let pixel = original[cursor]
        let x = cursor % width
        let y = cursor / width
        var right = x + 1
        while right < width, isFree(right, y, pixel) { right += 1 }
        var bottom = y + 1
        while bottom < height, (x..<right).allSatisfy({ isFree($0, bottom, pixel) }) { bottom += 1 }
        for row in y..<bottom { for column in x..<right { isCovered[row * width + column] = true } }
        return (x, y, right - x, bottom - y, pixel)
    }

    private func isFree(_ x: Int, _ y: Int, _ pixel: UInt32) -> Bool {
        original[y * width + x] == pixel && !isCovered[y * width + x]
    }
}
