public import Linux

/// A pointing device that says where the pointer is, and not how far it moved: what a remote console needs, since the
/// guest's pointer then is where the client's is. Five buttons and a wheel.
public final class HIDTablet: HIDDevice, @unchecked Sendable {
    /// The largest coordinate.
    public static let coordinateMax: UInt16 = 0x7fff

    /// A mouse with absolute axes: five buttons and three bits of filling; X and Y, 16 bits each; a wheel, 8 bits (HID
    /// 1.11, section 6.2.2; HID Usage Tables 1.12, pages 1 and 9).
    private static let reportDescriptor: [UInt8] = [
        0x05, 0x01, 0x09, 0x02, 0xa1, 0x01,  // Generic Desktop, Mouse: application
        0x09, 0x01, 0xa1, 0x00,  // Pointer: physical
        0x05, 0x09, 0x19, 0x01, 0x29, 0x05,  // Button 1 to 5
        0x15, 0x00, 0x25, 0x01, 0x75, 0x01, 0x95, 0x05, 0x81, 0x02,
        0x75, 0x03, 0x95, 0x01, 0x81, 0x01,
        0x05, 0x01, 0x09, 0x30, 0x09, 0x31,  // X, Y: 0 to 7fff, absolute
        0x15, 0x00, 0x26, 0xff, 0x7f, 0x35, 0x00, 0x46, 0xff, 0x7f, 0x75, 0x10, 0x95, 0x02, 0x81, 0x02,
        0x09, 0x38,  // Wheel: -127 to 127, relative
        0x15, 0x81, 0x25, 0x7f, 0x35, 0x00, 0x45, 0x00, 0x75, 0x08, 0x95, 0x01, 0x81, 0x06,
        0xc0, 0xc0,
    ]

    /// - Parameter now: nanoseconds that never step; another clock for tests.
    public init(now: @escaping @Sendable () -> UInt64 = monotonicNanoseconds) {
        super.init(
            HIDDescriptors(
                product: 0x0001, name: "USB Tablet", isBootKeyboard: false, maximumPacket: 8,
                report: Self.reportDescriptor),
            initial: HIDReport(count: 6), now: now)
    }

    /// The pointer is somewhere, or a button changes. From any thread.
    ///
    /// - Parameters:
    ///   - x: 0 (left) to `coordinateMax`; beyond is the edge.
    ///   - y: 0 (top) to `coordinateMax`.
    ///   - wheel: notches away from the user.
    public func move(x: UInt16, y: UInt16, wheel: Int, buttons: PointerButtons) {
        let (x, y) = (min(x, Self.coordinateMax), min(y, Self.coordinateMax))
        update { state in
            let before = state.present
            var report = HIDReport(count: 6)
            report.bytes[0] = buttons.rawValue
            report.bytes[1] = UInt8(truncatingIfNeeded: x)
            report.bytes[2] = UInt8(truncatingIfNeeded: x >> 8)
            report.bytes[3] = UInt8(truncatingIfNeeded: y)
            report.bytes[4] = UInt8(truncatingIfNeeded: y >> 8)
            report.bytes[5] = UInt8(bitPattern: Int8(clamping: min(max(wheel, -127), 127)))
            state.present = report
            let moved = (1...4).contains { report.bytes[$0] != before.bytes[$0] }
            guard moved || wheel != 0 || report.bytes[0] != before.bytes[0] else { return nil }
            // Only the last place matters, as long as it says nothing else.
            return wheel == 0 && before.bytes[5] == 0 && report.bytes[0] == before.bytes[0] ? .replacing : .next
        }
    }
}
