/// Joins changes that come in from top to bottom into few rectangles.
struct DamageCollector {
    /// More than this many are joined, whatever lies between them.
    static let rectanglesMax = 128
    /// Unchanged lines that are worth including to save a rectangle.
    private static let gap = 4

    private var rectangles: [PixelRect] = []
    private var current: PixelRect?

    init() {}

    mutating func add(_ next: PixelRect) {
        guard !next.isEmpty else { return }
        guard let present = current else {
            current = next
            return
        }
        let isNear = next.y <= present.y + present.height + Self.gap
        let overlaps = next.x <= present.x + present.width + 16 && present.x <= next.x + next.width + 16
        if isNear && overlaps || rectangles.count >= Self.rectanglesMax - 1 {
            current = Self.union(present, next)
        } else {
            rectangles.append(present)
            current = next
        }
    }

    /// All of it.
    mutating func finish() -> [PixelRect] {
        if let current { rectangles.append(current) }
        current = nil
        return rectangles
    }

    private static func union(_ one: PixelRect, _ other: PixelRect) -> PixelRect {
        let x = min(one.x, other.x)
        let y = min(one.y, other.y)
        return PixelRect(
            x: x, y: y, width: max(one.x + one.width, other.x + other.width) - x,
            height: max(one.y + one.height, other.y + other.height) - y)
    }
}
