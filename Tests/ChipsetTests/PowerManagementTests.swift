import Chipset
import Synchronization
import Testing

@Suite("ACPI power management registers")
struct PowerManagementTests {
    let line = ProbeLine()
    let pm: PowerManagement

    init() {
        let counter = Counter()
        self.counter = counter
        pm = PowerManagement(sci: line) { counter.count.withLock { $0 += 1 } }
    }

    final class Counter: Sendable { let count = Mutex(0) }
    let counter: Counter

    func read(_ offset: UInt64, _ width: Int) -> UInt64 { pm.read(region: 0, offset: offset, width: width) }
    func write(_ offset: UInt64, _ width: Int, _ value: UInt64) {
        pm.write(region: 0, offset: offset, width: width, value: value)
    }

    @Test("the power button raises SCI once ACPI is on and the button enabled; writing the status clears it")
    func powerButton() {
        #expect(!pm.pressPowerButton(), "nobody listens yet")
        #expect(!line.isUp)
        write(0, 2, 0xffff)
        pm.write(region: PowerManagement.commandRegion, offset: 0, width: 1, value: 2)
        #expect(read(4, 2) == 1, "SCI_EN")
        write(2, 2, 0x100)
        #expect(pm.pressPowerButton())
        #expect(line.isUp)
        #expect(read(0, 2) == 0x100)
        write(0, 2, 0x100)
        #expect(!line.isUp)
    }

    @Test("only S5 powers off, and only with the enable bit")
    func sleep() {
        write(4, 2, 0x0001)
        write(4, 2, 0x2401)
        #expect(counter.count.withLock { $0 } == 0, "S3 is not offered")
        write(4, 2, 0x2001)
        #expect(counter.count.withLock { $0 } == 1)
        #expect(read(4, 2) == 0x0001, "SLP_EN reads as zero")
    }

    @Test("general-purpose events raise SCI while enabled")
    func events() {
        write(4, 2, 1)
        pm.raiseEvent(1)
        #expect(!line.isUp)
        write(0x28, 1, 2)
        #expect(line.isUp)
        #expect(read(0x20, 1) == 2)
        write(0x20, 1, 2)
        #expect(!line.isUp)
    }

    @Test("the timer counts up and SMI_EN keeps firmware away from system management mode")
    func timer() {
        let first = read(8, 4)
        var second = first
        for _ in 0..<1_000_000 where second == first { second = read(8, 4) }
        #expect(second &- first < 0x8000_0000 && second != first)
        #expect(read(0x30, 4) == 0x20)
    }

    @Test("no access of any width and offset traps")
    func sweep() {
        for offset in UInt64(0)..<0x80 {
            for width in [1, 2, 4] {
                _ = read(offset, width)
                if !(0x04...0x05).contains(offset), offset + UInt64(width) <= 4 || offset > 5 {
                    write(offset, width, .max)
                }
            }
        }
    }
}
