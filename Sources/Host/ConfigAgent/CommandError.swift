import HostLink
import Linux

/// Why a command did not do what it should.
enum CommandError: Error {
    case service(ServiceError)
    case file(SystemError)
}

/// What commands of this agent have in common: texts and exit statuses.
enum Report {
    /// Runs a command: explains it if that is asked for, and takes `--socket PATH` from its words.
    ///
    /// - Parameter body: gets the other words and where the agent is; says false for wrong usage.
    static func run(
        _ name: String, _ usage: String, _ arguments: [String],
        _ body: (_ words: ArraySlice<String>, _ socket: String) throws(CommandError) -> Bool
    ) -> Int32 {
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
        do throws(CommandError) {
            if try body(words, socket) { return 0 }
            writeToStandardError(usage)
            return 64
        } catch {
            switch error {
            case .service(.refused(let refusal)):
                writeToStandardError("\(name): \(refusal.text)\n")
                return 1
            case .service(let error):
                writeToStandardError("\(name): \(error)\n")
                return 69
            case .file(let error):
                writeToStandardError("\(name): \(error)\n")
                return 74
            }
        }
    }

    static func asking<Answer>(_ body: () throws(ServiceError) -> Answer) throws(CommandError) -> Answer {
        do { return try body() } catch { throw .service(error) }
    }
}
