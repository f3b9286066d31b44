import Linux
import Synchronization
import Testing

@testable import Chipset

@Suite("Real-time clock")
struct RealTimeClockTests {
    final class FakeClock: Sendable {
        let time = Mutex<(seconds: Int64, nanoseconds: Int64)>((1_700_000_000, 0))
    }
    let fake = FakeClock()
    let line = ProbeLine()
    let clock: RealTimeClock
    let loop: EventLoop

    init() throws {
        loop = try EventLoop(name: "rtc")
        let fake = fake
        clock = RealTimeClock(interrupt: line, loop: loop) { fake.time.withLock { $0 } }
    }

    func read(_ index: UInt8) -> UInt64 {
        clock.write(region: 0, offset: 0, width: 1, value: UInt64(index))
        return clock.read(region: 0, offset: 1, width: 1)
    }
    func write(_ index: UInt8, _ value: UInt64) {
        clock.write(region: 0, offset: 0, width: 1, value: UInt64(index))
        clock.write(region: 0, offset: 1, width: 1, value: value)
    }

    @Test("shows the wall clock in BCD, with century: 2023-11-14 22:13:20 UTC, a Tuesday")
    func wallClockInBCD() {
        #expect([0, 2, 4, 6, 7, 8, 9, 0x32].map { read($0) } == [0x20, 0x13, 0x22, 3, 0x14, 0x11, 0x23, 0x20])
        write(11, 4)
        #expect(read(4) == 0x8a, "12-hour binary: 10 in the evening")
    }

    @Test("the time the guest sets stays set and goes on")
    func setTime() {
        write(11, 0x86)
        for (index, value) in [(0, 30), (2, 59), (4, 23), (7, 31), (8, 12), (9, 29), (0x32, 19)] as [(UInt8, UInt64)] {
            write(index, value)
        }
        fake.time.withLock { $0.seconds += 100 }
        #expect(read(0) == 30, "stopped while SET")
        write(11, 0x06)
        fake.time.withLock { $0.seconds += 31 }
        #expect([0, 2, 4, 7, 8, 9, 0x32].map { read($0) } == [1, 0, 0, 1, 1, 30, 19])
    }

    @Test("an update is announced just before the second turns")
    func updateInProgress() {
        #expect(read(10) & 0x80 == 0)
        fake.time.withLock { $0.nanoseconds = 999_900_000 }
        #expect(read(10) & 0x80 == 0x80)
    }

    @Test("periodic interrupts arrive and reading status C answers them")
    func periodic() throws {
        try loop.start()
        defer { loop.stop() }
        write(11, 0x42)
        while !line.isUp {}
        #expect(read(12) == 0xc0)
        #expect(!line.isUp)
        write(11, 0x02)
        loop.performAndWait {}
    }

    @Test("calendar and seconds agree over four centuries, day by day")
    func calendar() {
        var days = 0
        for day in stride(from: Int64(-60_000), to: 100_000, by: 1) {
            let time = CalendarTime(secondsSince1970: day * 86_400 + 3_661)
            days +=
                time.secondsSince1970 == day * 86_400 + 3_661 && (time.hour, time.minute, time.second) == (1, 1, 1)
                ? 1 : 0
        }
        #expect(days == 160_000)
        let leap = CalendarTime(secondsSince1970: 951_782_400)
        #expect((leap.year, leap.month, leap.day) == (2000, 2, 29))
    }
}
