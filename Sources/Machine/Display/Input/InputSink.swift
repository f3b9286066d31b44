/// A key goes down or up.
public struct KeyEvent: Sendable, Equatable {
    /// Which key of a PC's keyboard; nil if the symbol is on none that we know.
    public var scancode: Scancode?
    /// What it means to who pressed it, as X11 numbers symbols (Xlib, "Keysym encoding"); zero if that is not known.
    public var keysym: UInt32
    public var isDown: Bool

    public init(scancode: Scancode?, keysym: UInt32 = 0, isDown: Bool) {
        self.scancode = scancode
        self.keysym = keysym
        self.isDown = isDown
    }
}

/// Where a pointer is, and what is pressed.
public struct PointerEvent: Sendable, Equatable {
    /// In pixels from the left upper corner, inside the screen.
    public var x: Int
    public var y: Int
    /// The size of the screen these count in.
    public var width: Int
    public var height: Int
    public var buttons: PointerButtons

    public init(x: Int, y: Int, width: Int, height: Int, buttons: PointerButtons) {
        self.x = x
        self.y = y
        self.width = width
        self.height = height
        self.buttons = buttons
    }
}

/// Buttons of a pointer, numbered as RFC 6143, section 7.5.5 does; a turn of the wheel is a press of its button.
public struct PointerButtons: OptionSet, Sendable {
    public let rawValue: UInt8
    public init(rawValue: UInt8) { self.rawValue = rawValue }

    public static let left = PointerButtons(rawValue: 1 << 0)
    public static let middle = PointerButtons(rawValue: 1 << 1)
    public static let right = PointerButtons(rawValue: 1 << 2)
    public static let wheelUp = PointerButtons(rawValue: 1 << 3)
    public static let wheelDown = PointerButtons(rawValue: 1 << 4)
    public static let wheelLeft = PointerButtons(rawValue: 1 << 5)
    public static let wheelRight = PointerButtons(rawValue: 1 << 6)
}

/// The keyboard and pointer of a machine, for who operates them from outside. Called on the thread of the server that got the input;
/// must not wait.
public protocol InputSink: AnyObject, Sendable {
    func key(_ event: KeyEvent)
    func pointer(_ event: PointerEvent)
}
