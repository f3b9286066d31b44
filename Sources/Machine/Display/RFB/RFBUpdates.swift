/// What a client wants to see of the screen, and what it has yet to get (RFC 6143, sections 7.5.3 and 7.6.1).
///
/// Changes only mark tiles, so a slow client gets the newest picture and not every one; pixels are encoded when there is room for them in what
/// is to be sent.
struct RFBUpdates {
    /// Numbers of encodings: RFC 6143, section 7.7, and IANA's registry.
    enum Encoding {
        static let raw: Int32 = 0
        static let hextile: Int32 = 5
        static let zrle: Int32 = 16
        static let desktopSize: Int32 = -223
        static let qemuExtendedKey: Int32 = -258
        static let extendedDesktopSize: Int32 = -308
    }

    /// No more is encoded while this many bytes wait to be sent.
    static let outputMax = 128 << 10
    /// Pixels of one rectangle at most: what `outputMax` may be exceeded by.
    private static let rectanglePixels = 64 << 10

    /// The size of the screen that the client knows.
    private(set) var width: Int
    private(set) var height: Int
    /// How the client wants pixels from its next update on.
    private var style = Style()
    private var deflater: Deflater?
    private var knowsDesktopSize = false
    private var knowsExtendedDesktopSize = false
    /// Things to say that are no pixels.
    private var owesKeyAnnouncement = false
    private var owesSize = false
    private var owesRefusal = false
    private var owesColourMap = false
    /// The size of the screen as it is, if the client knows another.
    private var newSize: (width: Int, height: Int)?
    private var damage: TileSet
    /// What the client waits for; nil if it does not.
    private var requested: PixelRect?
    /// Rectangles of an update that was begun, how they are written, and how many of them are.
    private var begun: [PixelRect] = []
    private var begunStyle = Style()
    private var written = 0

    private struct Style {
        var translator = PixelTranslator(.native)
        var encoding = Encoding.raw
    }

    init(width: Int, height: Int) {
        // Sizes are 16 bits wide in the protocol.
        self.width = min(width, 0xffff)
        self.height = min(height, 0xffff)
        damage = TileSet(width: self.width, height: self.height)
        damage.insertAll()
    }

    /// Whether a change of the screen would be sent at once.
    var isWaiting: Bool { requested != nil && begun.isEmpty }

    /// Whether everything that was begun is written.
    var isBetweenUpdates: Bool { begun.isEmpty }

    // MARK: What the client says

    mutating func setFormat(_ format: PixelFormat) {
        style.translator = PixelTranslator(format)
        owesColourMap = format.isMapped
    }

    mutating func setEncodings(_ encodings: [Int32]) {
        // The client names them as it likes them best. A connection has one stream of ZRLE from its first use on.
        let zrle = encodings.contains(Encoding.zrle) ? deflater ?? Deflater() : deflater
        deflater = zrle
        let known = [Encoding.raw, Encoding.hextile] + (zrle == nil ? [] : [Encoding.zrle])
        style.encoding = encodings.first { known.contains($0) } ?? Encoding.raw
        knowsDesktopSize = encodings.contains(Encoding.desktopSize)
        let knewExtended = knowsExtendedDesktopSize
        knowsExtendedDesktopSize = encodings.contains(Encoding.extendedDesktopSize)
        if knowsExtendedDesktopSize, !knewExtended { owesSize = true }
        owesKeyAnnouncement = encodings.contains(Encoding.qemuExtendedKey)
    }

    mutating func request(_ area: PixelRect, isIncremental: Bool) {
        let area = area.clipped(width: width, height: height)
        if !isIncremental { damage.insert(area) }
        guard let old = requested else {
            requested = area
            return
        }
        let x = min(old.x, area.x)
        let y = min(old.y, area.y)
        requested = PixelRect(
            x: x, y: y, width: max(old.x + old.width, area.x + area.width) - x,
            height: max(old.y + old.height, area.y + area.height) - y)
    }

    /// The size is the guest's to choose.
    mutating func refuseResize() { owesRefusal = knowsExtendedDesktopSize }

    // MARK: What the screen does

    mutating func screenChanged(_ change: ScreenChange, width newWidth: Int, height newHeight: Int) {
        if change.isResized {
            let size = (width: min(newWidth, 0xffff), height: min(newHeight, 0xffff))
            newSize = size == (width, height) ? nil : size
            damage.insertAll()
        }
        for rectangle in change.rectangles { damage.insert(rectangle) }
    }

    // MARK: Writing

    /// Goes on with an update, or begins one if the client waits and something is there to say.
    mutating func write(_ surface: Surface, to output: inout [UInt8]) {
        if begun.isEmpty, output.count < Self.outputMax { begin(&output) }
        while written < begun.count, output.count < Self.outputMax {
            let rectangle = begun[written]
            let encoding = begunStyle.encoding
            Self.appendHeader(rectangle, encoding, to: &output)
            let translator = begunStyle.translator
            if encoding == Encoding.zrle, let deflater {
                ZRLE.encode(rectangle, of: surface, translator, deflater, to: &output)
            } else {
                RectangleEncoder.encode(rectangle, of: surface, as: encoding, translator, to: &output)
            }
            written += 1
        }
        if written == begun.count {
            begun.removeAll(keepingCapacity: true)
            written = 0
        }
    }

    private mutating func begin(_ output: inout [UInt8]) {
        if owesRefusal {
            owesRefusal = false
            Self.appendUpdate(count: 1, to: &output)
            // Asked for by this client, prohibited.
            appendExtendedSize(reason: 1, status: 1, to: &output)
        }
        guard let area = requested else { return }
        if owesColourMap {
            owesColourMap = false
            output += PixelTranslator.colourMap
        }
        if owesKeyAnnouncement {
            owesKeyAnnouncement = false
            // The pixels the client asked for follow without its asking again.
            Self.appendUpdate(count: 1, to: &output)
            Self.appendHeader(PixelRect(x: 0, y: 0, width: 0, height: 0), Encoding.qemuExtendedKey, to: &output)
        }
        if writeSize(&output) { return }
        begun = damage.take(in: area, pixelsMax: Self.rectanglePixels)
        guard !begun.isEmpty else { return }
        begunStyle = style
        requested = nil
        Self.appendUpdate(count: begun.count, to: &output)
    }

    /// Tells the client of a new size, or of the present one if it has to hear it once.
    ///
    /// - Returns: whether that was the answer to its request.
    private mutating func writeSize(_ output: inout [UInt8]) -> Bool {
        guard knowsDesktopSize || knowsExtendedDesktopSize else { return false }
        guard newSize != nil || owesSize else { return false }
        if let newSize {
            (width, height) = newSize
            damage = TileSet(width: width, height: height)
        }
        newSize = nil
        owesSize = false
        damage.insertAll()
        requested = nil
        Self.appendUpdate(count: 1, to: &output)
        if knowsExtendedDesktopSize {
            appendExtendedSize(reason: 0, status: 0, to: &output)
        } else {
            let size = PixelRect(x: 0, y: 0, width: width, height: height)
            Self.appendHeader(size, Encoding.desktopSize, to: &output)
        }
        return true
    }

    private static func appendUpdate(count: Int, to output: inout [UInt8]) {
        output += [0, 0, UInt8(truncatingIfNeeded: count >> 8), UInt8(truncatingIfNeeded: count)]
    }

    private static func appendHeader(_ rectangle: PixelRect, _ encoding: Int32, to output: inout [UInt8]) {
        for value in [rectangle.x, rectangle.y, rectangle.width, rectangle.height] {
            output += [UInt8(truncatingIfNeeded: value >> 8), UInt8(truncatingIfNeeded: value)]
        }
        let number = UInt32(bitPattern: encoding)
        for shift: UInt32 in [24, 16, 8, 0] { output.append(UInt8(truncatingIfNeeded: number >> shift)) }
    }

    /// The pseudo-rectangle of ExtendedDesktopSize: one screen, as large as all (the community's rfbproto, "ExtendedDesktopSize
    /// pseudo-encoding").
    private func appendExtendedSize(reason: Int, status: Int, to output: inout [UInt8]) {
        let header = PixelRect(x: reason, y: status, width: width, height: height)
        Self.appendHeader(header, Encoding.extendedDesktopSize, to: &output)
        output += [1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]
        for value in [width, height] {
            output += [UInt8(truncatingIfNeeded: value >> 8), UInt8(truncatingIfNeeded: value)]
        }
        output += [0, 0, 0, 0]
    }
}
