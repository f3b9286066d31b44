public import Linux
import Synchronization

/// Where keys and pointer motion of a remote console go in: it finds the device that the guest listens to.
///
/// Keys go to the PS/2 keyboard, or to the USB keyboard if the guest drives only that one. The pointer's place goes to the
/// tablet if the guest drives it, else as motion to the PS/2 mouse. Keys that come faster than the guest fetches them wait
/// here for a moment; keys that nobody fetches are dropped. Keys are repeated by whoever types, not here.
///
/// Everything here may be called from any thread, and never waits for the guest.
public final class GuestInput: Sendable {
    private struct WaitingKey {
        var key: KeyCode
        var down: Bool
        var since: UInt64
    }

    private enum Pointer {
        case mouse
        case tablet
    }

    private struct State {
        var held = KeySet()
        var waiting: [WaitingKey] = []
        var pointer = Pointer.mouse
        var buttons: PointerButtons = []
        /// The pointer's place, 0...65535 from the left and from the top; nil before the first.
        var place: (x: Int, y: Int)?
        /// The size of the guest's screen, by which places become motion.
        var screen = (width: 1024, height: 768)
    }

    /// Keys that can wait, and how long, in nanoseconds; how often to look whether they still have to.
    private static let waitingMax = 256
    private static let patience: UInt64 = 1_000_000_000
    private static let interval: UInt64 = 5_000_000

    private let state = Mutex(State())
    private let controller: KeyboardController
    private let keyboard: HIDKeyboard?
    private let tablet: HIDTablet?
    private let loop: EventLoop?
    private let now: @Sendable () -> UInt64
    private let timer = Mutex<Timer?>(nil)

    /// - Parameters:
    ///   - keyboard: the USB keyboard, if the machine has one.
    ///   - tablet: the USB tablet, if the machine has one.
    ///   - loop: where keys that wait are looked after; nil leaves them until the next key, for tests.
    ///   - now: nanoseconds that never step; another clock for tests.
    public init(
        controller: KeyboardController, keyboard: HIDKeyboard?, tablet: HIDTablet?, loop: EventLoop?,
        now: @escaping @Sendable () -> UInt64 = monotonicNanoseconds
    ) {
        self.controller = controller
        self.keyboard = keyboard
        self.tablet = tablet
        self.loop = loop
        self.now = now
        loop?.perform { self.makeTimer() }
    }

    /// On the loop's thread.
    private func makeTimer() {
        guard let loop, let timer = try? Timer(on: loop, { [weak self] in self?.deliverWaiting() }) else { return }
        self.timer.withLock { $0 = timer }
        deliverWaiting()
    }

    /// Stops looking after keys that wait. No call follows.
    public func close() {
        guard let loop else { return }
        // After `makeTimer`, which was handed over before.
        loop.performAndWait { self.timer.withLock { $0.take() }?.close(on: loop) }
    }

    // MARK: Keys

    /// A key goes down (again, if the client repeats it) or up.
    public func key(_ key: KeyCode, down: Bool) {
        state.withLock { state in
            state.held[key] = down
            let now = now()
            deliver(&state, now)
            if state.waiting.isEmpty, hasRoom { return send(key, down: down) }
            if state.waiting.count == Self.waitingMax { giveUp(&state) }
            state.waiting.append(WaitingKey(key: key, down: down, since: now))
            timer.withLock { $0?.set(after: Self.interval) }
        }
    }

    /// Lets go of all keys and buttons: the console's client is gone.
    public func releaseAll() {
        let (held, buttons) = state.withLock { ($0.held, $0.buttons) }
        var rest = held
        while let key = rest.first {
            rest[key] = false
            self.key(key, down: false)
        }
        if !buttons.isEmpty { move(x: 0, y: 0, wheel: 0, buttons: []) }
    }

    /// The lights of the keyboard in use: bit 0 scroll lock, 1 num lock, 2 caps lock.
    public var leds: UInt8 { usesUSBKeyboard ? keyboard?.leds ?? 0 : controller.leds }

    private var usesUSBKeyboard: Bool {
        guard let keyboard else { return false }
        return keyboard.isInUse && !controller.isKeyboardInUse
    }

    private var hasRoom: Bool {
        if usesUSBKeyboard { return keyboard?.hasRoom ?? true }
        return controller.hasRoomForKey
    }

    private func send(_ key: KeyCode, down: Bool) {
        // A release goes wherever the press went: a keyboard on which the key is not down drops it.
        if !down {
            controller.key(key, down: false)
            keyboard?.key(key, down: false)
        } else if usesUSBKeyboard {
            keyboard?.key(key, down: true)
        } else {
            controller.key(key, down: true)
        }
    }

    private func deliverWaiting() {
        state.withLock { state in
            deliver(&state, now())
            if !state.waiting.isEmpty { timer.withLock { $0?.set(after: Self.interval) } }
        }
    }

    private func deliver(_ state: inout State, _ now: UInt64) {
        var done = 0
        while done < state.waiting.count, hasRoom {
            send(state.waiting[done].key, down: state.waiting[done].down)
            done += 1
        }
        state.waiting.removeFirst(done)
        if let first = state.waiting.first, now &- first.since > Self.patience { giveUp(&state) }
    }

    /// Forgets keys that wait, but no release: the keyboards keep account of those.
    private func giveUp(_ state: inout State) {
        for waiting in state.waiting where !waiting.down { send(waiting.key, down: false) }
        state.waiting = []
    }

    // MARK: Pointer

    /// The size of the guest's screen in pixels, by which the pointer's places become motion of the PS/2 mouse.
    public func setScreen(width: Int, height: Int) {
        guard (1...65536).contains(width), (1...65536).contains(height) else { return }
        state.withLock { $0.screen = (width, height) }
    }

    /// The pointer is somewhere, or a button changes.
    ///
    /// - Parameters:
    ///   - x: 0 (left edge) to 65535 (right edge).
    ///   - y: 0 (top) to 65535.
    ///   - wheel: notches away from the user.
    public func pointer(x: UInt16, y: UInt16, wheel: Int = 0, buttons: PointerButtons) {
        state.withLock { state in
            let before = state.place ?? (Int(x), Int(y))
            state.place = (Int(x), Int(y))
            choose(tablet?.isInUse ?? false ? .tablet : .mouse, &state)
            state.buttons = buttons
            switch state.pointer {
            case .tablet: tablet?.move(x: x >> 1, y: y >> 1, wheel: wheel, buttons: buttons)
            case .mouse:
                controller.move(
                    x: pixel(Int(x), state.screen.width) - pixel(before.0, state.screen.width),
                    y: pixel(Int(y), state.screen.height) - pixel(before.1, state.screen.height), wheel: wheel,
                    buttons: buttons)
            }
        }
    }

    /// The pointer moves, or a button changes. Motion goes to the PS/2 mouse, if the guest drives that, rather than to the
    /// tablet: programs that want motion get it.
    ///
    /// - Parameters:
    ///   - x: pixels to the right.
    ///   - y: pixels downwards.
    ///   - wheel: notches away from the user.
    public func move(x: Int, y: Int, wheel: Int = 0, buttons: PointerButtons) {
        let (x, y) = (min(max(x, -65536), 65536), min(max(y, -65536), 65536))
        state.withLock { state in
            let usesTablet = (tablet?.isInUse ?? false) && !controller.isMouseInUse
            choose(usesTablet ? .tablet : .mouse, &state)
            state.buttons = buttons
            switch state.pointer {
            case .mouse: controller.move(x: x, y: y, wheel: wheel, buttons: buttons)
            case .tablet:
                let before = state.place ?? (32768, 32768)
                let place = (
                    x: min(max(before.0 + x * 65536 / state.screen.width, 0), 65535),
                    y: min(max(before.1 + y * 65536 / state.screen.height, 0), 65535)
                )
                state.place = place
                tablet?.move(
                    x: UInt16(truncatingIfNeeded: place.x >> 1), y: UInt16(truncatingIfNeeded: place.y >> 1),
                    wheel: wheel, buttons: buttons)
            }
        }
    }

    private func pixel(_ place: Int, _ size: Int) -> Int { (place * size) >> 16 }

    /// Another device takes over; no button stays down on the one before.
    private func choose(_ pointer: Pointer, _ state: inout State) {
        guard pointer != state.pointer else { return }
        if !state.buttons.isEmpty {
            switch state.pointer {
            case .mouse: controller.move(x: 0, y: 0, wheel: 0, buttons: [])
            case .tablet:
                let place = state.place ?? (0, 0)
                tablet?.move(
                    x: UInt16(truncatingIfNeeded: place.0 >> 1), y: UInt16(truncatingIfNeeded: place.1 >> 1), wheel: 0,
                    buttons: [])
            }
        }
        state.pointer = pointer
    }
}
