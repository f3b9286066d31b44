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

    /// Our own picture of the screen, as a file.
    func capture(_ directory: String) throws -> String {
        let picture = Mutex<[UInt8]>([])
        server.withScreen { surface in picture.withLock { $0 = PNG.encode(surface) } }
        let file = directory + "/ours.png"
        try writeFile(file, picture.withLock { $0 })
        return file
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

/// A client on a real socket.
final class SocketClient {
    let descriptor: Descriptor
    var client = RFBTestClient()

    init(_ path: String, isShared: Bool = true) throws {
        descriptor = try UnixSocket.connect(path)
        send(Array("RFB 003.008\n".utf8) + [1, isShared ? 1 : 0])
        // Version, security types, result.
        _ = try read { try $0.take(12 + 2 + 4) }
        try read { try $0.serverInit() }
    }

    func send(_ bytes: [UInt8]) {
        let isSent = descriptor.writeAll(bytes)
        #expect(isSent)
    }

    /// Reads until `understand` has what it needs.
    func read<T>(_ understand: (inout RFBTestClient) throws -> T) throws -> T {
        while true {
            var attempt = client
            do {
                let result = try understand(&attempt)
                client = attempt
                return result
            } catch is RFBTestClient.Short {
                descriptor.waitUntilReadable()
                guard let bytes = descriptor.readAvailable() else { continue }
                try #require(!bytes.isEmpty, "the server closed the connection")
                client.feed(bytes)
            }
        }
    }

    /// Waits for the server to close the connection.
    func awaitEnd() {
        while true {
            descriptor.waitUntilReadable()
            if descriptor.readAvailable()?.isEmpty == true { return }
        }
    }
}

@Suite("Remote framebuffer server")
struct RFBServerTests {
    @Test(
        "gvnccapture takes the picture that the guest shows", .enabled(if: exists("/usr/bin/gvnccapture") && hasPillow))
    func gvnc() throws {
        let served = try ServedGuest()
        defer { served.close() }
        served.showGradient()
        // Beside the many colours something that has few, for the other kinds of tiles.
        for y in 100..<140 {
            for x in 100..<200 {
                served.guest.memory.poke((y * 320 + x) * 4, UInt32((x ^ y) & 6 == 0 ? 0xff8800 : 0x112233))
                served.guest.memory.poke(((y + 50) * 320 + x) * 4, UInt32(x * y & 0x18) << 19 | 0x4488)
            }
        }
        try withTemporaryDirectory { directory in
            let file = directory + "/screen.png"
            // A display's number counts from port 5900.
            #expect(try run("/usr/bin/gvnccapture", ["-q", "127.0.0.1:\(Int(served.port) - 5900)", file]) == 0)
            try expectSamePicture(file, served.capture(directory))
        }
    }

    @Test(
        "vncsnapshot logs in with a password and sees a text screen as it is, but for what JPEG loses",
        .enabled(if: exists("/usr/bin/vncsnapshot") && exists("/usr/bin/openssl") && hasPillow))
    func vncsnapshot() throws {
        let served = try ServedGuest(password: "secret")
        defer { served.close() }
        served.guest.set(.text3)
        served.guest.loadGlyph(0x41, [0, 0, 0x10, 0x38, 0x6c, 0xc6, 0xc6, 0xfe, 0xc6, 0xc6, 0xc6, 0, 0, 0, 0, 0])
        served.guest.writeText("AAAA A", column: 3, row: 5, attribute: 0x07)
        served.guest.set(0x3d4, 0x0a, 0x20)
        try withTemporaryDirectory { directory in
            // Passwords are kept in such files encrypted with a key that everybody knows.
            let script = """
                printf 'secret\\0\\0' | openssl enc -des-ecb -nopad -K e84ad660c4721ae0 -provider legacy -provider default \
                > \(directory)/password
                """
            #expect(try run("/bin/sh", ["-c", script]) == 0)
            let file = directory + "/screen.jpg"
            let display = "127.0.0.1:\(Int(served.port) - 5900)"
            let options = ["-quiet", "-passwd", directory + "/password", "-encodings", "hextile", "-quality", "100"]
            #expect(try run("/usr/bin/vncsnapshot", options + [display, file]) == 0)
            try expectSamePicture(file, served.capture(directory), tolerance: 24)
            try writeFile(directory + "/password", [1, 2, 3, 4, 5, 6, 7, 8])
            #expect(try run("/usr/bin/vncsnapshot", options + [display, directory + "/none.jpg"]) != 0)
        }
    }

    @Test("a client on a Unix socket sees what changes while it waits")
    func changes() throws {
        try withTemporaryDirectory { directory in
            let served = try ServedGuest()
            defer { served.close() }
            served.showGradient()
            try served.server.listen(path: directory + "/screen")
            let viewer = try SocketClient(directory + "/screen")
            #expect(viewer.client.name == "a guest" && viewer.client.width == 320)
            viewer.send(RFBTestClient.setEncodings([5]) + RFBTestClient.request(320, 240, incremental: false))
            try viewer.read { try $0.message() }
            viewer.send(RFBTestClient.request(320, 240))
            served.guest.memory.poke((100 * 320 + 50) * 4, UInt32(0xabcdef))
            try viewer.read { try $0.message() }
            #expect(viewer.client.pixels[100 * 320 + 50] == 0xabcdef)
        }
    }

    @Test("who wants the screen alone gets it, and keys that others held go up")
    func exclusive() throws {
        try withTemporaryDirectory { directory in
            let served = try ServedGuest()
            defer { served.close() }
            try served.server.listen(path: directory + "/screen")
            let first = try SocketClient(directory + "/screen")
            let second = try SocketClient(directory + "/screen")
            #expect(served.server.clientCount == 2)
            first.send(RFBTestClient.key(0xffe3, isDown: true) + RFBTestClient.pointer(1, 2, 1))
            first.send(RFBTestClient.request(64, 64, incremental: false))
            try first.read { try $0.message() }
            let third = try SocketClient(directory + "/screen", isShared: false)
            first.awaitEnd()
            second.awaitEnd()
            #expect(served.server.clientCount == 1)
            let control = { KeyEvent(scancode: .leftControl, keysym: 0xffe3, isDown: $0) }
            #expect(served.input.keys.withLock { $0 } == [control(true), control(false)])
            #expect(served.input.pointers.withLock { $0.map(\.buttons) } == [.left, []])
            third.send(RFBTestClient.request(64, 64, incremental: false))
            try third.read { try $0.message() }
        }
    }

    @Test("a client that breaks the protocol is disconnected, and one that reads nothing holds up nobody")
    func hostile() throws {
        try withTemporaryDirectory { directory in
            let served = try ServedGuest()
            defer { served.close() }
            served.guest.setLinearMode(400, 300, 32)
            try served.server.listen(path: directory + "/screen")
            let stubborn = try SocketClient(directory + "/screen")
            for _ in 0..<50 { stubborn.send(RFBTestClient.request(400, 300, incremental: false)) }
            let broken = try SocketClient(directory + "/screen")
            broken.send([99, 99, 99])
            broken.awaitEnd()
            let good = try SocketClient(directory + "/screen")
            good.send(RFBTestClient.request(400, 300, incremental: false))
            try good.read { try $0.message() }
            #expect(served.server.clientCount == 2)
        }
    }

    @Test("connections that never get through the handshake give way to new ones")
    func idlers() throws {
        try withTemporaryDirectory { directory in
            let served = try ServedGuest()
            defer { served.close() }
            try served.server.listen(path: directory + "/screen")
            let viewer = try SocketClient(directory + "/screen")
            var idlers: [Int32] = []
            defer { for idler in idlers { _ = Descriptor(adopting: idler) } }
            for _ in 0..<30 {
                let idler = try UnixSocket.connect(directory + "/screen")
                idler.waitUntilReadable()
                idlers.append(idler.release())
            }
            let late = try SocketClient(directory + "/screen")
            late.send(RFBTestClient.request(64, 64, incremental: false))
            try late.read { try $0.message() }
            viewer.send(RFBTestClient.request(64, 64, incremental: false))
            try viewer.read { try $0.message() }
        }
    }

    @Test("a request that comes while an update is sent is answered when something changes")
    func pipelined() throws {
        try withTemporaryDirectory { directory in
            let served = try ServedGuest()
            defer { served.close() }
            served.guest.setLinearMode(400, 300, 32)
            try served.server.listen(path: directory + "/screen")
            let viewer = try SocketClient(directory + "/screen")
            // More than the socket takes at once, so the update has begun and cannot end.
            viewer.send(RFBTestClient.request(400, 300, incremental: false))
            viewer.descriptor.waitUntilReadable()
            viewer.send(RFBTestClient.request(400, 300))
            try viewer.read { try $0.message() }
            served.guest.memory.poke(4, UInt32(0x010203))
            try viewer.read { try $0.message() }
            #expect(viewer.client.pixels[1] == 0x010203)
        }
    }

    @Test("after wrong passwords in a row nobody is let in for a while")
    func guessing() throws {
        try withTemporaryDirectory { directory in
            let served = try ServedGuest(password: "secret")
            defer { served.close() }
            try served.server.listen(path: directory + "/screen")
            for _ in 0..<5 {
                let guess = try UnixSocket.connect(directory + "/screen")
                _ = guess.writeAll(Array("RFB 003.008\n".utf8) + [2] + [UInt8](repeating: 7, count: 16))
                var answer: [UInt8] = []
                while true {
                    guess.waitUntilReadable()
                    guard let bytes = guess.readAvailable() else { continue }
                    if bytes.isEmpty { break }
                    answer += bytes
                }
                #expect(answer.suffix(14) == Array("wrong password".utf8))
            }
            let refused = try UnixSocket.connect(directory + "/screen")
            refused.waitUntilReadable()
            let answer = refused.readAvailable()
            #expect(answer == [])
        }
    }
}
