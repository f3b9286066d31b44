import Addresses
import Display
import Linux
import Synchronization
import TestFiles
import Testing

/// Notes what clients type and point at.
final class InputRecorder: InputSink {
    let keys = Mutex<[KeyEvent]>([])
    let pointers = Mutex<[PointerEvent]>([])
    func key(_ event: KeyEvent) { keys.withLock { $0.append(event) } }
    func pointer(_ event: PointerEvent) { pointers.withLock { $0.append(event) } }
}

/// A server on a loop of its own, showing what a guest shows.
final class ServedGuest {
    let guest = GuestVGA()
    let input = InputRecorder()
    let loop: EventLoop
    let server: RFBServer
    let port: UInt16

    init(password: String? = nil) throws {
        ProcessSignals.ignoreBrokenPipes()
        loop = try EventLoop(name: "screen")
        try loop.start()
        server = try RFBServer(guest.screen, name: "a guest", input: input, loop: loop)
        server.setPassword(password)
        port = try server.listen(address: try #require(IPv4Address("127.0.0.1")), port: 0)
    }

    func close() {
        server.close()
        loop.stop()
    }

    /// A picture in which every pixel tells where it is.
    func showGradient(_ width: UInt16 = 320, _ height: UInt16 = 240) {
        guest.setLinearMode(width, height, 32)
        for y in 0..<Int(height) {
            for x in 0..<Int(width) {
                let colour = UInt32(x & 0xff) << 16 | UInt32(y & 0xff) << 8 | UInt32((x + y) & 0xff)
                guest.memory.poke((y * Int(width) + x) * 4, colour)
            }
        }
    }
}

@Suite("Remote framebuffer server with other people's clients")
struct RFBServerTests {
    @Test("gvnccapture takes the picture that the guest shows", .enabled(if: exists("/usr/bin/gvnccapture")))
    func gvnc() throws {
        let served = try ServedGuest()
        defer { served.close() }
        served.showGradient()
        try withTemporaryDirectory { directory in
            let file = directory + "/screen.png"
            // The host's display number counts from port 5900.
            let display = "127.0.0.1:\(Int(served.port) - 5900)"
            #expect(try run("/usr/bin/gvnccapture", ["-q", display, file]) == 0)
            let ours = directory + "/ours.png"
            let picture = Mutex<[UInt8]>([])
            served.server.withScreen { surface in picture.withLock { $0 = PNG.encode(surface) } }
            try writeFile(ours, picture.withLock { $0 })
            try expectSamePicture(file, ours)
        }
    }
}
