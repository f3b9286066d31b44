public import DeviceModel
public import Linux
public import SavedState
import Synchronization

/// The CMOS real-time clock and its 128 bytes of RAM (Motorola MC146818A data sheet; ports 0x70 and 0x71).
///
/// It shows the host's wall clock plus an offset, which changes when the guest sets the time. Update-ended, alarm and
/// periodic interrupts are driven by one timer on the machine's loop, which is armed only while one is enabled.
public final class RealTimeClock: BusDevice, @unchecked Sendable {
    // @unchecked: all state is immutable, atomic or guarded by a mutex.

    public static let port: UInt64 = 0x70
    public static let portCount: UInt64 = 2
    public static let interrupt: UInt32 = 8
    /// CMOS byte that holds the century, as the FADT says.
    public static let century: UInt8 = 0x32

    private enum Register {
        static let seconds = 0, secondsAlarm = 1, minutes = 2, minutesAlarm = 3, hours = 4, hoursAlarm = 5
        static let weekday = 6, day = 7, month = 8, year = 9
        static let statusA = 10, statusB = 11, statusC = 12, statusD = 13
    }
    private enum StatusB {
        static let hours24: UInt8 = 1 << 1
        static let binary: UInt8 = 1 << 2
        static let updateEnded: UInt8 = 1 << 4
        static let alarm: UInt8 = 1 << 5
        static let periodic: UInt8 = 1 << 6
        static let set: UInt8 = 1 << 7
    }
    private static let interruptRequest: UInt8 = 0x80
    /// More seconds than the year registers can make.
    private static let offsets: ClosedRange<Int64> = (-1 << 40)...(1 << 40)

    private struct State {
        var index: UInt8 = 0
        var ram = InlineArray<128, UInt8>(repeating: 0)
        /// Guest time minus host time, in seconds.
        var offset: Int64
        /// The time as it stood when the guest stopped the clock by the SET bit.
        var frozen: CalendarTime?
    }

    private let state: Mutex<State>
    private let wire: any InterruptLine
    private let loop: EventLoop
    private let now: @Sendable () -> (seconds: Int64, nanoseconds: Int64)
    // Set on the loop's thread only.
    private let timer = Mutex<Timer?>(nil)

    /// - Parameters:
    ///   - offset: seconds that the guest's clock is ahead of UTC (`rtc.diffFromUTC`).
    ///   - now: the wall clock; another one for tests.
    public init(
        interrupt: any InterruptLine, loop: EventLoop, offset: Int64 = 0,
        now: @escaping @Sendable () -> (seconds: Int64, nanoseconds: Int64) = wallClock
    ) {
        var state = State(offset: offset)
        state.ram[Register.statusA] = 0x26
        state.ram[Register.statusB] = StatusB.hours24
        state.ram[Register.statusD] = 0x80
        self.state = Mutex(state)
        wire = interrupt
        self.loop = loop
        self.now = now
    }

    /// Sets a byte that firmware and systems read, such as memory sizes.
    public func store(_ byte: UInt8, at index: Int) {
        guard index > Register.statusD, index < 128 else { return }
        state.withLock { $0.ram[index] = byte }
    }

    /// Time goes on; interrupts are off.
    public func reset() {
        state.withLock { state in
            state.index = 0
            state.frozen = nil
            state.ram[Register.statusB] &= ~(StatusB.periodic | StatusB.alarm | StatusB.updateEnded | StatusB.set)
            state.ram[Register.statusC] = 0
            wire.set(false)
        }
        schedule()
    }

    // MARK: Saved state

    public override var stateVersion: UInt32? { 1 }

    public override func saveState(_ coder: inout FieldCoder) {
        var state = state.withLock { $0 }
        code(&state, &coder)
    }

    /// A clock that runs shows the host's time and the guest's offset to it, as if it had never stood still.
    public override func restoreState(_ coder: inout FieldCoder) {
        var restored = State(offset: 0)
        code(&restored, &coder)
        guard coder.failure == nil else { return }
        state.withLock { state in
            state = restored
            wire.set(state.ram[Register.statusC] & Self.interruptRequest != 0)
        }
        schedule()
    }

    private func code(_ state: inout State, _ coder: inout FieldCoder) {
        coder.field(&state.index, "index")
        for index in state.ram.indices { coder.field(&state.ram[index], "CMOS") }
        coder.field(&state.offset, "offset")
        let offset = state.offset
        coder.check(Self.offsets.contains(offset), "\(offset) seconds are more than the registers can hold")
        var frozen = state.frozen?.secondsSince1970
        coder.optional(&frozen, "stopped at")
        coder.check(
            Self.offsets.contains(frozen ?? 0), "\(frozen ?? 0) seconds are more than the registers can hold")
        if coder.isReading, coder.failure == nil { state.frozen = frozen.map { CalendarTime(secondsSince1970: $0) } }
    }

    // MARK: Time

    private func calendar(_ state: State) -> CalendarTime {
        state.frozen ?? CalendarTime(secondsSince1970: now().seconds &+ state.offset)
    }

    private func encode(_ value: Int, _ statusB: UInt8) -> UInt8 {
        let byte = UInt8(truncatingIfNeeded: value)
        return statusB & StatusB.binary != 0 ? byte : (byte / 10) << 4 | byte % 10
    }

    private func decode(_ byte: UInt8, _ statusB: UInt8) -> Int {
        statusB & StatusB.binary != 0 ? Int(byte) : Int(byte >> 4) * 10 + Int(byte & 15)
    }

    private func encodeHour(_ hour: Int, _ statusB: UInt8) -> UInt8 {
        if statusB & StatusB.hours24 != 0 { return encode(hour, statusB) }
        return encode((hour + 11) % 12 + 1, statusB) | (hour >= 12 ? 0x80 : 0)
    }

    private func decodeHour(_ byte: UInt8, _ statusB: UInt8) -> Int {
        if statusB & StatusB.hours24 != 0 { return decode(byte, statusB) }
        return decode(byte & 0x7f, statusB) % 12 + (byte & 0x80 != 0 ? 12 : 0)
    }

    // MARK: Ports

    public override func read(region: Int, offset: UInt64, width: Int) -> UInt64 {
        guard width == 1 else { return allOnes(width: width) }
        let value = state.withLock { state -> UInt8 in
            if offset == 0 { return state.index }
            let index = Int(state.index & 0x7f)
            let statusB = state.ram[Register.statusB]
            switch index {
            case Register.seconds: return encode(calendar(state).second, statusB)
            case Register.minutes: return encode(calendar(state).minute, statusB)
            case Register.hours: return encodeHour(calendar(state).hour, statusB)
            case Register.weekday: return encode(calendar(state).weekday, statusB)
            case Register.day: return encode(calendar(state).day, statusB)
            case Register.month: return encode(calendar(state).month, statusB)
            case Register.year: return encode(calendar(state).year % 100, statusB)
            case Int(Self.century): return encode(calendar(state).year / 100, statusB)
            case Register.statusA:
                // An update is announced 244 microseconds before the second turns.
                let updating = state.frozen == nil && now().nanoseconds >= 1_000_000_000 - 244_000
                return state.ram[Register.statusA] & 0x7f | (updating ? 0x80 : 0)
            case Register.statusC:
                let status = state.ram[Register.statusC]
                state.ram[Register.statusC] = 0
                wire.set(false)
                return status
            default: return state.ram[index]
            }
        }
        return UInt64(value)
    }

    public override func write(region: Int, offset: UInt64, width: Int, value: UInt64) {
        guard width == 1 else { return }
        let byte = UInt8(truncatingIfNeeded: value)
        let reschedules = state.withLock { state -> Bool in
            if offset == 0 {
                // Bit 7 gates NMI, which nothing here raises; it reads back.
                state.index = byte
                return false
            }
            let index = Int(state.index & 0x7f)
            switch index {
            case Register.seconds, Register.minutes, Register.hours, Register.weekday, Register.day, Register.month,
                Register.year, Int(Self.century):
                setTime(index, byte, &state)
                return true
            case Register.statusA: state.ram[index] = byte & 0x7f
            case Register.statusB:
                let wasSet = state.ram[index] & StatusB.set != 0
                let isSet = byte & StatusB.set != 0
                if isSet, !wasSet { state.frozen = calendar(state) }
                if wasSet, !isSet, let frozen = state.frozen {
                    state.offset = frozen.secondsSince1970 &- now().seconds
                    state.frozen = nil
                }
                state.ram[index] = byte
            case Register.statusC, Register.statusD: return false
            default: state.ram[index] = byte
            }
            return index <= Register.statusB
        }
        if reschedules { schedule() }
    }

    private func setTime(_ index: Int, _ byte: UInt8, _ state: inout State) {
        let statusB = state.ram[Register.statusB]
        var time = calendar(state)
        switch index {
        case Register.seconds: time.second = decode(byte, statusB)
        case Register.minutes: time.minute = decode(byte, statusB)
        case Register.hours: time.hour = decodeHour(byte, statusB)
        case Register.day: time.day = decode(byte, statusB)
        case Register.month: time.month = decode(byte, statusB)
        case Register.year: time.year = time.year / 100 * 100 + decode(byte, statusB)
        case Int(Self.century): time.year = decode(byte, statusB) * 100 + time.year % 100
        default: return  // the weekday follows from the date
        }
        if state.frozen != nil {
            // Kept as written until the clock runs again: day and month may pass through dates that do not exist.
            state.frozen = time
        } else {
            state.offset = time.secondsSince1970 &- now().seconds
        }
    }

    // MARK: Interrupts

    /// Arms the timer for the next interrupt that is enabled, on the loop's thread.
    private func schedule() {
        let enabled = state.withLock { state in
            state.ram[Register.statusB] & (StatusB.periodic | StatusB.alarm | StatusB.updateEnded) != 0
        }
        if !enabled, timer.withLock({ $0 == nil }) { return }
        loop.perform { [self] in arm() }
    }

    private func arm() {
        let timer = self.timer.withLock { timer in
            if timer == nil { timer = try? Timer(on: loop) { [weak self] in self?.tick() } }
            return timer
        }
        let (statusA, statusB) = state.withLock { ($0.ram[Register.statusA], $0.ram[Register.statusB]) }
        let rate = statusA & 15
        if statusB & StatusB.periodic != 0, rate != 0 {
            // Rates 1 and 2 are the same as 8 and 9: 256 and 128 Hz; rate n is 32768 >> (n - 1) Hz.
            let shift = rate < 3 ? rate + 7 : rate
            let period = (1_000_000_000 << UInt64(shift - 1)) / 32_768
            timer?.set(after: UInt64(period), every: UInt64(period))
        } else if statusB & (StatusB.alarm | StatusB.updateEnded) != 0 {
            timer?.set(after: UInt64(max(1, 1_000_000_000 - now().nanoseconds)), every: 1_000_000_000)
        } else {
            timer?.cancel()
        }
    }

    private func tick() {
        state.withLock { state in
            let statusB = state.ram[Register.statusB]
            var flags: UInt8 = 0
            if statusB & StatusB.periodic != 0 { flags |= StatusB.periodic }
            if state.frozen == nil, now().nanoseconds < 500_000_000 {
                if statusB & StatusB.updateEnded != 0 { flags |= StatusB.updateEnded }
                if statusB & StatusB.alarm != 0, alarmMatches(state) { flags |= StatusB.alarm }
            }
            guard flags != 0 else { return }
            state.ram[Register.statusC] |= flags | Self.interruptRequest
            wire.set(true)
        }
    }

    /// An alarm byte with both top bits set matches anything.
    private func alarmMatches(_ state: State) -> Bool {
        let statusB = state.ram[Register.statusB]
        let time = calendar(state)
        func matches(_ index: Int, _ present: UInt8) -> Bool {
            state.ram[index] & 0xc0 == 0xc0 || state.ram[index] == present
        }
        return matches(Register.secondsAlarm, encode(time.second, statusB))
            && matches(Register.minutesAlarm, encode(time.minute, statusB))
            && matches(Register.hoursAlarm, encodeHour(time.hour, statusB))
    }
}
