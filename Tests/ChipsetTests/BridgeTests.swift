import Chipset
import DeviceModel
import Linux
import Synchronization
import Testing

/// Gives lines whose levels can be looked at.
final class ProbeController: InterruptController {
    let lines = (0..<24).map { _ in ProbeLine() }
    func line(_ globalSystemInterrupt: UInt32) -> any InterruptLine { lines[Int(globalSystemInterrupt)] }
    func messages(_ vectorCount: Int) throws(SystemError) -> any MessageInterrupts {
        throw SystemError(number: 38, operation: "no messages here")
    }
    var raised: [Int] { lines.indices.filter { lines[$0].isUp } }
}

@Suite("Host bridge and ISA bridge")
struct BridgeTests {
    /// Plugged in as on the machine, and reached by configuration cycles.
    func root(_ function: PCIFunction, device: UInt8) throws -> (Int, Int, UInt64) -> Void {
        let root = PCIRoot(
            ports: .ports(), memory: .memory(),
            windows: PCIWindows(
                ports: 0xc000...0xcfff, memory32: 0xc000_0000...0xc0ff_ffff, memory64: 1 << 33...(1 << 34)),
            interruptLines: [], isSetUp: false)
        try root.plug(function, at: PCIAddress(device: device))
        return { offset, width, value in
            root.write(
                region: PCIRoot.ecamRegion, offset: UInt64(device) << 15 | UInt64(offset), width: width, value: value)
        }
    }

    @Test("firmware opens and closes the area below 1 MiB piece by piece")
    func shadow() throws {
        let seen = Mutex<[[ShadowAccess]]>([])
        let bridge = HostBridge(isSetUp: false) { access in seen.withLock { $0.append(access) } }
        let write = try root(bridge, device: 0)
        #expect(bridge.shadow == Array(repeating: [], count: 13))
        write(0x90, 4, 0x3333_3330)
        write(0x94, 4, 0x0033_3333)
        #expect(bridge.shadow == Array(repeating: [.readsRAM, .writesRAM], count: 13))
        write(0x91, 1, 0x21)
        #expect(seen.withLock { $0.last?[0] } == [.readsRAM])
        #expect(seen.withLock { $0.last?[1] } == [.writesRAM])
        write(0x60, 4, 0xb000_0001)
        #expect(seen.withLock { $0.count } == 3, "other registers do not matter")
    }

    @Test("a PCI wire raises its own interrupt, and an old one while it is routed there")
    func routing() throws {
        let controller = ProbeController()
        let router = PCIInterruptRouter(controller)
        let write = try root(ISABridge(router: router, isSetUp: false), device: 31)
        let wires = router.wires
        wires[0].set(true)
        #expect(controller.raised == [16])
        write(0x60, 1, 0x0a)
        #expect(controller.raised == [10, 16])
        write(0x68, 1, 0x0a)
        wires[4].set(true)
        wires[0].set(false)
        #expect(controller.raised == [10, 20], "another wire holds it up")
        write(0x68, 1, 0x8a)
        #expect(controller.raised == [20])
        write(0x68, 1, 0x02)
        #expect(controller.raised == [20], "the cascade is no PCI interrupt")
    }
}
