/// A key of a PC's keyboard, by the code that scan code set 1 gives it: seven bits, and whether E0 comes first.
///
/// The same numbers are what RFB's extended key events carry (bit 7 for E0) and what QEMU calls key numbers.
public struct Scancode: Sendable, Hashable {
    public var code: UInt8
    public var isExtended: Bool

    /// - Parameter number: the code in bits 6:0, bit 7 for E0.
    public init(_ number: UInt8) {
        code = number & 0x7f
        isExtended = number & 0x80 != 0
    }

    public static let leftShift = Scancode(0x2a)
    public static let rightShift = Scancode(0x36)
    public static let leftControl = Scancode(0x1d)
    public static let leftAlt = Scancode(0x38)
    public static let rightAlt = Scancode(0xb8)
    public static let enter = Scancode(0x1c)
    public static let tab = Scancode(0x0f)
    public static let delete = Scancode(0xd3)
    /// Pause has no code of its own in set 1 but a sequence; this number stands for it.
    public static let pause = Scancode(0xc6)
}
