import HostLink
import HostModel
import Messages
import Testing

@testable import HostService

@Suite("Host agent's calls")
struct HostCallTests {
    private static var machine: InventoryMachine {
        var machine = InventoryMachine(file: "/vms/a.vmx", description: MachineDescription(displayName: "a"))
        machine.description.guestOS = "debian12-64"
        machine.description.memory = 512
        machine.description.processors = 2
        machine.description.controlSocket = "/vms/a.sock"
        machine.problems = ["no disk"]
        machine.isRegistered = true
        machine.power = .question
        machine.question = MachineQuestion(identifier: 7, text: "full", choices: ["Retry", "Stop"])
        machine.process = 412
        machine.startOrder = 3
        machine.stopAction = .suspend
        return machine
    }

    private func survives<Fields: MessageField & Equatable>(_ fields: Fields) throws {
        var writer = FieldWriter()
        writer.write(fields)
        var reader = FieldReader(writer.bytes)
        #expect(try Fields(from: &reader) == fields)
        try reader.finish()
        for count in writer.bytes.indices {
            #expect(throws: MessageError.self) {
                var reader = FieldReader(Array(writer.bytes.prefix(count)))
                _ = try Fields(from: &reader)
                try reader.finish()
            }
        }
    }

    @Test("what is told survives the wire, and a part of it is an error")
    func wire() throws {
        try survives(Self.machine)
        try survives(InventoryMachine(file: "/b.vmx", description: MachineDescription(displayName: "b")))
        try survives(MachineDetails.Answer(machine: Self.machine, uptime: 9, resets: 1, devices: ["d"], log: ["l"]))
        try survives(HostEvent(number: 1, time: -5, severity: .error, user: "root", subject: "/a.vmx", "x"))
        try survives(
            HostTask(
                number: 1, name: "Start a", subject: "/a.vmx", user: "root", state: .failed, started: 1, ended: 2,
                reason: "no disk"))
    }

    private func again<Call: ServiceCall>(_ call: Call) throws -> Call {
        var writer = FieldWriter()
        writer.write(call)
        var reader = FieldReader(writer.bytes)
        let read = try Call(from: &reader)
        try reader.finish()
        return read
    }

    @Test("questions survive the wire")
    func questions() throws {
        let stop = try again(StopMachine(file: "/a.vmx", how: .reset))
        #expect(stop.file == "/a.vmx" && stop.how == .reset)
        let start = try again(SetAutostart(file: "/a.vmx", order: 2, delay: nil, stopAction: .guestShutdown))
        #expect(start.order == 2 && start.delay == nil && start.stopAction == .guestShutdown)
        let answer = try again(AnswerQuestion(file: "/a.vmx", question: 1, choice: 2))
        #expect(answer.question == 1 && answer.choice == 2)
        let login = try again(Login(user: "root", password: "x", origin: "10.0.0.1"))
        #expect(login.user == "root" && login.password == "x" && login.origin == "10.0.0.1")
        let password = try again(SetPassword(user: "root", old: "a", new: "b"))
        #expect(password.old == "a" && password.new == "b")
        #expect(try again(ListEvents(after: 9, limit: 3)).after == 9)
        #expect(try again(StopAllMachines(seconds: 60)).seconds == 60)
    }

    @Test("no two questions have one number")
    func kinds() {
        let kinds = [
            ListMachines.kind, MachineDetails.kind, StartMachine.kind, StopMachine.kind, AnswerQuestion.kind,
            RegisterMachine.kind, UnregisterMachine.kind, SetAutostart.kind, ScanMachines.kind, StopAllMachines.kind,
            Login.kind, SetPassword.kind, ListEvents.kind, ListTasks.kind, WatchMachines.kind,
        ]
        #expect(Set(kinds).count == kinds.count)
    }

    @Test("announcements are told apart, and odd ones refused")
    func announcements() throws {
        var writer = FieldWriter()
        writer.write(Self.machine)
        #expect(
            try HostAnnouncement(kind: HostAnnouncement.machineKind, payload: writer.bytes) == .machine(Self.machine))
        #expect(throws: MessageError.unknownKind(99)) { try HostAnnouncement(kind: 99, payload: []) }
        #expect(throws: MessageError.trailing(1)) {
            try HostAnnouncement(kind: HostAnnouncement.machineKind, payload: writer.bytes + [0])
        }
    }

    @Test("machines read as a table, one as lines of a key and a value")
    func text() {
        let table = HostText.table([Self.machine])
        #expect(table.count == 2 && table[0].hasPrefix("NAME"))
        #expect(table[1].contains("waiting for an answer") && table[1].hasSuffix("/vms/a.vmx"))
        let lines = HostText.lines(.init(machine: Self.machine, log: ["last"]))
        #expect(lines.contains("question 7: full") && lines.contains("choice 1: Stop"))
        #expect(lines.last == "log last")
        let event = HostEvent(number: 4, time: 0, severity: .warning, user: "root", "web01 was reset")
        #expect(HostText.line(event) == "4 1970-01-01T00:00:00Z warning web01 was reset (root)")
    }

    @Test("wrong usage and a missing agent have their own exit status")
    func status() {
        #expect(HostCommand.run(["nonsense"], address: "/tmp/none.sock") == 64)
        #expect(HostCommand.run(["autostart", "a", "first"], address: "/tmp/none.sock") == 64)
        #expect(HostCommand.run(["list"], address: "/tmp/none.sock") == 69)
    }
}
