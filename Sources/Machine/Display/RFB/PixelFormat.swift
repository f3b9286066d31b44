/// How a client wants its pixels (RFC 6143, section 7.4).
struct PixelFormat: Sendable, Equatable {
    /// 8, 16 or 32.
    var bitsPerPixel: Int
    var depth: UInt8
    var isBigEndian: Bool
    /// Pixels are numbers of a colour map that the server sets, not colours.
    var isMapped: Bool
    var redMax: UInt16
    var greenMax: UInt16
    var blueMax: UInt16
    var redShift: UInt8
    var greenShift: UInt8
    var blueShift: UInt8

    /// The format of `Surface`.
    static let native = PixelFormat(
        bitsPerPixel: 32, depth: 24, isBigEndian: false, isMapped: false, redMax: 255, greenMax: 255, blueMax: 255,
        redShift: 16, greenShift: 8, blueShift: 0)

    /// What colour maps are filled with: three bits of red and green, two of blue.
    static let mapped = PixelFormat(
        bitsPerPixel: 8, depth: 8, isBigEndian: false, isMapped: true, redMax: 7, greenMax: 7, blueMax: 3,
        redShift: 0, greenShift: 3, blueShift: 6)

    var bytesPerPixel: Int { bitsPerPixel / 8 }

    /// The sixteen bytes on the wire.
    var bytes: [UInt8] {
        var bytes: [UInt8] = [UInt8(bitsPerPixel), depth, isBigEndian ? 1 : 0, isMapped ? 0 : 1]
        for maximum in [redMax, greenMax, blueMax] { bytes += [UInt8(maximum >> 8), UInt8(maximum & 0xff)] }
        return bytes + [redShift, greenShift, blueShift, 0, 0, 0]
    }

    /// From the wire.
    ///
    /// - Returns: nil if no pixel can be made of it.
    init?(bytes: ArraySlice<UInt8>) {
        let bytes = Array(bytes)
        guard bytes.count == 16, [8, 16, 32].contains(bytes[0]) else { return nil }
        if bytes[3] == 0 {
            // A colour map of more than 256 colours would be the server's to fill; nobody asks for one.
            guard bytes[0] == 8 else { return nil }
            self = .mapped
            return
        }
        func maximum(_ offset: Int) -> UInt16 { UInt16(bytes[offset]) << 8 | UInt16(bytes[offset + 1]) }
        self.init(
            bitsPerPixel: Int(bytes[0]), depth: bytes[1], isBigEndian: bytes[2] != 0, isMapped: false,
            redMax: maximum(4), greenMax: maximum(6), blueMax: maximum(8), redShift: bytes[10], greenShift: bytes[11],
            blueShift: bytes[12])
        let shifts = [redShift, greenShift, blueShift]
        guard shifts.allSatisfy({ $0 < bytes[0] }), redMax > 0, greenMax > 0, blueMax > 0 else { return nil }
    }

    init(
        bitsPerPixel: Int, depth: UInt8, isBigEndian: Bool, isMapped: Bool, redMax: UInt16, greenMax: UInt16,
        blueMax: UInt16, redShift: UInt8, greenShift: UInt8, blueShift: UInt8
    ) {
        self.bitsPerPixel = bitsPerPixel
        self.depth = depth
        self.isBigEndian = isBigEndian
        self.isMapped = isMapped
        self.redMax = redMax
        self.greenMax = greenMax
        self.blueMax = blueMax
        self.redShift = redShift
        self.greenShift = greenShift
        self.blueShift = blueShift
    }
}

/// Turns pixels of a `Surface` into those of a client's format.
struct PixelTranslator: Sendable {
    let format: PixelFormat
    private let isNative: Bool
    /// For each value of a colour its share of the pixel: red, then green, then blue.
    private let shares: [UInt32]

    init(_ format: PixelFormat) {
        self.format = format
        isNative = format == .native
        var shares: [UInt32] = []
        let colours = [
            (format.redMax, format.redShift), (format.greenMax, format.greenShift), (format.blueMax, format.blueShift),
        ]
        for (maximum, shift) in colours {
            for value in UInt32(0)..<256 {
                shares.append(((value * UInt32(maximum) + 127) / 255) << UInt32(shift & 31))
            }
        }
        self.shares = shares
    }

    /// The pixel as a number.
    @inline(__always)
    func translate(_ pixel: UInt32) -> UInt32 {
        if isNative { return pixel }
        return shares[Int(pixel >> 16 & 0xff)] | shares[256 + Int(pixel >> 8 & 0xff)] | shares[512 + Int(pixel & 0xff)]
    }

    /// Writes a translated pixel as bytes.
    @inline(__always)
    func append(_ value: UInt32, to output: inout [UInt8]) {
        switch (format.bitsPerPixel, format.isBigEndian) {
        case (8, _): output.append(UInt8(truncatingIfNeeded: value))
        case (16, false):
            output.append(UInt8(truncatingIfNeeded: value))
            output.append(UInt8(truncatingIfNeeded: value >> 8))
        case (16, true):
            output.append(UInt8(truncatingIfNeeded: value >> 8))
            output.append(UInt8(truncatingIfNeeded: value))
        case (_, false):
            for shift: UInt32 in [0, 8, 16, 24] { output.append(UInt8(truncatingIfNeeded: value >> shift)) }
        case (_, true):
            for shift: UInt32 in [24, 16, 8, 0] { output.append(UInt8(truncatingIfNeeded: value >> shift)) }
        }
    }

    /// What to fill a client's colour map with: a message SetColourMapEntries (section 7.6.2).
    static let colourMap: [UInt8] = {
        var bytes: [UInt8] = [1, 0, 0, 0, 1, 0]
        for index in 0..<256 {
            let colours = [(index & 7) * 0xffff / 7, (index >> 3 & 7) * 0xffff / 7, (index >> 6) * 0xffff / 3]
            for colour in colours { bytes += [UInt8(colour >> 8), UInt8(colour & 0xff)] }
        }
        return bytes
    }()
}
