import Testing

@testable import Display

@Suite("Remote framebuffer protocol")
struct RFBSessionTests {
    /// A session and its client, after the handshake.
    final class Pair {
        var session: RFBSession
        var client = RFBTestClient()
        var events: [RFBEvent] = []
        var surface: Surface

        init(_ surface: Surface, name: String = "screen") throws {
            self.surface = surface
            session = RFBSession(name: name, security: .none, width: surface.width, height: surface.height)
            #expect(try exchange(Array("RFB 003.008\n".utf8)) == RFBSession.version + [1, 1])
            #expect(try exchange([1]) == [0, 0, 0, 0])
            client.feed(try exchange([1]))
            try client.serverInit()
        }

        /// Says something and takes what the session answers by itself.
        func exchange(_ bytes: [UInt8]) throws -> [UInt8] {
            try session.receive(bytes) { events.append($0) }
            defer { session.output.removeAll() }
            return session.output
        }

        /// Says something, and lets the client read all updates that come.
        func say(_ bytes: [UInt8]) throws {
            client.feed(try exchange(bytes))
            try pump()
        }

        func pump() throws {
            repeat {
                session.makeUpdate(from: surface)
                client.feed(session.output)
                session.output.removeAll()
            } while !session.updates.isBetweenUpdates
            try client.messages()
        }

        func requestAll(incremental: Bool = true) throws {
            try say(RFBTestClient.request(client.width, client.height, incremental: incremental))
        }
    }

    /// A picture with plain tiles, tiles of two and of many colours, and edges that are no whole tile.
    static func picture(_ width: Int = 75, _ height: Int = 50) -> Surface {
        var surface = Surface(width: width, height: height)
        for y in 0..<height {
            for x in 0..<width {
                let value: UInt32
                switch (x / 16 + y / 16) % 4 {
                case 0: value = 0x204060
                case 1: value = (x ^ y) & 4 == 0 ? 0xffffff : 0x000000
                case 2: value = UInt32(x / 3 * 40 & 0xff) << 16 | UInt32(y / 5 * 50 & 0xff)
                default: value = UInt32(truncatingIfNeeded: (x &* 7919 &+ y &* 104_729) &* 31) & 0xffffff
                }
                surface.pixels[y * width + x] = value
            }
        }
        return surface
    }

    static let formats: [PixelFormat] = [
        .native,
        PixelFormat(
            bitsPerPixel: 32, depth: 24, isBigEndian: true, isMapped: false, redMax: 255, greenMax: 255, blueMax: 255,
            redShift: 0, greenShift: 8, blueShift: 16),
        PixelFormat(
            bitsPerPixel: 16, depth: 16, isBigEndian: false, isMapped: false, redMax: 31, greenMax: 63, blueMax: 31,
            redShift: 11, greenShift: 5, blueShift: 0),
        PixelFormat(
            bitsPerPixel: 16, depth: 15, isBigEndian: true, isMapped: false, redMax: 31, greenMax: 31, blueMax: 31,
            redShift: 10, greenShift: 5, blueShift: 0),
        PixelFormat(
            bitsPerPixel: 8, depth: 8, isBigEndian: false, isMapped: false, redMax: 7, greenMax: 7, blueMax: 3,
            redShift: 0, greenShift: 3, blueShift: 6),
        .mapped,
    ]

    @Test(
        "every encoding in every pixel format gives the client the same picture", arguments: formats,
        [0, 5, 16] as [Int32])
    func encodings(format: PixelFormat, encoding: Int32) throws {
        let pair = try Pair(Self.picture())
        pair.client.format = format
        try pair.say(RFBTestClient.setFormat(format) + RFBTestClient.setEncodings([encoding]))
        try pair.requestAll(incremental: false)
        let translator = PixelTranslator(format)
        #expect(pair.client.pixels == pair.surface.pixels.map { translator.translate($0) })
        #expect(Set(pair.client.encodings) == [encoding])
        #expect(pair.client.colourMapEntries == (format.isMapped ? 256 : 0))
    }

    @Test("ZRLE goes on with one stream, has a kind for each sort of tile, and saves room")
    func zrle() throws {
        let width = 640
        var surface = Surface(width: width, height: 64)
        for y in 0..<64 {
            for x in 0..<width {
                let value: Int
                switch x / 64 {
                case 0: value = 5
                case 1: value = (x ^ y) & 1
                case 2: value = (x ^ y) & 3
                case 3: value = (x * y) & 15
                case 4: value = y * 64 + x / 60
                case 5: value = (x &* 7919 &+ y &* 104_729) &* 31 & 0xffffff
                default: value = y / 8
                }
                surface.pixels[y * width + x] = UInt32(value)
            }
        }
        let pair = try Pair(surface)
        try pair.say(RFBTestClient.setEncodings([16]))
        _ = try pair.exchange(RFBTestClient.request(width, 64))
        pair.session.makeUpdate(from: surface)
        #expect(pair.session.output.count < width * 64)
        pair.client.feed(pair.session.output)
        pair.session.output.removeAll()
        try pair.client.messages()
        #expect(pair.client.pixels == surface.pixels)
        #expect(pair.client.zrleKinds.isSuperset(of: [0, 1, 2, 4, 16, 128]))
        try pair.requestAll(incremental: false)
        #expect(pair.client.pixels == surface.pixels)
    }

    @Test("colours keep their meaning in other formats")
    func colours() {
        func pixel(_ colour: UInt32, _ format: PixelFormat) -> [UInt8] {
            let translator = PixelTranslator(format)
            var bytes: [UInt8] = []
            translator.append(translator.translate(colour), to: &bytes)
            return bytes
        }
        #expect(pixel(0x123456, Self.formats[0]) == [0x56, 0x34, 0x12, 0])
        #expect(pixel(0x123456, Self.formats[1]) == [0, 0x56, 0x34, 0x12])
        #expect(pixel(0xff8000, Self.formats[2]) == [0x00, 0xfc])
        #expect(pixel(0xff8008, Self.formats[3]) == [0x7e, 0x01])
        #expect(pixel(0xff00ff, Self.formats[4]) == [0b11_000_111])
    }

    @Test("Hextile takes less room than raw pixels where there is something to save")
    func hextileSize() throws {
        func size(_ encoding: Int32) throws -> Int {
            let pair = try Pair(Surface(width: 160, height: 160))
            _ = try pair.exchange(RFBTestClient.setEncodings([encoding]) + RFBTestClient.request(160, 160))
            pair.session.makeUpdate(from: pair.surface)
            return pair.session.output.count
        }
        #expect(try size(5) < 200)
        #expect(try size(0) > 160 * 160 * 4)
    }

    @Test("an update waits for a change, and brings only what changed")
    func incremental() throws {
        let pair = try Pair(Self.picture())
        try pair.requestAll()
        #expect(pair.client.pixels == pair.surface.pixels)
        let before = pair.client.encodings.count
        try pair.requestAll()
        #expect(pair.client.encodings.count == before)
        #expect(pair.session.updates.isWaiting)
        pair.surface.pixels[20 * 75 + 40] = 0x123456
        let change = ScreenChange(rectangles: [PixelRect(x: 40, y: 20, width: 1, height: 1)])
        pair.session.screenChanged(change, width: 75, height: 50)
        try pair.pump()
        #expect(pair.client.encodings.count == before + 1)
        #expect(pair.client.pixels == pair.surface.pixels)
    }

    @Test("changes that nobody asks for are remembered as places, not as bytes")
    func slowClient() throws {
        let pair = try Pair(Surface(width: 640, height: 480))
        try pair.requestAll()
        let all = ScreenChange(rectangles: [PixelRect(x: 0, y: 0, width: 640, height: 480)])
        for colour in 1...100 {
            pair.surface.pixels = Array(repeating: UInt32(colour), count: 640 * 480)
            pair.session.screenChanged(all, width: 640, height: 480)
            pair.session.makeUpdate(from: pair.surface)
        }
        #expect(pair.session.output.isEmpty)
        try pair.requestAll()
        #expect(pair.client.pixels.allSatisfy { $0 == 100 })
    }

    @Test("a large update is encoded piece by piece as the client takes it")
    func boundedOutput() throws {
        let pair = try Pair(Self.picture(2560, 1600))
        _ = try pair.exchange(RFBTestClient.request(2560, 1600))
        var largest = 0
        repeat {
            pair.session.makeUpdate(from: pair.surface)
            largest = max(largest, pair.session.output.count)
            pair.client.feed(pair.session.output)
            pair.session.output.removeAll()
        } while !pair.session.updates.isBetweenUpdates
        #expect(largest < 512 << 10)
        #expect(pair.client.remaining > 2560 * 1600 * 4)
    }

    @Test("a new size is told to clients that understand it", arguments: [-223, -308] as [Int32])
    func resize(encoding: Int32) throws {
        let pair = try Pair(Self.picture())
        try pair.say(RFBTestClient.setEncodings([5, encoding]))
        try pair.requestAll()
        if encoding == -308 { try pair.requestAll() }
        pair.surface = Self.picture(100, 30)
        let change = ScreenChange(isResized: true, rectangles: [PixelRect(x: 0, y: 0, width: 100, height: 30)])
        pair.session.screenChanged(change, width: 100, height: 30)
        try pair.requestAll()
        #expect(pair.client.width == 100 && pair.client.height == 30)
        try pair.requestAll()
        #expect(pair.client.pixels == pair.surface.pixels)
    }

    @Test("clients that do not understand sizes keep theirs, the picture cut or with black around it")
    func oldClient() throws {
        let pair = try Pair(Self.picture())
        try pair.requestAll()
        pair.surface = Self.picture(100, 30)
        let change = ScreenChange(isResized: true, rectangles: [PixelRect(x: 0, y: 0, width: 100, height: 30)])
        pair.session.screenChanged(change, width: 100, height: 30)
        try pair.requestAll()
        #expect(pair.client.width == 75 && pair.client.height == 50)
        #expect(pair.client.pixels[74] == pair.surface.pixels[74])
        #expect(pair.client.pixels[29 * 75] == pair.surface.pixels[29 * 100])
        #expect(pair.client.pixels[30 * 75] == 0)
    }

    @Test("a screen that shrinks while an update is sent does no harm")
    func resizeInBetween() throws {
        let pair = try Pair(Self.picture(2000, 1000))
        _ = try pair.exchange(RFBTestClient.request(2000, 1000))
        pair.session.makeUpdate(from: pair.surface)
        pair.client.feed(pair.session.output)
        pair.session.output.removeAll()
        #expect(!pair.session.updates.isBetweenUpdates)
        pair.surface = Surface(width: 100, height: 20)
        pair.session.screenChanged(ScreenChange(isResized: true), width: 100, height: 20)
        try pair.pump()
        #expect(pair.client.pixels.last == 0)
    }

    @Test("a client's wish for another size is refused")
    func refusesResize() throws {
        let pair = try Pair(Self.picture())
        try pair.say(RFBTestClient.setEncodings([-308]))
        try pair.requestAll()
        #expect(pair.client.sizeAnswers == [[0, 0]])
        let wish: [UInt8] = [251, 0, 0, 200, 0, 100, 1, 0] + [UInt8](repeating: 0, count: 16)
        try pair.say(wish)
        #expect(pair.client.sizeAnswers == [[0, 0], [1, 1]])
        #expect(pair.client.width == 75)
    }

    @Test("keys and pointers arrive, also byte by byte and with a clipboard text between them")
    func input() throws {
        let pair = try Pair(Self.picture())
        let cut: [UInt8] = [6, 0, 0, 0, 0, 0, 0, 5] + Array("hello".utf8)
        let bytes =
            RFBTestClient.key(0x41, isDown: true) + cut + RFBTestClient.pointer(500, 3, 5)
            + RFBTestClient.qemuKey(0xff52, 0xc8, isDown: false) + RFBTestClient.qemuKey(0x20ac, 0, isDown: true)
        pair.events = []
        for byte in bytes { try pair.say([byte]) }
        #expect(
            pair.events == [
                .key(KeyEvent(scancode: Scancode(0x1e), keysym: 0x41, isDown: true)),
                .pointer(PointerEvent(x: 74, y: 3, width: 75, height: 50, buttons: [.left, .right])),
                .key(KeyEvent(scancode: Scancode(0xc8), keysym: 0xff52, isDown: false)),
                .key(KeyEvent(scancode: nil, keysym: 0x20ac, isDown: true)),
            ])
    }

    @Test("an empty clipboard text holds nothing up")
    func emptyCutText() throws {
        let pair = try Pair(Self.picture())
        pair.events = []
        try pair.say([6, 0, 0, 0, 0, 0, 0, 0] + RFBTestClient.pointer(1, 1, 0))
        #expect(pair.events.count == 1)
    }

    @Test("QEMU's extended keys are announced to who knows them")
    func announcement() throws {
        let pair = try Pair(Self.picture())
        try pair.say(RFBTestClient.setEncodings([0, -258]))
        try pair.requestAll()
        #expect(pair.client.encodings.first == -258)
        #expect(pair.client.pixels == pair.surface.pixels)
    }

    @Test("tiles come back as rectangles that cover each exactly once")
    func tiles() {
        var tiles = TileSet(width: 100, height: 90)
        for (x, y) in [(0, 0), (16, 0), (99, 89), (50, 50), (0, 16), (16, 16), (64, 64), (80, 80)] {
            tiles.insert(PixelRect(x: x, y: y, width: 1, height: 1))
        }
        let rectangles = tiles.take(in: PixelRect(x: 0, y: 0, width: 100, height: 90), pixelsMax: 1 << 16)
        var covered = Set<Int>()
        for rectangle in rectangles {
            for y in rectangle.y..<rectangle.y + rectangle.height {
                for x in rectangle.x..<rectangle.x + rectangle.width { #expect(covered.insert(y * 100 + x).inserted) }
            }
        }
        #expect(rectangles.first == PixelRect(x: 0, y: 0, width: 32, height: 32))
        #expect(covered.count == 4 * 256 + 4 * 10 + 256 + 256 + 16 * 10)
        #expect(tiles.isEmpty)
    }
}
