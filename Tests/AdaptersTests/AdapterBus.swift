import DeviceModel
import VirtioTestSupport

/// A PCI bus with one function on it, as the guest's PCI code reaches it.
final class AdapterBus {
    let wire = TestLine()
    let root: PCIRoot
    private let base: UInt64

    init(_ function: PCIFunction) throws {
        root = PCIRoot(
            ports: .ports(), memory: .memory(),
            windows: PCIWindows(
                ports: 0xc000...0xcfff, memory32: 0xc000_0000...0xc0ff_ffff, memory64: 0x2_0000_0000...0x2_ffff_ffff),
            interruptLines: [SharedInterruptLine(wire)])
        base = UInt64(try root.plug(function).routing) << 12
    }

    func read(_ register: UInt64, _ width: Int = 1) -> UInt64 {
        root.read(region: PCIRoot.ecamRegion, offset: base + register, width: width)
    }

    func write(_ register: UInt64, _ width: Int, _ value: UInt64) {
        root.write(region: PCIRoot.ecamRegion, offset: base + register, width: width, value: value)
    }

    /// Where a capability is; zero if there is none.
    func capability(_ wanted: UInt8) -> UInt64 {
        var place = read(0x34)
        while place != 0, read(place) != UInt64(wanted) { place = read(place + 1) }
        return place
    }

    func setMessages(_ on: Bool) { write(capability(MSIX.capability) + 2, 2, on ? 0x8000 : 0) }
}
