@testable import Display

/// A client of the remote framebuffer protocol that understands what it gets: it draws updates into a picture of its own.
struct RFBTestClient {
    private var bytes: [UInt8] = []
    /// How many of them are understood.
    private var position = 0
    private(set) var width = 0
    private(set) var height = 0
    private(set) var name = ""
    var format = PixelFormat.native
    /// Pixels as numbers of `format`.
    private(set) var pixels: [UInt32] = []
    /// Encodings of the rectangles that came, in order.
    private(set) var encodings: [Int32] = []
    private(set) var colourMapEntries = 0
    /// Reasons and statuses of ExtendedDesktopSize.
    private(set) var sizeAnswers: [[Int]] = []

    struct Short: Error {}
    struct Unknown: Error { var what: Int }

    init() {}

    /// How many bytes are not understood yet.
    var remaining: Int { bytes.count - position }

    mutating func take(_ count: Int) throws -> [UInt8] {
        guard remaining >= count else { throw Short() }
        defer { position += count }
        return Array(bytes[position..<position + count])
    }

    private mutating func big16() throws -> Int { try take(2).reduce(0) { $0 << 8 | Int($1) } }
    private mutating func big32() throws -> Int { try take(4).reduce(0) { $0 << 8 | Int($1) } }

    mutating func feed(_ more: [UInt8]) { bytes += more }

    mutating func serverInit() throws {
        width = try big16()
        height = try big16()
        format = try PixelFormat(bytes: take(16)[...]) ?? .native
        name = String(decoding: try take(big32()), as: UTF8.self)
        pixels = Array(repeating: 0xdead_dead, count: width * height)
    }

    /// Understands one message.
    mutating func message() throws {
        switch try take(1)[0] {
        case 0:
            _ = try take(1)
            for _ in 0..<(try big16()) { try rectangle() }
        case 1:
            _ = try take(3)
            colourMapEntries = try big16()
            _ = try take(6 * colourMapEntries)
        case let type: throw Unknown(what: Int(type))
        }
    }

    /// Understands all that came.
    mutating func messages() throws { while remaining > 0 { try message() } }

    private mutating func rectangle() throws {
        let (x, y, width, height) = (try big16(), try big16(), try big16(), try big16())
        let encoding = Int32(truncatingIfNeeded: try big32())
        encodings.append(encoding)
        switch encoding {
        case 0: for row in 0..<height { for column in 0..<width { set(x + column, y + row, try pixel()) } }
        case 5: try hextile(x, y, width, height)
        case 16: try zrle(x, y, width, height)
        case -223: resize(width, height)
        case -308:
            let screens = Int(try take(4)[0])
            _ = try take(16 * screens)
            sizeAnswers.append([x, y])
            if y == 0 { resize(width, height) }
        case -258: break
        default: throw Unknown(what: Int(encoding))
        }
    }

    private mutating func resize(_ width: Int, _ height: Int) {
        (self.width, self.height) = (width, height)
        pixels = Array(repeating: 0xdead_dead, count: width * height)
    }

    private mutating func set(_ x: Int, _ y: Int, _ value: UInt32) {
        precondition(x < width && y < height, "a pixel outside the picture")
        pixels[y * width + x] = value
    }

    private mutating func pixel() throws -> UInt32 {
        let bytes = try take(format.bytesPerPixel)
        return (format.isBigEndian ? bytes : bytes.reversed()).reduce(0) { $0 << 8 | UInt32($1) }
    }

    private mutating func hextile(_ x: Int, _ y: Int, _ width: Int, _ height: Int) throws {
        var background: UInt32 = 0
        var foreground: UInt32 = 0
        for top in stride(from: y, to: y + height, by: 16) {
            for left in stride(from: x, to: x + width, by: 16) {
                let (tileWidth, tileHeight) = (min(16, x + width - left), min(16, y + height - top))
                let kind = try take(1)[0]
                if kind & 1 != 0 {
                    for row in 0..<tileHeight {
                        for column in 0..<tileWidth { set(left + column, top + row, try pixel()) }
                    }
                    continue
                }
                if kind & 2 != 0 { background = try pixel() }
                if kind & 4 != 0 { foreground = try pixel() }
                for row in 0..<tileHeight { for column in 0..<tileWidth { set(left + column, top + row, background) } }
                let count = kind & 8 != 0 ? Int(try take(1)[0]) : 0
                for _ in 0..<count {
                    let colour = kind & 16 != 0 ? try pixel() : foreground
                    let place = try take(2)
                    for row in 0...Int(place[1] & 15) {
                        for column in 0...Int(place[1] >> 4) {
                            set(left + Int(place[0] >> 4) + column, top + Int(place[0] & 15) + row, colour)
                        }
                    }
                }
            }
        }
    }

    /// Kinds of tiles that ZRLE brought.
    private(set) var zrleKinds = Set<UInt8>()
    private let inflater = Inflater()
    /// Bytes that stand for a pixel in ZRLE; the test says it for its formats.
    var compactPixelBytes: Int { format.bitsPerPixel == 32 ? 3 : format.bytesPerPixel }

    private mutating func zrle(_ x: Int, _ y: Int, _ width: Int, _ height: Int) throws {
        let plain = try inflater.inflate(take(try big32()))
        var at = 0
        func byte() throws -> UInt8 {
            guard at < plain.count else { throw Short() }
            defer { at += 1 }
            return plain[at]
        }
        func pixel() throws -> UInt32 {
            let bytes = try (0..<compactPixelBytes).map { _ in try byte() }
            return (format.isBigEndian ? bytes : bytes.reversed()).reduce(0) { $0 << 8 | UInt32($1) }
        }
        for top in stride(from: y, to: y + height, by: 64) {
            for left in stride(from: x, to: x + width, by: 64) {
                let (tileWidth, tileHeight) = (min(64, x + width - left), min(64, y + height - top))
                let kind = try byte()
                zrleKinds.insert(kind)
                var tile: [UInt32] = []
                switch kind {
                case 0: for _ in 0..<tileWidth * tileHeight { tile.append(try pixel()) }
                case 1: tile = Array(repeating: try pixel(), count: tileWidth * tileHeight)
                case 2...16:
                    let palette = try (0..<kind).map { _ in try pixel() }
                    let bits = kind == 2 ? 1 : kind <= 4 ? 2 : 4
                    for _ in 0..<tileHeight {
                        var left = 0
                        var value: UInt8 = 0
                        for _ in 0..<tileWidth {
                            if left == 0 { (value, left) = (try byte(), 8) }
                            left -= bits
                            tile.append(palette[Int(value >> UInt8(left)) & (1 << bits - 1)])
                        }
                    }
                case 128:
                    while tile.count < tileWidth * tileHeight {
                        let colour = try pixel()
                        var length = 1
                        var more = UInt8.max
                        while more == 255 {
                            more = try byte()
                            length += Int(more)
                        }
                        tile += Array(repeating: colour, count: length)
                    }
                default: throw Unknown(what: Int(kind))
                }
                for (index, value) in tile.enumerated() {
                    set(left + index % tileWidth, top + index / tileWidth, value)
                }
            }
        }
        guard at == plain.count else { throw Unknown(what: plain.count - at) }
    }

    // MARK: What it says

    static func setEncodings(_ encodings: [Int32]) -> [UInt8] {
        var bytes: [UInt8] = [2, 0, UInt8(encodings.count >> 8), UInt8(encodings.count & 0xff)]
        for encoding in encodings { bytes += big(Int(UInt32(bitPattern: encoding)), 4) }
        return bytes
    }

    static func request(_ width: Int, _ height: Int, x: Int = 0, y: Int = 0, incremental: Bool = true) -> [UInt8] {
        [3, incremental ? 1 : 0] + [x, y, width, height].flatMap { big($0, 2) }
    }

    static func setFormat(_ format: PixelFormat) -> [UInt8] { [0, 0, 0, 0] + format.bytes }

    static func key(_ keysym: Int, isDown: Bool) -> [UInt8] { [4, isDown ? 1 : 0, 0, 0] + big(keysym, 4) }

    static func qemuKey(_ keysym: Int, _ code: Int, isDown: Bool) -> [UInt8] {
        [255, 0, 0, isDown ? 1 : 0] + big(keysym, 4) + big(code, 4)
    }

    static func pointer(_ x: Int, _ y: Int, _ buttons: UInt8) -> [UInt8] { [5, buttons] + big(x, 2) + big(y, 2) }

    static func big(_ value: Int, _ count: Int) -> [UInt8] {
        (0..<count).reversed().map { UInt8(truncatingIfNeeded: value >> (8 * $0)) }
    }
}
