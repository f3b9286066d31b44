/// The buttons of a mouse that are down. The bits are those of a HID mouse and of a PS/2 packet.
public struct PointerButtons: OptionSet, Sendable, BitwiseCopyable {
    public let rawValue: UInt8
    public init(rawValue: UInt8) { self.rawValue = rawValue & 0x1f }

    public static let left = PointerButtons(rawValue: 1)
    public static let right = PointerButtons(rawValue: 2)
    public static let middle = PointerButtons(rawValue: 4)
    /// The fourth, "back".
    public static let side = PointerButtons(rawValue: 8)
    /// The fifth, "forward".
    public static let extra = PointerButtons(rawValue: 16)
}
