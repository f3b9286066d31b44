import ConfigService
import HostLink
import HostModel
import Linux
import Messages
import TestFiles
import Testing

@testable import AgentLink

/// Keeps settings as the configuration agent does, on a loop of its own.
private final class Keeper: @unchecked Sendable {
    // @unchecked: belongs to its loop.

    let loop: EventLoop
    private var server: ServiceServer?
    private var settings: HostSettings
    private var revision: UInt64
    /// Changes that somebody else makes just before those that come.
    private var interventions: [String] = []

    init(_ path: String, _ settings: HostSettings = HostSettings(), revision: UInt64 = 5) throws {
        loop = try EventLoop(name: "keeper")
        self.settings = settings
        self.revision = revision
        let server = try ServiceServer(path: path, on: loop)
        server.on(WatchSettings.self) { [unowned self] _, peer in
            peer.wantsEvents = true
            return state
        }
        server.on(GetSettings.self) { [unowned self] _, _ in state }
        server.on(SetSettings.self) { [unowned self] (call, _) throws(ServiceError.Refusal) in
            if !interventions.isEmpty {
                self.settings.hostName = interventions.removeFirst()
                self.revision += 1
            }
            guard call.base == self.revision else { throw .init(.busy, "somebody else was faster") }
            self.settings = SettingsText.decode(call.text).0
            self.revision += 1
            self.server?.announce(ConfigService.settingsChanged, state)
            return self.revision
        }
        self.server = server
        try loop.start()
    }

    private var state: SettingsState {
        SettingsState(revision: revision, text: SettingsText.encode(settings), warnings: [])
    }

    func intervene(_ names: [String]) { loop.performAndWait { [self] in interventions = names } }

    /// - Returns: what is kept.
    func end() -> HostSettings {
        loop.performAndWait { [self] in
            server?.close()
            server = nil
        }
        loop.stop()
        return settings
    }
}

@Suite("Settings at the configuration agent")
struct SettingsChangeTests {
    /// Runs a loop until `body` calls what it gets, or for ten seconds.
    private func onLoop(_ body: (EventLoop, _ done: @escaping () -> Void) throws -> Void) throws {
        let loop = try EventLoop(name: "asker")
        let limit = try Timer(on: loop) {
            Issue.record("it did not come about")
            loop.stop()
        }
        limit.set(after: 10_000_000_000)
        try body(loop) { loop.stop() }
        loop.run()
        limit.close(on: loop)
    }

    @Test("a change that meets another one is made to what that one left")
    func conflict() throws {
        try withTemporaryDirectory { directory in
            let path = "\(directory)/config.sock"
            let keeper = try Keeper(path)
            keeper.intervene(["first", "second"])
            var refusal: ServiceError.Refusal?
            try onLoop { loop, done in
                let settings = try SettingsWatch(path, on: loop)
                // Held by what it calls, until it has called it.
                settings.changed = { _ in
                    settings.changed = nil
                    settings.change {
                        $0.console.idleTimeout = 77
                    } then: { result in
                        refusal = result
                        withExtendedLifetime(settings) { done() }
                    }
                }
            }
            let kept = keeper.end()
            #expect(refusal == nil)
            #expect(kept.hostName == "second" && kept.console.idleTimeout == 77)
        }
    }

    @Test("settings come when the agent does, and again when it comes back")
    func returns() throws {
        try withTemporaryDirectory { directory in
            let path = "\(directory)/config.sock"
            var seen: [String] = []
            try onLoop { loop, done in
                let settings = try SettingsWatch(path, on: loop)
                #expect(settings.current == nil)
                settings.change {
                    $0.hostName = "early"
                } then: {
                    seen.append($0.map { "\($0.reason)" } ?? "done")
                }
                var named = HostSettings()
                named.hostName = "one"
                var keeper: Keeper? = try Keeper(path, named)
                settings.changed = { now in
                    seen.append(now.hostName)
                    _ = keeper?.end()
                    guard now.hostName == "one" else { return withExtendedLifetime(settings) { done() } }
                    named.hostName = "two"
                    // It came back with an older state, as after a restore.
                    keeper = try? Keeper(path, named, revision: 2)
                }
            }
            #expect(seen == ["busy", "one", "two"])
        }
    }
}
