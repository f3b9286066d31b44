public import Linux
import Synchronization

/// A keyboard that speaks the boot protocol (HID 1.11, appendix B.1): modifiers, and up to six keys at a time.
public final class HIDKeyboard: HIDDevice, @unchecked Sendable {
    // @unchecked: see `HIDDevice`; `held` is guarded by the mutex of the state.

    /// Eight modifiers, a reserved byte, five lights and three bits of filling, six keys.
    private static let reportDescriptor: [UInt8] = [
        0x05, 0x01, 0x09, 0x06, 0xa1, 0x01,  // Generic Desktop, Keyboard: application
        0x05, 0x07, 0x19, 0xe0, 0x29, 0xe7,  // Left Control to Right GUI
        0x15, 0x00, 0x25, 0x01, 0x75, 0x01, 0x95, 0x08, 0x81, 0x02,
        0x75, 0x08, 0x95, 0x01, 0x81, 0x01,
        0x05, 0x08, 0x19, 0x01, 0x29, 0x05, 0x75, 0x01, 0x95, 0x05, 0x91, 0x02,  // Num Lock to Kana
        0x75, 0x03, 0x95, 0x01, 0x91, 0x01,
        0x05, 0x07, 0x19, 0x00, 0x2a, 0xff, 0x00,  // any key
        0x15, 0x00, 0x26, 0xff, 0x00, 0x75, 0x08, 0x95, 0x06, 0x81, 0x00,
        0xc0,
    ]
    /// What each key position says when more than six keys are down.
    private static let rollOver: UInt8 = 1

    /// All keys that are down; guarded by the mutex of the state.
    private var held = KeySet()

    /// - Parameter now: nanoseconds that never step; another clock for tests.
    public init(now: @escaping @Sendable () -> UInt64 = monotonicNanoseconds) {
        super.init(
            HIDDescriptors(
                product: 0x0002, name: "USB Keyboard", isBootKeyboard: true, maximumPacket: 8,
                report: Self.reportDescriptor),
            initial: HIDReport(count: 8), now: now)
    }

    /// A key goes down (again, if it is repeated) or up. From any thread.
    public func key(_ key: KeyCode, down: Bool) {
        guard HIDUsage.of(key) != 0 else { return }
        update { state in
            // A guest that asks for reports at intervals takes each for a repetition (SeaBIOS does).
            if held[key] == down { return down && state.idleRate != 0 ? .next : nil }
            held[key] = down
            state.present = report()
            return .next
        }
    }

    /// Whether a key is down.
    func isDown(_ key: KeyCode) -> Bool { state.withLock { _ in held[key] } }

    /// The lights, as PS/2 keyboards count them: bit 0 scroll lock, 1 num lock, 2 caps lock.
    public var leds: UInt8 {
        let lights = state.withLock { $0.leds }
        return lights >> 2 & 1 | (lights & 3) << 1
    }

    private func report() -> HIDReport {
        var report = HIDReport(count: 8)
        var count = 0
        var rest = held
        while let key = rest.first {
            rest[key] = false
            let usage = HIDUsage.of(key)
            if usage >= 0xe0 {
                report.bytes[0] |= 1 << (usage & 7)
            } else {
                if count < 6 { report.bytes[2 + count] = usage }
                count += 1
            }
        }
        if count > 6 { for index in 2..<8 { report.bytes[index] = Self.rollOver } }
        return report
    }
}
