import Linux
import TestFiles
import Testing

@testable import Log

@Suite("Writing to the log")
struct LogTests {
    @Test("lines arrive, and when nobody takes them the writer does not wait but counts")
    func neverWaits() throws {
        try withTemporaryDirectory { directory in
            let path = "\(directory)/log"
            let socket = try UnixDatagram.bind(path)
            let log = Log("test", path: path)
            for number in 0..<300 { log.info("line \(number)") }
            var arrived: [String] = []
            while let bytes = socket.readAvailable() { arrived += LogDatagram.parse(bytes, time: 0).map(\.text) }
            #expect(arrived.first == "line 0")
            log.info("after")
            arrived = []
            while let bytes = socket.readAvailable() { arrived += LogDatagram.parse(bytes, time: 0).map(\.text) }
            // The kernel's queue of a datagram socket is short, so some did not go.
            #expect(arrived.last == "after")
            #expect(arrived.first?.hasSuffix("messages were lost here") == true)
        }
    }
}
