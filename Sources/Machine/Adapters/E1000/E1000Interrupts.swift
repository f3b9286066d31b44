import DeviceModel
import Linux
import Synchronization

/// The interrupt registers of a card, and the wire or the vectors behind them.
///
/// Any thread raises causes and writes registers. The lock is the card's own and held for a few instructions.
@safe final class E1000Interrupts: @unchecked Sendable {
    // @unchecked: `function` and `timer` are set before the guest runs; the rest is guarded or immutable.

    /// What a snapshot would keep.
    private struct State {
        var cause: UInt32 = 0
        var mask: UInt32 = 0
        var autoMask: UInt32 = 0
        var autoClear: UInt32 = 0
        var allocation: UInt32 = 0
        /// In units of 256 ns; zero for none.
        var throttle: UInt32 = 0
        var vectorThrottles = InlineArray<5, UInt32>(repeating: 0)
        /// Bits of the extended control register that concern interrupts.
        var control: UInt32 = 0
        /// Causes that were signalled by a message and not taken back since.
        var signalled: UInt32 = 0
        var isWireUp = false
        var usesMessages = false
        /// When the wire, and each vector, may be used again.
        var wireTime: UInt64 = 0
        var vectorTimes = InlineArray<5, UInt64>(repeating: 0)
        /// When the timer calls; zero if it is not set.
        var timerTime: UInt64 = 0
    }

    /// Bits of the extended control register (82574, section 10.2.2.5).
    private enum Control {
        /// A message masks what the auto mask register lists.
        static let messageAutoMask: UInt32 = 1 << 24
        /// Reading the cause does.
        static let readAutoMask: UInt32 = 1 << 27
    }

    private static let vectorCount = 5
    private static let throttleUnit: UInt64 = 256

    private let state = Mutex(State())
    private let model: E1000Model
    private let events: InlineArray<5, CInt>
    private var timer: Timer?
    unowned(unsafe) var function: PCIFunction?

    init(_ model: E1000Model, _ messages: (any MessageInterrupts)?) {
        self.model = model
        var events = InlineArray<5, CInt>(repeating: -1)
        if let messages {
            for index in 0..<min(Self.vectorCount, messages.vectorCount) { events[index] = messages.event(index).raw }
        }
        self.events = events
    }

    /// Lets interrupts be throttled. On the loop's thread.
    func makeTimer(on loop: EventLoop) throws(SystemError) {
        timer = try Timer(on: loop) { [unowned self] in self.timerFired() }
    }

    func closeTimer(on loop: EventLoop) {
        timer?.close(on: loop)
        timer = nil
    }

    // MARK: Causes

    /// Something happened. From any thread.
    func raise(_ causes: UInt32) {
        if causes == 0 { return }
        state.withLock { state in
            state.cause |= causes
            if model == .e1000e, causes & E1000Cause.others != 0 { state.cause |= E1000Cause.other }
            update(&state)
        }
    }

    func setUsesMessages(_ on: Bool) {
        state.withLock { state in
            state.usesMessages = on
            state.signalled = 0
            if on { setWire(false, &state) }
            update(&state)
        }
    }

    func reset() {
        state.withLock { state in
            let usesMessages = state.usesMessages
            setWire(false, &state)
            state = State()
            state.usesMessages = usesMessages
        }
        timer?.cancel()
    }

    private func timerFired() {
        state.withLock { state in
            state.timerTime = 0
            update(&state)
        }
    }

    // MARK: Registers

    /// The driver reads the cause, which clears it (8254x manual, section 13.4.17; 82574, section 10.2.4.1).
    func takeCause() -> UInt32 {
        state.withLock { state in
            let isAsserted = state.cause & state.mask != 0
            let value = state.cause | (isAsserted ? E1000Cause.asserted : 0)
            guard model == .e1000 || isAsserted || state.mask == 0 else { return value }
            state.cause = 0
            if isAsserted, state.control & Control.readAutoMask != 0 { state.mask &= ~state.autoMask }
            update(&state)
            return value
        }
    }

    var mask: UInt32 { state.withLock { $0.mask } }

    /// Reads one of the registers that only keep what was written; nil for any other.
    func read(_ offset: Int) -> UInt32? {
        state.withLock { state in
            switch offset {
            case E1000Register.interruptMaskSet: return state.mask
            case E1000Register.interruptThrottle: return state.throttle
            case E1000Register.autoClear: return state.autoClear
            case E1000Register.autoMask: return state.autoMask
            case E1000Register.vectorAllocation: return state.allocation
            default:
                guard let vector = Self.vector(offset) else { return nil }
                return state.vectorThrottles[vector]
            }
        }
    }

    /// Writes an interrupt register.
    ///
    /// - Returns: false if it is none.
    func write(_ offset: Int, _ value: UInt32) -> Bool {
        switch offset {
        case E1000Register.interruptCauseSet:
            raise(value & ~E1000Cause.asserted)
            return true
        case E1000Register.interruptCause, E1000Register.interruptMaskSet, E1000Register.interruptMaskClear,
            E1000Register.interruptThrottle, E1000Register.autoClear, E1000Register.autoMask,
            E1000Register.vectorAllocation, E1000Register.vectorThrottle..<(E1000Register.vectorThrottle + 20):
            break
        default: return false
        }
        state.withLock { state in
            switch offset {
            case E1000Register.interruptCause: state.cause &= ~value
            case E1000Register.interruptMaskSet: state.mask |= value
            case E1000Register.interruptMaskClear: state.mask &= ~value
            case E1000Register.interruptThrottle: state.throttle = value & 0xffff
            case E1000Register.autoClear: state.autoClear = value
            case E1000Register.autoMask: state.autoMask = value
            case E1000Register.vectorAllocation: state.allocation = value
            default: if let vector = Self.vector(offset) { state.vectorThrottles[vector] = value & 0xffff }
            }
            update(&state)
        }
        return true
    }

    func setControl(_ value: UInt32) { state.withLock { $0.control = value } }

    private static func vector(_ offset: Int) -> Int? {
        let index = (offset - E1000Register.vectorThrottle) / 4
        return offset >= E1000Register.vectorThrottle && index < vectorCount ? index : nil
    }

    // MARK: Telling the guest (under the lock)

    private func update(_ state: inout State) {
        if state.usesMessages { return signal(&state) }
        let level = state.cause & state.mask != 0
        if level == state.isWireUp { return }
        if level, !mayInterrupt(state.throttle, &state.wireTime, &state.timerTime) { return }
        setWire(level, &state)
    }

    private func setWire(_ level: Bool, _ state: inout State) {
        if state.isWireUp == level { return }
        state.isWireUp = level
        unsafe function?.setInterrupt(level)
    }

    /// Sends the message of each cause that is new (82574, section 7.4).
    private func signal(_ state: inout State) {
        let open = state.cause & state.mask
        state.signalled &= open
        let news = open & ~state.signalled
        if news == 0 { return }
        for index in 0..<5 {
            let cause: UInt32 = 1 << (20 + UInt32(index))
            guard news & cause != 0 else { continue }
            // Four bits each: a vector's number, and whether it is valid.
            let entry = state.allocation >> (4 * UInt32(index)) & 0xf
            let vector = Int(entry & 7)
            if entry & 8 != 0, vector < Self.vectorCount {
                guard mayInterrupt(state.vectorThrottles[vector], &state.vectorTimes[vector], &state.timerTime) else {
                    continue
                }
                if events[vector] >= 0 { EventFD.signal(raw: events[vector]) }
            }
            state.signalled |= cause
            let cleared = state.autoClear & cause
            state.cause &= ~cleared
            if state.control & Control.readAutoMask == 0 { state.mask &= ~cleared }
            state.signalled &= ~cleared
        }
    }

    /// Whether enough time has passed since the last interrupt; sets the timer if not.
    private func mayInterrupt(_ throttle: UInt32, _ time: inout UInt64, _ timerTime: inout UInt64) -> Bool {
        guard throttle > 0, let timer else { return true }
        let now = monotonicNanoseconds()
        guard now < time else {
            time = now &+ UInt64(throttle) &* Self.throttleUnit
            return true
        }
        if timerTime == 0 || time < timerTime {
            timerTime = time
            timer.set(after: time &- now)
        }
        return false
    }
}
