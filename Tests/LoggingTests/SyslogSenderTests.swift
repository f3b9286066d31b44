import Addresses
import CLinux
import Linux
import TestNetwork
import Testing

@testable import Logging

@Suite("Sending logs to a server", .enabled(if: networkUnavailable == nil, "no network of its own here"))
struct SyslogSenderTests {
    /// Runs the loop until the condition holds, for ten seconds at most.
    static func run(_ loop: EventLoop, until condition: @escaping () -> Bool) throws {
        let limit = monotonicNanoseconds() + 10_000_000_000
        let look = try Timer(on: loop) { if condition() || monotonicNanoseconds() > limit { loop.stop() } }
        look.set(after: 1, every: 5_000_000)
        loop.run()
        look.close(on: loop)
        #expect(condition())
    }

    static func setUpLoopback() throws {
        var network = try NetworkConfiguration()
        try network.setUp("lo")
        try network.add(IPv4Address(127, 0, 0, 1), prefix: 8, to: "lo")
    }

    private static func listener() throws -> Descriptor {
        let socket = Descriptor(adopting: socket(AF_INET, CInt(SOCK_STREAM.rawValue), 0))
        try #require(wafer_inet_bind(socket.raw, 0x7f00_0001, 514) == 0)
        try #require(listen(socket.raw, 4) == 0)
        try socket.setNonBlocking()
        return socket
    }

    @Test("over UDP each message is a datagram, cut to what fits everywhere")
    func datagrams() throws {
        try inOwnNetwork {
            try Self.setUpLoopback()
            let server = try InternetSocket(.udp)
            try server.bind(IPv4Address(127, 0, 0, 1), port: 514)
            let loop = try EventLoop(name: "test")
            let target = try #require(SyslogTarget("udp://127.0.0.1"))
            let sender = try SyslogSender(target, on: loop, resolve: { InternetPeer($0, port: $1) }) { _, _ in }
            sender.send(Array("one".utf8))
            sender.send([UInt8](repeating: 65, count: 3000))
            for length in [3, 1400] {
                guard case .bytes(let bytes, _) = server.receive() else {
                    Issue.record("a message did not come")
                    continue
                }
                #expect(bytes.count == length)
            }
            sender.close()
        }
    }

    @Test("over TCP messages wait for a server that is away, and come whole and in order when it is back")
    func stream() throws {
        try inOwnNetwork {
            try Self.setUpLoopback()
            let loop = try EventLoop(name: "test")
            let target = try #require(SyslogTarget("tcp://127.0.0.1"))
            var reports: [Bool] = []
            let sender = try SyslogSender(target, on: loop, resolve: { InternetPeer($0, port: $1) }) { isBack, _ in
                reports.append(isBack)
            }
            sender.send(Array("one".utf8))
            try Self.run(loop) { reports == [false] }
            let server = try Self.listener()
            sender.send(Array("number two".utf8))
            var connection = -1 as CInt
            try Self.run(loop) {
                connection = connection < 0 ? wafer_accept4(server.raw) : connection
                return connection >= 0 && reports == [false, true]
            }
            let first = Descriptor(adopting: connection)
            var received: [UInt8] = []
            try Self.run(loop) {
                received += first.readAvailable() ?? []
                return received.count >= 18
            }
            #expect(String(decoding: received, as: UTF8.self) == "3 one10 number two")
            sender.close()
        }
    }
}
