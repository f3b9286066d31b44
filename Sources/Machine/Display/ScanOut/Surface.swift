/// A rectangle of pixels: left upper corner and size.
public struct PixelRect: Sendable, Hashable {
    public var x: Int
    public var y: Int
    public var width: Int
    public var height: Int

    public init(x: Int, y: Int, width: Int, height: Int) {
        self.x = x
        self.y = y
        self.width = width
        self.height = height
    }

    public var isEmpty: Bool { width <= 0 || height <= 0 }

    /// The part of it that lies in a picture of this size.
    public func clipped(width: Int, height: Int) -> PixelRect {
        let left = min(max(x, 0), width)
        let top = min(max(y, 0), height)
        let right = min(max(x + self.width, left), width)
        let bottom = min(max(y + self.height, top), height)
        return PixelRect(x: left, y: top, width: right - left, height: bottom - top)
    }
}

/// A picture: rows of pixels from the top, each `0x00RRGGBB` (as bytes in memory: blue, green, red, zero).
public struct Surface: Sendable {
    public private(set) var width: Int
    public private(set) var height: Int
    /// `width` × `height` of them.
    public var pixels: [UInt32]

    /// A black picture.
    ///
    /// - Precondition: both sizes are positive.
    public init(width: Int, height: Int) {
        precondition(width > 0 && height > 0, "a picture has pixels")
        self.width = width
        self.height = height
        pixels = Array(repeating: 0, count: width * height)
    }
}

extension Surface {
    /// Puts a row of pixels in; what is missing at its end stays.
    ///
    /// - Returns: from the first to the last pixel that changed; nil if none did.
    mutating func replaceLine(_ y: Int, with line: [UInt32]) -> Range<Int>? {
        guard y >= 0, y < height else { return nil }
        let row = y * width
        let count = min(line.count, width)
        var pixels = pixels.mutableSpan
        var first = 0
        while first < count, pixels[row + first] == line[first] { first += 1 }
        if first == count { return nil }
        var last = count
        while pixels[row + last - 1] == line[last - 1] { last -= 1 }
        for x in first..<last { pixels[row + x] = line[x] }
        return first..<last
    }
}

/// What became of a picture since the last look.
public struct ScreenChange: Sendable, Equatable {
    /// It has another size, and all of it is new.
    public var isResized: Bool
    /// What changed; nothing outside the picture.
    public var rectangles: [PixelRect]

    public init(isResized: Bool = false, rectangles: [PixelRect] = []) {
        self.isResized = isResized
        self.rectangles = rectangles
    }

    public static let none = ScreenChange()
    public var isEmpty: Bool { !isResized && rectangles.isEmpty }
}

/// Something with a picture that is drawn when somebody asks. Belongs to one thread.
public protocol Screen: AnyObject {
    /// The picture as of the last `update`.
    var surface: Surface { get }

    /// Brings the picture up to date.
    ///
    /// - Parameter now: nanoseconds on a clock that never steps; cursors blink by it.
    /// - Returns: what changed.
    func update(now: UInt64) -> ScreenChange
}
