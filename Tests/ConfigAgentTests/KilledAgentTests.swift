import ConfigService
import HostLink
import HostModel
import Linux
import TestFiles
import Testing

@testable import ConfigAgent

/// The real process, ended without warning.
@Suite("The configuration agent is killed")
struct KilledAgentTests {
    /// The product beside the test program; nil if only the tests were built.
    private static let program: String? = {
        guard let tests = try? FileSystem.linkTarget("/proc/self/exe") else { return nil }
        let path = Files.directory(of: tests) + "/wafer"
        return fileExists(path) ? path : nil
    }()

    @Test(
        "SIGKILL at any moment leaves settings that were acknowledged, or the one change that was not",
        .enabled(if: program != nil, "wafer was not built beside the tests"))
    func killing() throws {
        let program = try #require(Self.program)
        try withTemporaryDirectory { directory in
            let socket = "\(directory)/config.sock"
            var acknowledged = "localhost"
            var attempted = acknowledged
            for round in 0..<20 {
                let process = try start(program, ["configd", "--socket", socket, "--state", "\(directory)/state"])
                defer {
                    Child.signal(process, 9)
                    #expect((try? Child.wait(for: process)) == .signalled(9))
                }
                let client = try #require(connected(to: socket))
                var state = try client.ask(GetSettings())
                let name = SettingsText.decode(state.text, as: HostSettings.self).0.hostName
                #expect(name == acknowledged || name == attempted, "round \(round)")
                // A save that was cut off is said to be one; nothing else may be wrong.
                let interrupted =
                    "the last change of the settings was not saved to its end; the settings before it are in use"
                #expect(state.warnings.allSatisfy { $0 == interrupted }, "\(state.warnings)")
                acknowledged = name
                for change in 0..<3 {
                    attempted = "host-\(round)-\(change)"
                    var editor = SettingsEditor(state.text)
                    editor.set("hostName", attempted)
                    let call = SetSettings(text: editor.text, base: state.revision)
                    // Nobody waits for the last one: the kill comes while it is on its way, being saved, or done.
                    if change == 2 {
                        _ = try? client.ask(call, milliseconds: round % 4)
                    } else {
                        state = SettingsState(revision: try client.ask(call), text: editor.text, warnings: [])
                        acknowledged = attempted
                    }
                }
            }
        }
    }

    private func connected(to socket: String) -> ServiceClient? {
        let limit = monotonicNanoseconds() + 30_000_000_000
        while monotonicNanoseconds() < limit {
            if let client = try? ServiceClient(socket) { return client }
            _ = try? poll([], milliseconds: 10)
        }
        return nil
    }
}
