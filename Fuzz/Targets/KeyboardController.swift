import DeviceModel
import Input
import VirtioTestSupport

/// A keyboard controller, its guest and its user: each command is a byte that says what happens, and its parameters.
func fuzzKeyboardController(_ bytes: [UInt8]) {
    var feed = Feed(bytes)
    let keyboardLine = TestLine()
    let mouseLine = TestLine()
    let controller = KeyboardController(keyboard: keyboardLine, mouse: mouseLine, reset: {}, now: { 0 })
    let input = GuestInput(controller: controller, keyboard: nil, tablet: nil, loop: nil, now: { 0 })
    let status = { UInt8(truncatingIfNeeded: controller.read(region: 1, offset: 0, width: 1)) }
    let drain = {
        var left = 64
        while status() & 1 != 0, left > 0 {
            _ = controller.read(region: 0, offset: 0, width: 1)
            left -= 1
        }
        check(left > 0, "a controller that nobody feeds is empty after a while")
    }
    while !feed.isAtEnd {
        switch feed.byte() & 15 {
        case 0: controller.write(region: 0, offset: 0, width: 1, value: UInt64(feed.byte()))
        case 1: controller.write(region: 1, offset: 0, width: 1, value: UInt64(feed.byte()))
        case 2: _ = controller.read(region: 0, offset: 0, width: 1)
        case 3, 4: if let key = KeyCode(set1: feed.word()) { controller.key(key, down: feed.byte() & 1 != 0) }
        case 5: if let key = KeyCode(extendedKeyEvent: feed.long()) { input.key(key, down: feed.byte() & 1 != 0) }
        case 6:
            controller.move(
                x: Int(Int16(bitPattern: feed.word())), y: Int(Int16(bitPattern: feed.word())),
                wheel: Int(Int8(bitPattern: feed.byte())), buttons: PointerButtons(rawValue: feed.byte()))
        case 7: input.pointer(x: feed.word(), y: feed.word(), buttons: PointerButtons(rawValue: feed.byte()))
        case 8: input.releaseAll()
        case 9: controller.reset()
        case 10:
            controller.write(
                region: Int(feed.byte() & 1), offset: 0, width: feed.width(), value: feed.wide())
        // Commands to the mouse are frequent, and take two writes.
        case 11:
            controller.write(region: 1, offset: 0, width: 1, value: 0xd4)
            controller.write(region: 0, offset: 0, width: 1, value: UInt64(feed.byte()))
        default: drain()
        }
        let present = status()
        check(present & 2 == 0, "the input buffer is never full")
        check(!keyboardLine.isRaised || present & 0x21 == 0x01, "the keyboard's wire is up for a byte of its own")
        check(!mouseLine.isRaised || present & 0x21 == 0x21, "the mouse's wire is up for a byte of its own")
    }
    drain()
    controller.write(region: 1, offset: 0, width: 1, value: 0xaa)
    check(controller.read(region: 0, offset: 0, width: 1) == 0x55, "the self-test passes whatever was before")
}
