import HostLink
import HostModel
import Linux
import Log

/// What happens on the host: kept, told to those who watch, and logged.
final class Journal {
    // Belongs to the loop's thread.

    private var events = EventRing()
    private var list = TaskList()
    /// Tells those who watch.
    var announce: ((HostEvent) -> Void)?
    /// Writes to the log of a component.
    var log: (HostEvent, _ component: String) -> Void = { event, component in
        // Who logs in is what the text is about.
        let who = event.user.isEmpty || component == logins ? "" : " (\(event.user))"
        messages.write(severity(event), event.text + who, as: component)
    }
    private static let messages = Log("hostd")
    /// The component whose log tells who came in and who did not.
    static let logins = "auth"

    private static func severity(_ event: HostEvent) -> LogSeverity {
        switch event.severity {
        case .info: .info
        case .warning: .warning
        case .error: .error
        }
    }

    var tasks: [HostTask] { list.all }

    func after(_ number: UInt64, limit: Int) -> [HostEvent] { events.after(number, limit: limit) }

    /// Something happened.
    ///
    /// - Parameter component: whose log it goes to.
    func add(
        _ severity: HostEvent.Severity, by user: String = "", subject: String = "", component: String = "hostd",
        _ text: String
    ) {
        let event = events.append(
            HostEvent(time: wallClock().seconds, severity: severity, user: user, subject: subject, text))
        log(event, component)
        announce?(event)
    }

    func begin(_ name: String, subject: String, by user: String) -> UInt64 {
        list.begin(name, subject: subject, user: user, now: wallClock().seconds)
    }

    func end(_ task: UInt64, _ refusal: ServiceError.Refusal?) {
        list.end(task, failed: refusal?.text, now: wallClock().seconds)
    }
}
