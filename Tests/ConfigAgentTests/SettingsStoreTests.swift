import ConfigService
import HostLink
import HostModel
import SimulatedDisk
import StateArea
import Testing

@testable import ConfigAgent

@Suite("Keeping the settings")
struct SettingsStoreTests {
    private let disk = SimulatedDisk(size: Int(StateArea.sizeMin))

    private func store(_ disk: SimulatedDisk) throws -> SettingsStore { SettingsStore(try StateArea(disk)) }

    private func text(_ name: String) -> String {
        var settings = HostSettings()
        settings.hostName = name
        return SettingsText.encode(settings)
    }

    @Test("a host without saved settings has the defaults; what is set is there after a restart")
    func saving() throws {
        let first = try store(disk)
        #expect(first.state == SettingsState(revision: 0, text: SettingsText.encode(HostSettings()), warnings: []))
        try first.set(text("web"), base: 0)
        #expect(first.revision == 1)
        let second = try store(disk)
        #expect(second.settings.hostName == "web")
        #expect(second.revision == 1)
        #expect(second.state.warnings.isEmpty)
    }

    @Test("a change based on old settings is refused as busy, and changes nothing")
    func conflict() throws {
        let store = try store(disk)
        try store.set(text("a"), base: 0)
        let refusal = ServiceError.Refusal(.busy, "the settings were changed meanwhile; look at them again")
        #expect(throws: refusal) { try store.set(text("b"), base: 0) }
        #expect(store.settings.hostName == "a")
        try store.set(text("b"), base: 1)
        #expect(store.settings.hostName == "b")
    }

    @Test("settings with an unusable or unknown line are refused with it, and nothing is written")
    func invalid() throws {
        let store = try store(disk)
        try store.set(text("a"), base: 0)
        let before = disk.writeCount
        for line in ["console.idleTimeout = \"soon\"\n", "nonsense = \"1\"\n", "no line at all\n"] {
            #expect(throws: ServiceError.Refusal.self) { try store.set(text("b") + line, base: 1) }
        }
        #expect(disk.writeCount == before)
        #expect(store.settings.hostName == "a")
    }

    @Test("setting what is set already writes nothing and keeps the revision")
    func unchanged() throws {
        let store = try store(disk)
        try store.set(text("a"), base: 0)
        let before = disk.writeCount
        try store.set(text("a"), base: 1)
        #expect(store.revision == 1)
        #expect(disk.writeCount == before)
    }

    @Test("a backup brings back every setting, on another host as well")
    func backup() throws {
        let store = try store(disk)
        try store.set(text("a"), base: 0)
        let file = store.backup()
        try store.reset()
        #expect(store.settings == HostSettings())
        try store.restore(file)
        #expect(store.settings.hostName == "a")
        let other = SettingsStore(try StateArea(SimulatedDisk(size: Int(StateArea.sizeMin))))
        try other.restore(file)
        #expect(other.text == store.text)
    }

    @Test("a backup with any bit changed is refused, and so are other files; nothing changes")
    func damagedBackup() throws {
        let store = try store(disk)
        try store.set(text("a"), base: 0)
        let file = store.backup()
        for place in stride(from: 0, to: file.count, by: 3) {
            var damaged = file
            damaged[place] ^= 4
            #expect(throws: ServiceError.Refusal.self) { try store.restore(damaged) }
        }
        for other in [[], Array("wafer-backup 1\n".utf8), Array(file.dropLast()), file + [10]] as [[UInt8]] {
            #expect(throws: ServiceError.Refusal.self) { try store.restore(other) }
        }
        #expect(throws: ServiceError.Refusal.self) { try store.restore(BackupFile.make("nonsense = \"1\"\n")) }
        #expect(store.revision == 1)
    }

    @Test("the factory reset is kept")
    func reset() throws {
        let first = try store(disk)
        try first.set(text("a"), base: 0)
        try first.reset()
        #expect(try store(disk).settings == HostSettings())
    }

    @Test("a disk that fails leaves the settings as they were, and says why")
    func failure() throws {
        let store = try store(disk)
        try store.set(text("a"), base: 0)
        disk.operationsLeft = 1
        #expect(throws: ServiceError.Refusal.self) { try store.set(text("b"), base: 1) }
        #expect(store.settings.hostName == "a")
        #expect(store.state.text == text("a"))
    }

    @Test("a power cut at any write of a change leaves the old or the new settings")
    func powerCuts() throws {
        try store(disk).set(text("old"), base: 0)
        let before = disk.copy()
        try store(before).set(text("new"), base: 1)
        var found: Set<String> = []
        try before.forEachPowerCut(tearing: true) { disk, cut in
            let name = try store(disk).settings.hostName
            #expect(name == "old" || name == "new", "\(cut)")
            found.insert(name)
        }
        #expect(found == ["old", "new"])
    }

    @Test("saved lines that this version does not know are named, and the rest is used")
    func laterVersion() throws {
        try StateArea(disk).save(Array("hostName = \"a\"\nfuture.thing = \"1\"\n".utf8))
        let store = try store(disk)
        #expect(store.settings.hostName == "a")
        #expect(store.state.warnings == ["the saved settings: line 2: future.thing is unknown"])
        #expect(disk.writeCount > 0)
    }

    @Test("single values are set and taken away; a list without members is empty, not the default")
    func editing() throws {
        var settings = HostSettings()
        settings.time.servers = ["a", "b"]
        var editor = SettingsEditor(SettingsText.encode(settings))
        editor.set("hostName", "we\"b")
        editor.set("machines[0].file", "/vmfs/x.vmx")
        editor.unset("time.servers[0]")
        editor.unset("time.servers[1]")
        editor.unset("network.portGroups[0]")
        editor.unset("network.portGroups[1]")
        let (read, problems) = SettingsText.decode(editor.text, as: HostSettings.self)
        #expect(problems.isEmpty)
        #expect(read.hostName == "we\"b")
        #expect(read.machines.map(\.file) == ["/vmfs/x.vmx"])
        #expect(read.time.servers == [])
        #expect(read.network.portGroups == [])
    }
}
