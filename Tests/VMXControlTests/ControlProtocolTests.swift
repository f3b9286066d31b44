import Messages
import Testing

@testable import VMXControl

@Suite("Control protocol")
struct ControlProtocolTests {
    static let requests: [ControlRequest] = [
        .status, .pause, .resume, .shutdownGuest, .powerOff, .reset, .statistics,
        .attach([.init(key: "scsi0:1.fileName", value: "data.vmdk"), .init(key: "scsi0:1.present", value: "TRUE")]),
        .detach("ethernet1"), .answer(question: 7, choice: 1), .watch, .rebootGuest,
    ]

    @Test("every request survives the wire", arguments: requests)
    func requestSurvives(request: ControlRequest) throws {
        #expect(try ControlRequest(request.frame(request: 3)) == request)
        #expect(request.frame(request: 3).request == 3)
    }

    static let status = MachineStatus(
        displayName: "web01", uuid: "56 4d", configurationFile: "/vms/web01.vmx", process: 412, state: "question",
        uptime: 123_456, memoryMegabytes: 512, processors: 4, resets: 2,
        devices: [.init(name: "scsi0:0", summary: "disk", address: "00:01.0")],
        question: .init(identifier: 1, text: "full", choices: ["Retry", "Report"]),
        tools: .init(isRunning: true, version: "12.1.5", address: "192.0.2.7", hostName: "web01", system: ""))

    static let replies: [ControlReply] = [
        .done, .refused(.init(.notFound, "there is no device x")), .status(status),
        .statistics([.init(name: "vcpu0.exits", value: .max)]), .changed(state: "running"),
    ]

    @Test("every answer survives the wire", arguments: replies)
    func replySurvives(reply: ControlReply) throws { #expect(try ControlReply(reply.frame(request: 1)) == reply) }

    @Test("a payload cut at any byte is an error, never a trap or another message")
    func truncated() {
        for frame in Self.requests.map({ $0.frame(request: 1) }) where !frame.payload.isEmpty {
            for count in frame.payload.indices {
                let cut = Frame(kind: frame.kind, request: 1, payload: Array(frame.payload.prefix(count)))
                #expect(throws: MessageError.self) { try ControlRequest(cut) }
            }
        }
        for frame in Self.replies.map({ $0.frame(request: 1) }) where !frame.payload.isEmpty {
            for count in frame.payload.indices {
                let cut = Frame(kind: frame.kind, request: 1, payload: Array(frame.payload.prefix(count)))
                #expect(throws: MessageError.self) { try ControlReply(cut) }
            }
        }
        #expect(throws: MessageError.unknownKind(99)) { try ControlRequest(Frame(kind: 99, request: 1)) }
    }

    @Test("status reads as lines of a key and a value")
    func text() {
        let lines = ControlCommand.text(Self.status).split(separator: "\n")
        #expect(lines.contains("state question"))
        #expect(lines.contains("device scsi0:0 at 00:01.0: disk"))
        #expect(lines.suffix(3) == ["question 1: full", "choice 0: Retry", "choice 1: Report"])
    }
}
