import Chipset
import DeviceModel
import GuestMemory
import Linux
import SavedState
import StateFixtures
import Synchronization
import Testing

@Suite("Saved state of the chipset")
struct SavedStateTests {
    private func write(_ device: BusDevice, _ accesses: [(offset: UInt64, width: Int, value: UInt64)], region: Int = 0)
    {
        for access in accesses {
            device.write(region: region, offset: access.offset, width: access.width, value: access.value)
        }
    }

    @Test("the clock keeps its memory, its offset and what it interrupts for")
    func clock() throws {
        let loop = try EventLoop(name: "rtc")
        let line = ProbeLine()
        func make(_ line: ProbeLine) -> RealTimeClock {
            RealTimeClock(interrupt: line, loop: loop) { (1_700_000_000, 0) }
        }
        let clock = make(line)
        clock.store(0x5a, at: 0x40)
        for (index, value) in [(11, 0x86), (9, 30), (7, 2), (10, 0x2f)] as [(UInt64, UInt64)] {
            write(clock, [(0, 1, index), (1, 1, value)])
        }
        try StateFixtures.check("rtc", clock) { make(ProbeLine()) }

        write(clock, [(0, 1, 11), (1, 1, 0x46), (0, 1, 0x40)])
        let copy = make(line)
        try StateSection("rtc", of: clock).restore(to: copy)
        #expect(copy.read(region: 0, offset: 1, width: 1) == 0x5a)
        write(copy, [(0, 1, 9)])
        #expect(copy.read(region: 0, offset: 1, width: 1) == 30)
    }

    @Test("the power registers keep status, enables and the level of SCI; the timer shows the time that went by")
    func power() throws {
        let line = ProbeLine()
        let power = PowerManagement(sci: ProbeLine()) {}
        write(power, [(2, 2, 0x100), (0x28, 8, 2), (4, 2, 1)])
        power.raiseEvent(1)
        try StateFixtures.check("power", power, isExact: false) { PowerManagement(sci: ProbeLine()) {} }
        let copy = PowerManagement(sci: line) {}
        let before = power.read(region: 0, offset: 8, width: 4)
        try StateSection("power", of: power).restore(to: copy, elapsed: 100_000_000_000)
        #expect(line.isUp)
        #expect(copy.read(region: 0, offset: 0x20, width: 8) == 2)
        let ticks = (copy.read(region: 0, offset: 8, width: 4) &- before) & 0xffff_ffff
        #expect((357_954_500..<393_000_000).contains(ticks))
    }

    @Test("the serial port keeps its FIFO and its interrupt, and asks for more")
    func serialPort() throws {
        let uart = Uart16550(interrupt: ProbeLine(), backend: ProbeBackend())
        write(uart, [(2, 1, 1), (1, 1, 1), (3, 1, 3), (7, 1, 0x77)])
        _ = uart.receive([1, 2, 3].span)
        _ = uart.read(region: 0, offset: 0, width: 1)
        try StateFixtures.check("uart", uart) { Uart16550(interrupt: ProbeLine(), backend: ProbeBackend()) }
        let (line, backend) = (ProbeLine(), ProbeBackend())
        let copy = Uart16550(interrupt: line, backend: backend)
        try StateSection("uart", of: uart).restore(to: copy)
        #expect(line.isUp)
        #expect(backend.roomCalls.withLock { $0 } == 1)
        #expect([0, 0, 7].map { copy.read(region: 0, offset: $0, width: 1) } == [2, 3, 0x77])
        #expect(!line.isUp)
    }

    @Test("hot-plug and reset registers keep what is announced and asked for")
    func registers() throws {
        func make() -> PCIHotplugRegisters { PCIHotplugRegisters(slots: 1...5, raiseEvent: {}, eject: { _ in }) }
        let hotplug = make()
        hotplug.announce(slot: 3)
        hotplug.requestEject(slot: 4)
        try StateFixtures.check("hotplug", hotplug) { make() }
        let ports = ResetPorts {}
        write(ports, [(0, 1, 2)])
        write(ports, [(0, 1, 0x40)], region: ResetPorts.systemControlRegion)
        try StateFixtures.check("resetPorts", ports) { ResetPorts {} }
    }

    @Test("fw_cfg keeps where firmware reads, and what it wrote")
    func firmwareConfiguration() throws {
        let memory = try GuestMemory(count: 1 << 16)
        var items = FirmwareItems()
        items.add("etc/file", Array("contents".utf8))
        items.add("etc/writable", [0, 0, 0, 0], isWritable: true)
        let device = FirmwareConfiguration(items, ram: memory.ram)
        try memory.ram.write([0, 0x21, 0, 0x18, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0x20, 0], at: 0x1000)
        try memory.ram.write([8, 9], at: 0x2000)
        write(device, [(8, 4, UInt64(UInt32(0x1000).byteSwapped)), (0, 2, 0x20)])
        _ = device.read(region: 0, offset: 1, width: 1)
        try StateFixtures.check("firmwareConfiguration", device) { FirmwareConfiguration(items, ram: memory.ram) }
        let copy = FirmwareConfiguration(items, ram: memory.ram)
        try StateSection("fw", of: device).restore(to: copy)
        #expect(copy.written("etc/writable") == [8, 9, 0, 0])
        #expect(copy.read(region: 0, offset: 1, width: 1) == UInt64(UInt8(ascii: "o")))
        var others = FirmwareItems()
        others.add("etc/other", [1])
        #expect(throws: StateError.self) {
            try StateSection("fw", of: device).restore(to: FirmwareConfiguration(others, ram: memory.ram))
        }
    }

    @Test("flash keeps what it shows, and what was programmed is in its file before the rest is saved")
    func flash() throws {
        let housing = try ProbeHousing(blocks: 1)
        let flash = FlashMemory(housing)
        write(flash, [(0x10, 1, 0x40), (0x10, 1, 0x55), (0x10, 1, 0x70)])
        let section = try StateSection("flash", of: flash)
        #expect(housing.saved.withLock { $0 } == [0x10..<0x11])
        try StateFixtures.check("flash", flash) { FlashMemory(try ProbeHousing(blocks: 1)) }
        let other = try ProbeHousing(blocks: 1)
        let copy = FlashMemory(other)
        try section.restore(to: copy)
        #expect(!other.readable.withLock { $0 })
        #expect(copy.read(region: 0, offset: 0, width: 1) == 0x80)
    }

    @Test("the bridges act on the registers that come back with their configuration space")
    func bridges() throws {
        let shown = Mutex<[ShadowAccess]>([])
        let bridge = HostBridge(isSetUp: false) { _ in }
        bridge.withSpace { $0.guestWrite(0x90, width: 4, value: 0x33_3030) }
        try StateFixtures.check("hostBridge.pci", bridge.pciState) { HostBridge(isSetUp: false) { _ in }.pciState }
        let copy = HostBridge(isSetUp: false) { access in shown.withLock { $0 = access } }
        try StateSection("bridge", of: bridge.pciState).restore(to: copy.pciState)
        #expect(shown.withLock { $0 } == bridge.shadow)
        #expect(bridge.shadow[0] == [] && bridge.shadow[1] == [.readsRAM, .writesRAM])
        // A guest's bridge does not become another one.
        let other = ISABridge(router: PCIInterruptRouter(NoInterrupts()), isSetUp: false)
        let error = StateError.badField(
            section: "x", "configuration: the configuration space has 0xc0 at 0x2, this machine's 0x18 at byte 151")
        #expect(throws: error) { try StateSection("x", of: bridge.pciState).restore(to: other.pciState) }
    }

    private final class NoInterrupts: InterruptController {
        func line(_ globalSystemInterrupt: UInt32) -> any InterruptLine { ProbeLine() }
        func messages(_ vectorCount: Int) throws(SystemError) -> any MessageInterrupts {
            throw SystemError(number: 38, operation: "make messages")
        }
    }
}
