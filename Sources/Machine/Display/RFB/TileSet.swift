/// Which tiles of 16 by 16 pixels of a picture somebody has yet to be told of. However much changes, it takes the same room.
struct TileSet: Sendable {
    static let side = 16

    private(set) var width: Int
    private(set) var height: Int
    private let columns: Int
    private let rows: Int
    /// A row of tiles after the other.
    private var bits: [Bool]
    private(set) var isEmpty = true

    /// An empty set for a picture of this size.
    init(width: Int, height: Int) {
        self.width = width
        self.height = height
        columns = (width + Self.side - 1) / Self.side
        rows = (height + Self.side - 1) / Self.side
        bits = Array(repeating: false, count: columns * rows)
    }

    /// Adds the tiles that a rectangle touches.
    mutating func insert(_ rectangle: PixelRect) {
        let inside = rectangle.clipped(width: width, height: height)
        guard !inside.isEmpty else { return }
        for row in inside.y / Self.side...(inside.y + inside.height - 1) / Self.side {
            for column in inside.x / Self.side...(inside.x + inside.width - 1) / Self.side {
                bits[row * columns + column] = true
            }
        }
        isEmpty = false
    }

    mutating func insertAll() { insert(PixelRect(x: 0, y: 0, width: width, height: height)) }

    /// Removes the tiles that touch `area` and gives them back as rectangles that do not overlap.
    ///
    /// - Parameter pixelsMax: how many pixels a rectangle may have at most; at least one row of tiles.
    mutating func take(in area: PixelRect, pixelsMax: Int) -> [PixelRect] {
        let inside = area.clipped(width: width, height: height)
        guard !isEmpty, !inside.isEmpty else { return [] }
        var result: [PixelRect] = []
        for row in inside.y / Self.side...(inside.y + inside.height - 1) / Self.side {
            var column = inside.x / Self.side
            let lastColumn = (inside.x + inside.width - 1) / Self.side
            while column <= lastColumn {
                guard bits[row * columns + column] else {
                    column += 1
                    continue
                }
                let first = column
                while column <= lastColumn, bits[row * columns + column] {
                    bits[row * columns + column] = false
                    column += 1
                }
                let next = PixelRect(
                    x: first * Self.side, y: row * Self.side, width: min(column * Self.side, width) - first * Self.side,
                    height: min((row + 1) * Self.side, height) - row * Self.side)
                append(next, to: &result, pixelsMax)
            }
        }
        isEmpty = !bits.contains(true)
        return result
    }

    /// Adds a run of tiles to a rectangle right above it that is as wide, or as one of its own.
    private func append(_ next: PixelRect, to result: inout [PixelRect], _ pixelsMax: Int) {
        // Few are looked at, so that a chequered picture costs no more.
        for index in result.indices.suffix(32).reversed() {
            let upper = result[index]
            let grown = PixelRect(x: upper.x, y: upper.y, width: upper.width, height: upper.height + next.height)
            if upper.x == next.x, upper.width == next.width, upper.y + upper.height == next.y,
                grown.width * grown.height <= pixelsMax
            {
                result[index] = grown
                return
            }
        }
        result.append(next)
    }
}
