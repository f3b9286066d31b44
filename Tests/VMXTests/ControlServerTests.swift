import Linux
import Synchronization
import TestFiles
import Testing
import VMXControl

@testable import VMX

@Suite("Control socket")
struct ControlServerTests {
    @Test("several clients are served, told of changes, and refused in words; nonsense ends only its own connection")
    func serves() throws {
        try withTemporaryDirectory { directory in
            let path = directory + "/vm.sock"
            let loop = try EventLoop(name: "control")
            try loop.start()
            defer { loop.stop() }
            let server = Mutex<ControlServer?>(nil)
            loop.performAndWait {
                let made = try? ControlServer(path: path, loop: loop) { request in
                    request == .pause ? .refused(.init(.badState, "the VM is paused")) : .done
                }
                server.withLock { $0 = made }
            }
            let first = try ControlClient(path)
            let second = try ControlClient(path)
            #expect(try first.ask(.watch) == .done)
            #expect(try second.ask(.reset) == .done)
            #expect(throws: ControlError.self) { try second.ask(.pause) }
            loop.performAndWait { server.withLock { $0?.announce("paused") } }
            #expect(try first.next().reply == .changed(state: "paused"))

            let stranger = try UnixSocket.connect(path)
            let sent = stranger.writeAll([UInt8](repeating: 0xff, count: 64))
            #expect(sent)
            stranger.waitUntilReadable()
            let answer = stranger.readAvailable()
            #expect(answer == [], "the server hangs up")
            #expect(try second.ask(.reset) == .done)
            loop.performAndWait { server.withLock { $0?.close() } }
            #expect(throws: ControlError.self) { try ControlClient(path) }
        }
    }

    @Test("a socket that somebody serves is not taken over; one left behind is")
    func takesOver() throws {
        try withTemporaryDirectory { directory in
            let path = directory + "/vm.sock"
            var listener: Descriptor? = try UnixSocket.listen(path)
            #expect(throws: SystemError.self) { _ = try UnixSocket.listen(path) }
            listener = nil
            _ = listener == nil
            _ = try UnixSocket.listen(path)
        }
    }
}
