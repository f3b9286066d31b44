import BootBanks
import ConfigService
import HostLink
import HostModel
import Linux
import Messages
import SimulatedDisk
import StateArea
import Testing

@testable import ConfigAgent

@Suite("The configuration service")
struct ConfigServerTests {
    private func withService(_ body: (String) throws -> Void) throws {
        let path = "/tmp/wafer-config-\(processIdentifier())-\(monotonicNanoseconds()).sock"
        let loop = try EventLoop(name: "config")
        let area = try StateArea(SimulatedDisk(size: Int(StateArea.sizeMin)))
        let server = try ConfigServer(
            .init(settings: SettingsStore(area), banks: nil, trusted: [], users: [], initProcess: processIdentifier()),
            path: path, on: loop)
        try loop.start()
        defer {
            loop.perform { server.close() }
            loop.stop()
        }
        try body(path)
    }

    private func changed(_ text: String, _ name: String) -> String {
        var editor = SettingsEditor(text)
        editor.set("hostName", name)
        return editor.text
    }

    @Test("of two who change the same settings one is refused; who watches sees each change once")
    func conflictAndEvents() throws {
        try withService { path in
            let watcher = try ServiceClient(path)
            let first = try ServiceClient(path)
            let second = try ServiceClient(path)
            let state = try watcher.ask(WatchSettings())
            #expect(try first.ask(GetSettings()) == state)
            #expect(try first.ask(SetSettings(text: changed(state.text, "a"), base: state.revision)) == 1)
            #expect(throws: ServiceError.self) {
                try second.ask(SetSettings(text: changed(state.text, "b"), base: state.revision))
            }
            // Nothing changes: no event.
            #expect(try second.ask(SetSettings(text: changed(state.text, "a"), base: 1)) == 1)
            #expect(try second.ask(FactoryReset()) == 2)
            // An answer to the watcher comes after the events sent before it.
            #expect(try watcher.ask(GetSettings()).revision == 2)
            var seen: [UInt64] = []
            while let event = try watcher.nextEvent() {
                #expect(event.kind == ConfigService.settingsChanged)
                var reader = FieldReader(event.payload)
                seen.append(try SettingsState(from: &reader).revision)
            }
            #expect(seen == [1, 2])
        }
    }

    @Test("a backup goes through the service and back")
    func backup() throws {
        try withService { path in
            let client = try ServiceClient(path)
            let state = try client.ask(GetSettings())
            _ = try client.ask(SetSettings(text: changed(state.text, "a"), base: 0))
            let file = try client.ask(Backup())
            _ = try client.ask(FactoryReset())
            #expect(try client.ask(Restore(file.bytes)) == 3)
            #expect(try client.ask(GetSettings()).text == changed(state.text, "a"))
            #expect(throws: ServiceError.refused(.init(.invalid, "the backup is damaged"))) {
                try client.ask(Restore(Array(file.bytes.dropLast())))
            }
        }
    }

    @Test("a host without boot banks says so, and confirming its start is no error")
    func withoutBanks() throws {
        try withService { path in
            let client = try ServiceClient(path)
            for refused in [
                { _ = try client.ask(GetBanks()) }, { _ = try client.ask(BeginUpdate(size: 10)) },
            ] {
                #expect(
                    throws: ServiceError.refused(
                        .init(.notSupported, "this host was not started from a medium with boot banks"))
                ) { try refused() }
            }
            #expect(try client.ask(ConfirmBoot()) == "this host was not started from a boot bank")
            #expect(throws: ServiceError.refused(.init(.badState, "no update of yours is under way"))) {
                try client.ask(UpdateData([1]))
            }
        }
    }
}
