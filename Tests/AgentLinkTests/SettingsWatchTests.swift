import ConfigService
import HostLink
import HostModel
import Linux
import NetworkService
import TestFiles
import Testing

@testable import AgentLink

@Suite("What agents know from other agents")
struct AgentLinkTests {
    /// Runs the loop until the condition holds, for ten seconds at most.
    private func run(_ loop: EventLoop, until condition: @escaping () -> Bool) throws {
        let limit = monotonicNanoseconds() + 10_000_000_000
        let look = try Timer(on: loop) { if condition() || monotonicNanoseconds() > limit { loop.stop() } }
        look.set(after: 1, every: 5_000_000)
        loop.run()
        look.close(on: loop)
        #expect(condition())
    }

    private func configuration(_ path: String, _ hostName: String, on loop: EventLoop) throws -> ServiceServer {
        let server = try ServiceServer(path: path, on: loop)
        server.on(WatchSettings.self) { (_, peer) throws(ServiceError.Refusal) in
            peer.wantsEvents = true
            var settings = HostSettings()
            settings.hostName = hostName
            return SettingsState(revision: 1, text: SettingsText.encode(settings), warnings: [])
        }
        return server
    }

    @Test("settings come when their agent comes, when they change, and after it was gone; the same ones come once")
    func settings() throws {
        try withTemporaryDirectory { directory in
            let path = "\(directory)/config.sock"
            let loop = try EventLoop(name: "test")
            var names: [String] = []
            let watch = try SettingsWatch(path, on: loop) { names.append($0.hostName) }
            var server = try configuration(path, "one", on: loop)
            try run(loop) { names == ["one"] }
            var changed = HostSettings()
            changed.hostName = "two"
            let text = SettingsText.encode(changed)
            server.announce(
                ConfigService.settingsChanged, SettingsState(revision: 2, text: text, warnings: []))
            try run(loop) { names == ["one", "two"] }
            server.close()
            server = try configuration(path, "two", on: loop)
            try run(loop) { watch.isConnected }
            server.close()
            server = try configuration(path, "three", on: loop)
            try run(loop) { names == ["one", "two", "three"] }
            watch.close()
            server.close()
        }
    }

    @Test("a name is known a moment after it was asked for, an address at once")
    func names() throws {
        try withTemporaryDirectory { directory in
            let path = "\(directory)/net.sock"
            let loop = try EventLoop(name: "test")
            let cache = NameCache(path, on: loop)
            #expect(cache.peer("10.1.2.3", port: 5)?.description == "10.1.2.3:5")
            // Nobody answers yet.
            #expect(cache.peer("logs", port: 514) == nil)
            var questions = 0
            let server = try ServiceServer(path: path, on: loop)
            server.on(Resolve.self) { (call, _) throws(ServiceError.Refusal) in
                questions += 1
                return call.name == "logs" ? ["10.9.8.7"] : []
            }
            try run(loop) { cache.peer("logs", port: 514)?.description == "10.9.8.7:514" }
            #expect(questions == 1)
            server.close()
        }
    }
}
