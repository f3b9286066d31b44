import Chipset
import DeviceModel
import GuestMemory
import Linux
import NetEngine
import Virtio
import VirtioTestSupport

/// Register accesses, as a vCPU's thread makes them after an exit.
func busPaths() throws -> [HotPath] {
    let ports = AddressSpace.ports()
    let memory = AddressSpace.memory()
    let loop = try EventLoop(name: "clock")
    let uart = Uart16550(interrupt: TestLine(), backend: NoConsole())
    let power = PowerManagement(sci: TestLine()) {}
    let clock = RealTimeClock(interrupt: TestLine(), loop: loop)
    let pci = PCIRoot(
        ports: ports, memory: memory,
        windows: PCIWindows(
            ports: 0xc000...0xfeff, memory32: 0xc000_0000...0xfebf_ffff, memory64: 32 << 30...(64 << 30) - 1),
        interruptLines: [])
    try ports.map(uart, at: Uart16550.ports[0], count: Uart16550.portCount)
    try ports.map(clock, at: RealTimeClock.port, count: RealTimeClock.portCount)
    try ports.map(
        power, region: PowerManagement.registerRegion, at: PowerManagement.port, count: PowerManagement.portCount)
    try ports.map(pci, region: PCIRoot.portRegion, at: PCIRoot.port, count: 8)
    try memory.map(pci, region: PCIRoot.ecamRegion, at: Q35.ecamBase, count: Q35.ecamSize)
    try pci.plug(HostBridge(isSetUp: true) { _ in }, at: Q35.hostBridgeAddress)

    let ram = try GuestMemory(count: 1 << 20)
    let sockets = try Descriptor.packetPair()
    let backend = sockets.split { near, _ in SocketBackend([SocketBackend.Queue(near)]) }
    let net = try VirtioNet(.init(address: benchAddress), backend: backend, memory: ram, loops: [])
    let function = VirtioPCIFunction(net, interrupts: try TestInterrupts(4), binder: nil, control: nil, log: { _ in })
    let slot = try pci.plug(function)

    let portView = BusView(ports)
    let memoryView = BusView(memory)
    let configuration = Q35.ecamBase + UInt64(slot.device) << 15
    let bar =
        memoryView.read(configuration + 0x20, width: 4) & ~0xf | memoryView.read(configuration + 0x24, width: 4) << 32

    func reads(_ name: String, _ view: BusView, _ address: UInt64, _ width: Int) -> HotPath {
        HotPath(name, operations: 100_000) {
            for _ in 0..<$0 { _ = view.read(address, width: width) }
        }
    }
    func writes(_ name: String, _ view: BusView, _ address: UInt64, _ width: Int, _ value: UInt64) -> HotPath {
        HotPath(name, operations: 100_000) { for _ in 0..<$0 { view.write(address, width: width, value: value) } }
    }
    return [
        reads("bus: 16550 line status", portView, 0x3fd, 1),
        writes("bus: 16550 transmit", portView, 0x3f8, 1, 0x41),
        writes("bus: 16550 interrupt enable", portView, 0x3f9, 1, 0),
        reads("bus: PM timer", portView, 0x608, 4),
        reads("bus: PM1 status", portView, 0x600, 2),
        HotPath("bus: RTC seconds", operations: 100_000) {
            for _ in 0..<$0 {
                portView.write(0x70, width: 1, value: 0)
                _ = portView.read(0x71, width: 1)
            }
        },
        HotPath("bus: PCI configuration by ports", operations: 100_000) {
            for _ in 0..<$0 {
                portView.write(0xcf8, width: 4, value: 0x8000_0000 | UInt64(slot.device) << 11)
                _ = portView.read(0xcfc, width: 4)
            }
        },
        reads("bus: PCI configuration by ECAM", memoryView, configuration, 4),
        reads("bus: virtio interrupt status", memoryView, bar + VirtioDriver.Register.interruptStatus, 1),
        reads("bus: virtio common configuration", memoryView, bar + VirtioDriver.Register.generation, 1),
        reads("bus: virtio device configuration", memoryView, bar + VirtioDriver.Register.configuration, 4),
        writes("bus: virtio doorbell", memoryView, bar + VirtioDriver.Register.doorbells, 2, 0),
        reads("bus: nobody answers", portView, 0x80, 1),
    ]
}

let benchAddress = MACAddress(0x00, 0x0c, 0x29, 1, 2, 3)

private final class NoConsole: CharacterBackend {
    func transmit(_ bytes: Span<UInt8>) {}
    func setReceiver(_ receiver: (any CharacterReceiver)?) {}
    func receiverHasRoom() {}
}
