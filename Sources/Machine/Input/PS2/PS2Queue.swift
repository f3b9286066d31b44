/// Bytes on their way from a PS/2 device to the controller.
///
/// It holds 16 bytes, as keyboards do. More would do harm: a guest that empties the controller before it drives it gives up
/// when more than 16 bytes come (Linux does), and keys typed while nobody reads would arrive much later.
struct PS2Queue: Sendable, BitwiseCopyable {
    static let capacity = 16

    private var bytes = InlineArray<16, UInt8>(repeating: 0)
    private var first = 0
    private(set) var count = 0

    var room: Int { Self.capacity - count }

    /// Adds a byte; drops it when there is no room.
    mutating func push(_ byte: UInt8) {
        guard count < Self.capacity else { return }
        bytes[(first + count) % Self.capacity] = byte
        count += 1
    }

    mutating func pop() -> UInt8? {
        guard count > 0 else { return nil }
        let byte = bytes[first]
        first = (first + 1) % Self.capacity
        count -= 1
        return byte
    }

    mutating func removeAll() { (first, count) = (0, 0) }
}

/// What PS/2 devices answer to commands (IBM PS/2 Hardware Interface Technical Reference, "Keyboard and auxiliary device
/// controller").
enum PS2Reply {
    static let acknowledge: UInt8 = 0xfa
    static let resend: UInt8 = 0xfe
    static let selfTestPassed: UInt8 = 0xaa
    static let echo: UInt8 = 0xee
}
