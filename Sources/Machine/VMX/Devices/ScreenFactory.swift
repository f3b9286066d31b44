import Addresses
import DeviceModel
import Display
import GuestMemory
import Input
import Linux
import VMXConfig

/// Makes the screen, and what shows it to people.
struct ScreenFactory {
    let machine: Machine
    let configuration: MachineConfiguration
    let log: MachineLog

    /// Keyboard and mouse at their old places, and with `hasUSB` a tablet and a keyboard at a USB controller.
    func input() throws -> (devices: [MachineDevice], input: GuestInput) {
        let machine = machine
        let controller = KeyboardController(
            keyboard: machine.interrupts.line(KeyboardController.keyboardInterrupt),
            mouse: machine.interrupts.line(KeyboardController.mouseInterrupt), reset: machine.requestReset)
        machine.ports.unmap(at: KeyboardController.commandPort)
        try machine.ports.map(
            controller, region: KeyboardController.dataRegion, at: KeyboardController.dataPort, count: 1)
        try machine.ports.map(
            controller, region: KeyboardController.commandRegion, at: KeyboardController.commandPort, count: 1)
        machine.resettable.append { controller.reset() }
        guard configuration.hasUSB else {
            let input = GuestInput(controller: controller, keyboard: nil, tablet: nil, loop: machine.deviceLoop)
            return ([], input)
        }
        let log = log
        let usb = XHCIController(
            ram: machine.memory.ram, interrupts: try machine.interrupts.messages(XHCIController.vectorCount),
            loop: machine.deviceLoop, log: { log.warning("usb: \($0)") })
        let (keyboard, tablet) = (HIDKeyboard(), HIDTablet())
        usb.attach(tablet, port: 1)
        usb.attach(keyboard, port: 2)
        let input = GuestInput(controller: controller, keyboard: keyboard, tablet: tablet, loop: machine.deviceLoop)
        return ([MachineDevice(name: "usb_xhci", summary: "USB controller, tablet, keyboard", function: usb)], input)
    }

    /// The adapter. Its memory is the guest's; nobody looks at it yet.
    func adapter() throws -> (device: MachineDevice, vga: StandardVGA) {
        let memory = try VideoMemory(count: configuration.videoMemory, machine.virtualMachine)
        let vga = StandardVGA(memory: memory, mapper: memory)
        try machine.ports.map(
            vga.legacy, region: LegacyVGA.portRegion, at: LegacyVGA.firstPort, count: LegacyVGA.portCount)
        try machine.ports.map(
            vga.legacy, region: LegacyVGA.dispiRegion, at: LegacyVGA.firstDISPIPort, count: LegacyVGA.dispiPortCount)
        try machine.memorySpace.map(
            vga.legacy, region: LegacyVGA.windowRegion, at: LegacyVGA.windowStart, count: LegacyVGA.windowCount)
        let device = MachineDevice(
            name: "svga", summary: "VGA with \(configuration.videoMemory >> 20) MiB of memory", function: vga)
        return (device, vga)
    }

    /// The server that remote consoles and screenshots are made by, on a thread of its own: drawing must keep nobody waiting.
    func server(for vga: StandardVGA, input: GuestInput) throws -> RemoteScreen {
        let loop = try EventLoop(name: "screen")
        try loop.start()
        let sink = ConsoleInput(input)
        let server = try RFBServer(ScanOut(vga), name: configuration.displayName, input: sink, loop: loop)
        let screen = RemoteScreen(server: server, input: input, loop: loop)
        if let path = configuration.displaySocket {
            try server.listen(path: path)
            log.info("Screen on socket \(path)")
        }
        if let remote = configuration.remoteDisplay {
            server.setPassword(remote.password)
            let address = remote.address ?? IPv4Address(0, 0, 0, 0)
            // Somebody else may have the port; a machine runs without its remote console, too.
            do throws(SystemError) {
                try server.listen(address: address, port: remote.port)
                log.info("Screen on \(address) port \(remote.port)")
            } catch { log.warning("The screen is not on the network: \(error)") }
        }
        return screen
    }
}

/// The screen's server with its thread.
final class RemoteScreen: @unchecked Sendable {
    // @unchecked: the picture belongs to the machine's loop, the rest is immutable.

    private let server: RFBServer
    private let input: GuestInput
    private let loop: EventLoop
    /// The last screenshot, which is fetched in pieces.
    private var picture: [UInt8] = []

    init(server: RFBServer, input: GuestInput, loop: EventLoop) {
        self.server = server
        self.input = input
        self.loop = loop
    }

    /// A piece of a picture of the screen, as a PNG file.
    ///
    /// - Parameter offset: where it begins in the file; zero takes a new picture.
    func screenshot(from offset: Int, count: Int) -> (total: Int, piece: [UInt8]) {
        if offset == 0 {
            let result = Result()
            server.withScreen { result.bytes = PNG.encode($0) }
            picture = result.bytes
        }
        let start = min(max(offset, 0), picture.count)
        return (picture.count, Array(picture[start..<min(start + count, picture.count)]))
    }

    private final class Result: @unchecked Sendable {
        // @unchecked: written on the screen's thread, which is waited for.
        var bytes: [UInt8] = []
    }

    /// Types a text as on a keyboard with the US layout.
    func type(_ text: String) {
        let sink = ConsoleInput(input)
        for event in USKeyboard.typing(text) { sink.key(event) }
    }

    func close() {
        server.close()
        input.close()
        loop.stop()
    }
}
