import ConfigService
import HostLink
import HostModel
import Linux

/// `wafer settings`: looks at and changes the host's settings.
public enum SettingsCommand {
    static let usage = """
        usage: wafer settings [--socket PATH] COMMAND

        Looks at and changes the settings of this host.

          get [PATH]           all settings, or those whose path begins so: a line PATH = "VALUE" each
          set PATH VALUE ...   changes values, all of them or none; lists by number, such as machines[0].file
          unset PATH ...       takes values and list members away
          backup FILE          writes all settings to a file
          restore FILE         replaces all settings by those of a backup
          reset                puts everything back to its default
          banks                what the boot banks hold and which one starts

        Exit status: 0 done, 1 refused, 64 wrong usage, 69 the configuration agent does not answer, 74 a file cannot be used.

        """

    public static func run(_ arguments: [String]) -> Int32 {
        if arguments.first.map({ ["--help", "-h", "help"].contains($0) }) ?? false {
            writeToStandardOutput(usage)
            return 0
        }
        var words = arguments[...]
        var socket = ServiceAddress.configuration
        if words.first == "--socket" {
            socket = words.dropFirst().first ?? socket
            words = words.dropFirst(2)
        }
        return Report.run("wafer settings", usage) { () throws(CommandError) in
            let client = try Report.asking { () throws(ServiceError) in try ServiceClient(socket) }
            return try command(words, client)
        }
    }

    private static func command(_ words: ArraySlice<String>, _ client: ServiceClient) throws(CommandError) -> Bool {
        let rest = Array(words.dropFirst())
        switch (words.first, rest.count) {
        case ("get", 0...1):
            let state = try ask(client, GetSettings())
            for warning in state.warnings { writeToStandardError("warning: \(warning)\n") }
            for line in state.text.split(separator: "\n") where line.hasPrefix(rest.first ?? "") {
                writeToStandardOutput("\(line)\n")
            }
        case ("set", 2...) where rest.count.isMultiple(of: 2):
            try edit(client) { editor in
                for index in stride(from: 0, to: rest.count, by: 2) { editor.set(rest[index], rest[index + 1]) }
            }
        case ("unset", 1...): try edit(client) { editor in rest.forEach { editor.unset($0) } }
        case ("backup", 1):
            let file = try ask(client, Backup())
            do { try Files.replace(rest[0], with: file.bytes, permissions: 0o600) } catch { throw .file(error) }
        case ("restore", 1):
            let bytes: [UInt8]
            do { bytes = try readFile(rest[0], limit: ConfigService.bytesMax) } catch { throw .file(error) }
            _ = try ask(client, Restore(bytes))
        case ("reset", 0): _ = try ask(client, FactoryReset())
        case ("banks", 0): print(try ask(client, GetBanks()))
        default: return false
        }
        return true
    }

    private static func ask<Call: ServiceCall>(
        _ client: ServiceClient, _ call: Call
    ) throws(CommandError) -> Call.Answer {
        try Report.asking { () throws(ServiceError) in try client.ask(call, milliseconds: 60_000) }
    }

    private static func edit(_ client: ServiceClient, _ body: (inout SettingsEditor) -> Void) throws(CommandError) {
        let state = try ask(client, GetSettings())
        var editor = SettingsEditor(state.text)
        body(&editor)
        _ = try ask(client, SetSettings(text: editor.text, base: state.revision))
    }

    private static func print(_ status: BankStatus) {
        for bank in status.banks {
            var words: [String] = []
            if bank.name == status.running { words.append(status.isTrial ? "running, on trial" : "running") }
            if bank.name == status.standard { words.append("standard") }
            if bank.name == status.next { words.append("tried at the next start") }
            let version = bank.version.isEmpty ? "empty" : "\(bank.version) \(bank.build)"
            writeToStandardOutput(
                "bank \(bank.name): \(version)\(words.isEmpty ? "" : " (\(words.joined(separator: ", ")))")\n")
        }
    }
}
