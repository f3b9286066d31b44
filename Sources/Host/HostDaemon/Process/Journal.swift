import HostLink
import HostModel
import Linux

/// What happens on the host: kept, told to those who watch, and logged.
final class Journal {
    // Belongs to the loop's thread.

    private var events = EventRing()
    private var list = TaskList()
    /// Tells those who watch.
    var announce: ((HostEvent) -> Void)?
    /// Writes to the log.
    var log: (HostEvent) -> Void = { event in
        let who = event.user.isEmpty ? "" : " (\(event.user))"
        writeToStandardError("wafer hostd: \(event.text)\(who)\n")
    }

    var tasks: [HostTask] { list.all }

    func after(_ number: UInt64, limit: Int) -> [HostEvent] { events.after(number, limit: limit) }

    /// Something happened.
    func add(_ severity: HostEvent.Severity, by user: String = "", subject: String = "", _ text: String) {
        let event = events.append(
            HostEvent(time: wallClock().seconds, severity: severity, user: user, subject: subject, text))
        log(event)
        announce?(event)
    }

    func begin(_ name: String, subject: String, by user: String) -> UInt64 {
        list.begin(name, subject: subject, user: user, now: wallClock().seconds)
    }

    func end(_ task: UInt64, _ refusal: ServiceError.Refusal?) {
        list.end(task, failed: refusal?.text, now: wallClock().seconds)
    }
}
