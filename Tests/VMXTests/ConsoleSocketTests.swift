import DeviceModel
import Linux
import Synchronization
import TestFiles
import Testing

@testable import VMX

/// A guest that takes a few bytes at a time.
final class SlowGuest: CharacterReceiver {
    let received = Mutex<[UInt8]>([])
    let room = Mutex(4)
    func receive(_ bytes: Span<UInt8>) -> Int {
        let count = min(room.withLock { $0 }, bytes.count)
        for index in 0..<count { received.withLock { $0.append(bytes[index]) } }
        room.withLock { $0 -= count }
        return count
    }
}

@Suite("Console socket")
struct ConsoleSocketTests {
    private func text(_ descriptor: borrowing Descriptor, until count: Int) -> String {
        var bytes: [UInt8] = []
        while bytes.count < count {
            descriptor.waitUntilReadable()
            guard let more = descriptor.readAvailable() else { continue }
            if more.isEmpty { break }
            bytes += more
        }
        return String(decoding: bytes, as: UTF8.self)
    }

    @Test("who connects late sees what was written before, and input waits for a guest that is slow")
    func console() throws {
        try withTemporaryDirectory { directory in
            let loop = try EventLoop(name: "console")
            try loop.start()
            defer { loop.stop() }
            let console = try ConsoleSocket(path: directory + "/console.sock", loop: loop)
            let guest = SlowGuest()
            console.setReceiver(guest)
            console.transmit(Array("early ".utf8).span)
            let client = try UnixSocket.connect(console.path)
            console.transmit(Array("late".utf8).span)
            let screen = text(client, until: 10)
            #expect(screen == "early late")

            let sent = client.writeAll(Array("type this".utf8))
            #expect(sent)
            while guest.received.withLock({ $0.count }) < 4 { loop.performAndWait {} }
            guest.room.withLock { $0 = 100 }
            console.receiverHasRoom()
            while guest.received.withLock({ $0.count }) < 9 { loop.performAndWait {} }
            #expect(guest.received.withLock { String(decoding: $0, as: UTF8.self) } == "type this")
            console.close()
            let rest = text(client, until: 1)
            #expect(rest.isEmpty, "closing hangs up")
        }
    }

    @Test("output beyond the history is lost for a reader that is not there, oldest first")
    func history() throws {
        try withTemporaryDirectory { directory in
            let loop = try EventLoop(name: "console")
            try loop.start()
            defer { loop.stop() }
            let console = try ConsoleSocket(path: directory + "/console.sock", loop: loop)
            let line = Array("0123456789abcde\n".utf8)
            for _ in 0..<(ConsoleSocket.historySize / 16 + 10) { console.transmit(line.span) }
            let client = try UnixSocket.connect(console.path)
            let seen = text(client, until: ConsoleSocket.historySize)
            #expect(seen.utf8.count == ConsoleSocket.historySize)
            #expect(seen.hasPrefix("0123456789abcde\n"))
            console.close()
        }
    }
}
