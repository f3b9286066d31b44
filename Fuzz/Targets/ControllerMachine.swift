import DeviceModel
import GuestMemory
import VirtioTestSupport

/// A guest with 64 KiB of memory and one PCI function, whose every move comes from the input. Everything is done in place, so
/// an input does the same each time.
struct ControllerMachine {
    static let memorySize = 64 << 10

    let memory: GuestMemory
    let function: PCIFunction
    let root: PCIRoot
    private let slot: PCIAddress

    init(_ memory: GuestMemory, _ function: PCIFunction) throws {
        self.memory = memory
        self.function = function
        root = PCIRoot(
            ports: .ports(), memory: .memory(),
            windows: PCIWindows(
                ports: 0xc000...0xcfff, memory32: 0xc000_0000...0xc0ff_ffff, memory64: 0x2_0000_0000...0x2_00ff_ffff),
            interruptLines: (0..<8).map { _ in SharedInterruptLine(TestLine()) })
        slot = try root.plug(function)
    }

    /// Bytes into memory.
    func poke(_ feed: inout Feed) {
        let address = UInt64(feed.word())
        for index in 0..<UInt64(feed.byte() & 31) { memory.ram.store(feed.byte(), at: address + index) }
    }

    /// A number that tends to lie in memory, or around its end.
    func address(_ feed: inout Feed) -> UInt64 {
        let page = UInt64(feed.byte())
        let offset = UInt64(feed.byte()) << 4
        return (page & 0x1f) << 12 | (page & 0x80 != 0 ? offset & 0xff8 : 0) | (page & 0x40 != 0 ? 1 << 33 : 0)
    }

    func writeConfiguration(_ feed: inout Feed) {
        let (register, width) = (UInt64(feed.byte()), feed.width())
        root.write(
            region: PCIRoot.ecamRegion, offset: UInt64(slot.routing) << 12 | register, width: width,
            value: UInt64(feed.long()))
    }

    func readConfiguration(_ feed: inout Feed) {
        _ = root.read(
            region: PCIRoot.ecamRegion, offset: UInt64(slot.routing) << 12 | UInt64(feed.byte()), width: feed.width())
    }
}
