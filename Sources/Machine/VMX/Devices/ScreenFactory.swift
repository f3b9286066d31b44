import Addresses
import DeviceModel
import Display
import Linux
import VMXConfig

/// Makes the screen, and what shows it to people.
struct ScreenFactory {
    let machine: Machine
    let configuration: MachineConfiguration
    let log: MachineLog
    let input: any InputSink

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
    func server(for vga: StandardVGA) throws -> RemoteScreen {
        let loop = try EventLoop(name: "screen")
        try loop.start()
        let server = try RFBServer(ScanOut(vga), name: configuration.displayName, input: input, loop: loop)
        let screen = RemoteScreen(server: server, loop: loop)
        if let path = configuration.displaySocket {
            try server.listen(path: path)
            log.info("Screen on socket \(path)")
        }
        if let remote = configuration.remoteDisplay {
            server.setPassword(remote.password)
            guard let address = remote.address.map({ IPv4Address($0) }) ?? IPv4Address(0, 0, 0, 0),
                let port = UInt16(exactly: remote.port)
            else { throw StartFailure(.configuration, "RemoteDisplay.vnc.ip is no IPv4 address") }
            // Somebody else may have the port; a machine runs without its remote console, too.
            do throws(SystemError) {
                try server.listen(address: address, port: port)
                log.info("Screen on \(address) port \(port)")
            } catch { log.warning("The screen is not on the network: \(error)") }
        }
        return screen
    }
}

/// The screen's server with its thread.
final class RemoteScreen {
    let server: RFBServer
    private let loop: EventLoop

    init(server: RFBServer, loop: EventLoop) {
        self.server = server
        self.loop = loop
    }

    func close() {
        server.close()
        loop.stop()
    }
}
