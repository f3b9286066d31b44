import Display
import Input

/// Takes keys and pointers of whoever looks at the screen to the guest's devices.
final class ConsoleInput: InputSink {
    private let input: GuestInput

    init(_ input: GuestInput) { self.input = input }

    func key(_ event: KeyEvent) {
        guard let scancode = event.scancode,
            let key = KeyCode(extendedKeyEvent: UInt32(scancode.code) | (scancode.isExtended ? 0x80 : 0))
        else { return }
        input.key(key, down: event.isDown)
    }

    func pointer(_ event: PointerEvent) {
        input.setScreen(width: event.width, height: event.height)
        var buttons: Input.PointerButtons = []
        if event.buttons.contains(.left) { buttons.insert(.left) }
        if event.buttons.contains(.middle) { buttons.insert(.middle) }
        if event.buttons.contains(.right) { buttons.insert(.right) }
        let wheel = event.buttons.contains(.wheelUp) ? 1 : event.buttons.contains(.wheelDown) ? -1 : 0
        input.pointer(
            x: Self.place(event.x, of: event.width), y: Self.place(event.y, of: event.height), wheel: wheel,
            buttons: buttons)
    }

    /// A pixel's number as a part of 65535.
    private static func place(_ pixel: Int, of count: Int) -> UInt16 {
        guard count > 1 else { return 0 }
        return UInt16(clamping: max(0, min(pixel, count - 1)) * 65535 / (count - 1))
    }
}
