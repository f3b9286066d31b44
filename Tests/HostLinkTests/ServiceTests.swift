import Linux
import Messages
import Testing

@testable import HostLink

private struct Double: ServiceCall {
    typealias Answer = UInt32
    static let kind: UInt16 = 1
    var value: UInt32
    init(_ value: UInt32) { self.value = value }
    func write(to writer: inout FieldWriter) { writer.write(value) }
    init(from reader: inout FieldReader) throws(MessageError) { value = try reader.read() }
}

private struct Unknown: ServiceCall {
    typealias Answer = Done
    static let kind: UInt16 = 77
    init() {}
    func write(to writer: inout FieldWriter) {}
    init(from reader: inout FieldReader) throws(MessageError) {}
}

@Suite("Services between agents")
struct ServiceTests {
    /// Runs `body` against a service that doubles numbers, refuses odd ones, and announces each.
    private func withService(_ body: (String) throws -> Void) throws {
        let path = "/tmp/wafer-service-\(processIdentifier())-\(monotonicNanoseconds()).sock"
        let loop = try EventLoop(name: "service")
        let server = try ServiceServer(path: path, on: loop)
        server.on(Double.self) { (call, peer) throws(ServiceError.Refusal) in
            peer.wantsEvents = true
            guard call.value % 2 == 0 else { throw .init(.invalid, "\(call.value) is odd") }
            server.announce(5, call.value)
            return call.value &* 2
        }
        try loop.start()
        defer {
            loop.perform { server.close() }
            loop.stop()
        }
        try body(path)
    }

    @Test("questions are answered, refusals are thrown with their text, events come beside")
    func asks() throws {
        try withService { path in
            let client = try ServiceClient(path)
            #expect(try client.ask(Double(4)) == 8)
            #expect(throws: ServiceError.refused(.init(.invalid, "3 is odd"))) { try client.ask(Double(3)) }
            #expect(try client.ask(Double(6)) == 12)
            #expect(try client.nextEvent()?.payload == [4, 0, 0, 0])
            let second = try client.nextEvent()
            #expect(second?.kind == 5 && second?.payload == [6, 0, 0, 0])
            #expect(try client.nextEvent() == nil)
        }
    }

    @Test("a service says that it does not know a question, and goes on")
    func unknown() throws {
        try withService { path in
            let client = try ServiceClient(path)
            #expect(
                throws: ServiceError.refused(.init(.notSupported, "this service does not know messages of kind 77"))
            ) {
                try client.ask(Unknown())
            }
            #expect(try client.ask(Double(2)) == 4)
        }
    }

    @Test("a service that is not there is named")
    func missing() {
        #expect(throws: ServiceError.unavailable(service: "/tmp/none.sock", reason: "No such file or directory")) {
            try ServiceClient("/tmp/none.sock")
        }
    }

    @Test("on a loop, answers and refusals come later, events unasked, and the end of the service is told once")
    func session() throws {
        try withService { path in
            let loop = try EventLoop(name: "asker")
            let session = try ServiceSession(path, on: loop)
            var told: [String] = []
            session.event = { kind, payload in told.append("event \(kind) \(payload)") }
            session.closed = { told.append("closed") }
            func tell(_ result: Result<UInt32, ServiceError>) {
                switch result {
                case .success(let number): told.append("\(number)")
                case .failure(let error): told.append("\(error)")
                }
            }
            session.ask(Double(4), tell)
            session.ask(Double(3), tell)
            session.ask(Unknown()) { _ in
                session.close()
                session.ask(Double(2), tell)
                loop.stop()
            }
            loop.run()
            #expect(
                told == [
                    "event 5 [4, 0, 0, 0]", "8", "3 is odd", "the service ended before it answered",
                ])
        }
    }

    @Test("the kernel says who asks")
    func credentials() throws {
        let path = "/tmp/wafer-peer-\(processIdentifier()).sock"
        let listener = try UnixSocket.listen(path)
        let client = try UnixSocket.connect(path)
        guard let accepted = UnixSocket.accept(listener.raw) else {
            Issue.record("the connection did not come")
            return
        }
        let peer = UnixSocket.peer(of: accepted.raw)
        #expect(peer.process == processIdentifier())
        removeFile(path)
        _ = client.raw
    }
}
