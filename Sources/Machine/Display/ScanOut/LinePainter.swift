/// Draws a line of a graphics mode.
enum LinePainter {
    /// Turns the memory from `start` into the pixels of a line; where the memory ends, they are black.
    static func paint(
        _ mode: ScanMode, _ palette: Palette, _ memory: VideoMemory, start: Int, into line: inout [UInt32]
    ) {
        if line.count != mode.width { line = Array(repeating: 0, count: mode.width) }
        switch mode.layout {
        case .blank, .text: break
        case .planar: planar(mode, palette, memory, start, &line)
        case .interleaved: interleaved(mode, palette, memory, start, &line)
        case .indexed: indexed(mode, palette, memory, start, &line)
        case .direct(let depth): direct(depth, memory, start, &line)
        }
    }

    /// The four planes' bytes at the `index`th plane address of a line.
    private static func planes(_ mode: ScanMode, _ memory: VideoMemory, _ start: Int, _ index: Int) -> UInt32 {
        let address = start >> 2 + index
        return memory.planes(mode.wraps ? address & 0xffff : address) ?? 0
    }

    private static func planar(
        _ mode: ScanMode, _ palette: Palette, _ memory: VideoMemory, _ start: Int, _ line: inout [UInt32]
    ) {
        var x = 0
        var dot = mode.panning
        var word = planes(mode, memory, start, 0)
        while x < line.count {
            if dot == 8 || x == 0 && dot > 0 {
                word = planes(mode, memory, start, (x / mode.stretch + mode.panning) >> 3)
            }
            if dot == 8 { dot = 0 }
            // The leftmost pixel is the highest bit of each plane's byte.
            let bits = word >> UInt32(7 - dot)
            let colour = bits & 1 | bits >> 7 & 2 | bits >> 14 & 4 | bits >> 21 & 8
            let pixel = palette.attributes[Int(colour)]
            for _ in 0..<mode.stretch where x < line.count {
                line[x] = pixel
                x += 1
            }
            dot += 1
        }
    }

    private static func interleaved(
        _ mode: ScanMode, _ palette: Palette, _ memory: VideoMemory, _ start: Int, _ line: inout [UInt32]
    ) {
        for x in line.indices {
            let dot = x / mode.stretch + mode.panning
            let word = planes(mode, memory, start, dot >> 3)
            // Four pixels come from plane 0 and 2, then four from plane 1 and 3; 2 and 3 give the upper two bits.
            let shift = UInt32(dot & 4) << 1 + UInt32(6 - 2 * (dot & 3))
            let colour = word >> shift & 3 | (word >> (shift + 16) & 3) << 2
            line[x] = palette.attributes[Int(colour)]
        }
    }

    private static func indexed(
        _ mode: ScanMode, _ palette: Palette, _ memory: VideoMemory, _ start: Int, _ line: inout [UInt32]
    ) {
        for x in line.indices {
            let offset = start + x / mode.stretch + mode.panning
            line[x] = palette.bytes[Int(memory.byte(mode.wraps ? offset & 0x3_ffff : offset) ?? 0)]
        }
    }

    private static func direct(_ depth: Int, _ memory: VideoMemory, _ start: Int, _ line: inout [UInt32]) {
        let size = depth == 15 ? 2 : depth / 8
        let bytes = memory.bytes(start..<start + line.count * size)
        let count = bytes.byteCount / size
        for x in line.indices {
            guard x < count else {
                line[x] = 0
                continue
            }
            // The span holds `count` pixels of this size.
            switch depth {
            case 32:
                line[x] =
                    unsafe UInt32(littleEndian: bytes.unsafeLoadUnaligned(fromByteOffset: x * 4, as: UInt32.self))
                    & 0xff_ffff
            case 24:
                let low = unsafe bytes.unsafeLoadUnaligned(fromByteOffset: x * 3, as: UInt16.self)
                let high = unsafe bytes.unsafeLoadUnaligned(fromByteOffset: x * 3 + 2, as: UInt8.self)
                line[x] = UInt32(UInt16(littleEndian: low)) | UInt32(high) << 16
            case 16:
                let pixel = unsafe bytes.unsafeLoadUnaligned(fromByteOffset: x * 2, as: UInt16.self)
                line[x] = wide(UInt32(UInt16(littleEndian: pixel)), greenBits: 6)
            default:
                let pixel = unsafe bytes.unsafeLoadUnaligned(fromByteOffset: x * 2, as: UInt16.self)
                line[x] = wide(UInt32(UInt16(littleEndian: pixel)) & 0x7fff, greenBits: 5)
            }
        }
    }

    /// A pixel of 5 bits red, 5 or 6 green and 5 blue as one of 8 bits each; the highest bits fill the lowest.
    private static func wide(_ pixel: UInt32, greenBits: UInt32) -> UInt32 {
        func widened(_ value: UInt32, _ bits: UInt32) -> UInt32 { value << (8 - bits) | value >> (2 * bits - 8) }
        let red = widened(pixel >> (5 + greenBits) & 0x1f, 5)
        let green = widened(pixel >> 5 & (1 << greenBits - 1), greenBits)
        return red << 16 | green << 8 | widened(pixel & 0x1f, 5)
    }
}
