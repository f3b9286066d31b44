import HostLink
import Linux

/// Why a command did not do what it should.
enum CommandError: Error {
    case service(ServiceError)
    case file(SystemError)
}

/// What commands of this agent have in common: texts and exit statuses.
enum Report {
    /// Runs a command; `body` says false for wrong usage.
    static func run(_ name: String, _ usage: String, _ body: () throws(CommandError) -> Bool) -> Int32 {
        do throws(CommandError) {
            if try body() { return 0 }
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
