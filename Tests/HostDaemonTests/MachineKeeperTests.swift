import HostLink
import HostModel
import HostService
import Linux
import Testing

@testable import HostDaemon

@Suite("Host agent and its machines")
struct MachineKeeperTests {
    private func power(_ client: ServiceClient, _ file: String) throws -> PowerState? {
        try client.ask(ListMachines()).first { $0.file == file }?.power
    }

    private func refusal(_ body: () throws -> Void) -> ServiceError.Refusal? {
        do {
            try body()
            return nil
        } catch ServiceError.refused(let refusal) { return refusal } catch { return nil }
    }

    @Test("a machine on a disk is found, started, asked to shut down, and seen to end")
    func life() throws {
        try DaemonRig.with { rig in
            try rig.make("web")
            let client = try rig.begin()
            let file = rig.file("web")
            let found = try client.ask(ListMachines())
            #expect(found.map(\.file) == [file] && found.first?.name == "web" && found.first?.power == .poweredOff)
            _ = try client.ask(StartMachine(file: file))
            #expect(try power(client, file) == .running)
            let details = try client.ask(MachineDetails(file: file))
            #expect(details.devices == ["serial0: serial port"] && details.machine.process != nil)
            let again = refusal { _ = try client.ask(StartMachine(file: file)) }
            #expect(again == .init(.badState, "web is running already"))
            _ = try client.ask(StopMachine(file: file, how: .reset))
            #expect(try client.ask(MachineDetails(file: file)).resets == 1)
            _ = try client.ask(StopMachine(file: file, how: .guestShutdown))
            try waitUntil { try power(client, file) == .poweredOff }
            let events = try client.ask(ListEvents()).map(\.text)
            #expect(
                events == [
                    "web was started", "web was reset", "web was asked to shut down", "web powered off",
                ])
            #expect(try client.ask(ListTasks()).map(\.state) == [.succeeded, .succeeded, .succeeded])
        }
    }

    @Test("a machine that cannot start says why, and is off")
    func broken() throws {
        try DaemonRig.with { rig in
            try rig.make("bad", "broken")
            let client = try rig.begin()
            let refusal = refusal { _ = try client.ask(StartMachine(file: rig.file("bad"))) }
            #expect(refusal == .init(.failed, "its disk is missing"))
            #expect(try power(client, rig.file("bad")) == .poweredOff)
            #expect(try client.ask(ListEvents()).last?.text == "bad did not start: its disk is missing")
        }
    }

    @Test("machines run on when the agent ends, and its successor finds them with the same process and no event")
    func survives() throws {
        try DaemonRig.with { rig in
            try rig.make("web")
            try rig.make("slow", "tardy")
            var client = try rig.begin()
            _ = try client.ask(StartMachine(file: rig.file("web")))
            _ = try client.ask(StartMachine(file: rig.file("slow")))
            let before = try client.ask(ListMachines()).map(\.process)
            #expect(!before.contains(nil))
            for _ in 0..<10 {
                rig.crash()
                client = try rig.begin()
                let after = try client.ask(ListMachines())
                #expect(after.map(\.process) == before && after.allSatisfy { $0.power == .running })
                #expect(try client.ask(ListEvents()).isEmpty)
            }
            // A death that no parent tells of is seen as well.
            if let process = before[0] { Child.signal(process, 9) }
            try waitUntil { try client.ask(ListMachines()).contains { $0.power == .poweredOff } }
        }
    }

    @Test("a question is reported with the machine, told to those who watch, and can be answered")
    func question() throws {
        try DaemonRig.with { rig in
            try rig.make("ask", "asks")
            let client = try rig.begin()
            let file = rig.file("ask")
            let watcher = try rig.connect()
            _ = try watcher.ask(WatchMachines())
            _ = try client.ask(StartMachine(file: file))
            try waitUntil { try power(client, file) == .question }
            let question = try client.ask(ListMachines()).first?.question
            #expect(question == MachineQuestion(identifier: 1, text: "Go on?", choices: ["Yes", "No"]))
            let wrong = refusal { _ = try client.ask(AnswerQuestion(file: file, question: 9, choice: 0)) }
            #expect(wrong?.reason == .notFound)
            _ = try client.ask(AnswerQuestion(file: file, question: 1, choice: 0))
            try waitUntil { try power(client, file) == .running }
            var seen: [HostAnnouncement] = []
            while let event = try watcher.nextEvent() {
                seen.append(try .init(kind: event.kind, payload: event.payload))
            }
            let texts = seen.compactMap { if case .event(let event) = $0 { event.text } else { nil } }
            #expect(texts.contains("ask waits for an answer: Go on?") && texts.contains("ask was answered: Yes"))
            let powers = seen.compactMap { if case .machine(let machine) = $0 { machine.power } else { nil } }
            #expect(powers.first == .starting && powers.contains(.question) && powers.last == .running)
        }
    }

    @Test("power off ends a machine at once, also one whose guest does not listen")
    func powerOff() throws {
        try DaemonRig.with { rig in
            try rig.make("deaf", "deaf")
            let client = try rig.begin()
            let file = rig.file("deaf")
            _ = try client.ask(StartMachine(file: file))
            #expect(
                refusal { _ = try client.ask(StopMachine(file: file, how: .guestShutdown)) }?.reason == .notSupported)
            _ = try client.ask(StopMachine(file: file, how: .powerOff))
            #expect(try power(client, file) == .poweredOff)
            #expect(refusal { _ = try client.ask(StopMachine(file: file, how: .powerOff)) }?.reason == .badState)
        }
    }

    @Test("what is registered is in the settings; unregistering keeps the file and is refused while it runs")
    func registering() throws {
        try DaemonRig.with { rig in
            try rig.make("web")
            let client = try rig.begin()
            let file = rig.file("web")
            _ = try client.ask(RegisterMachine(file: file))
            _ = try client.ask(RegisterMachine(file: file))
            #expect(try client.ask(ListMachines()).map(\.isRegistered) == [true])
            #expect(refusal { _ = try client.ask(RegisterMachine(file: "/no/such.vmx")) }?.reason == .notFound)
            _ = try client.ask(SetAutostart(file: file, order: 4, delay: 9, stopAction: .guestShutdown))
            let machine = try client.ask(ListMachines()).first
            #expect(machine?.startOrder == 4 && machine?.startDelay == 9 && machine?.stopAction == .guestShutdown)
            #expect(refusal { _ = try client.ask(SetAutostart(file: file, order: 0)) }?.reason == .invalid)
            _ = try client.ask(StartMachine(file: file))
            #expect(refusal { _ = try client.ask(UnregisterMachine(file: file)) }?.reason == .badState)
            _ = try client.ask(StopMachine(file: file, how: .powerOff))
            _ = try client.ask(UnregisterMachine(file: file))
            #expect(try client.ask(ListMachines()).map(\.isRegistered) == [false] && fileExists(file))
        }
    }

    @Test("a scan finds what has come and forgets what has gone; a bad file is listed with what is wrong")
    func scanning() throws {
        try DaemonRig.with { rig in
            try rig.make("a")
            let client = try rig.begin()
            try rig.make("b")
            try FileSystem.write("memsize = \"x\"\n", to: rig.file("b"))
            try FileSystem.remove(rig.file("a"))
            #expect(try client.ask(ScanMachines()) == 1)
            let machines = try client.ask(ListMachines())
            #expect(machines.map(\.name) == ["b"])
            #expect(machines.first?.problems.first?.contains("memsize") == true)
        }
    }
}

@Suite("Host agent: starting and stopping with the host")
struct HostPowerTests {
    private func settings(_ files: [(String, UInt32)]) -> HostSettings {
        var settings = HostSettings()
        settings.autostart.isEnabled = true
        settings.autostart.startDelay = 0
        settings.autostart.stopAction = .guestShutdown
        settings.autostart.stopDelay = 1
        settings.machines = files.map {
            var machine = RegisteredMachine()
            machine.file = $0.0
            machine.startOrder = $0.1
            return machine
        }
        return settings
    }

    @Test("machines start in order, once for the host, not once for each agent")
    func autostart() throws {
        try DaemonRig.with { rig in
            try rig.make("one")
            try rig.make("two")
            rig.settings = settings([(rig.file("two"), 2), (rig.file("one"), 1)])
            var client = try rig.begin()
            try waitUntil { try client.ask(ListMachines()).allSatisfy { $0.power == .running } }
            let started = try client.ask(ListEvents()).map(\.text).filter { $0.hasSuffix("was started") }
            #expect(started == ["one was started", "two was started"])
            _ = try client.ask(StopMachine(file: rig.file("one"), how: .powerOff))
            rig.crash()
            client = try rig.begin()
            // The runner has looked by the time the first question is answered.
            let powers = try client.ask(ListMachines()).map(\.power)
            #expect(powers == [.poweredOff, .running])
            #expect(try client.ask(ListEvents()).isEmpty)
        }
    }

    @Test("for the host's shutdown all machines stop, the willing by themselves, the others by force, with remarks")
    func stopAll() throws {
        try DaemonRig.with { rig in
            for (name, words) in [("good", ""), ("deaf", "deaf"), ("stubborn", "stubborn")] {
                try rig.make(name, words)
            }
            rig.settings = settings([(rig.file("good"), 1)])
            let client = try rig.begin()
            for name in ["deaf", "stubborn"] { _ = try client.ask(StartMachine(file: rig.file(name))) }
            try waitUntil { try client.ask(ListMachines()).allSatisfy { $0.power == .running } }
            let remarks = try client.ask(StopAllMachines(seconds: 20), milliseconds: 30_000)
            #expect(
                remarks == [
                    "deaf cannot be shut down (the guest does not listen to its power button) and is powered off",
                    "stubborn did not shut down in time and is powered off",
                ])
            #expect(try client.ask(ListMachines()).allSatisfy { $0.power == .poweredOff })
            #expect(try client.ask(StopAllMachines(seconds: 20)).isEmpty)
        }
    }
}
