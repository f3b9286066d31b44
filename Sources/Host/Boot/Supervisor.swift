import Linux

/// Keeps the host's agents running: one that ends with an error is started again, ever later if it keeps failing.
final class Supervisor {
    private final class Service {
        let arguments: [String]
        var process: Int32?
        var startAt: UInt64? = 0
        var startedAt: UInt64 = 0
        var failures: UInt64 = 0

        init(_ arguments: [String]) { self.arguments = arguments }
        var name: String { arguments.joined(separator: " ") }
    }

    private let console: Console
    private var services: [Service] = []
    private var isStopping = false

    init(console: Console) { self.console = console }

    /// Adds a service: the words of its command, started at the next `advance`.
    func add(_ arguments: [String]) {
        if !arguments.isEmpty { services.append(Service(arguments)) }
    }

    /// When the next start is due.
    var deadline: UInt64? { isStopping ? nil : services.compactMap(\.startAt).min() }

    /// Starts what is due.
    func advance() {
        guard !isStopping else { return }
        let now = monotonicNanoseconds()
        for service in services {
            guard let due = service.startAt, due <= now else { continue }
            service.startAt = nil
            service.startedAt = now
            do {
                service.process = try Launch(
                    path: ProcessDefaults.path(of: service.arguments[0]), arguments: service.arguments,
                    environment: ProcessDefaults.environment
                ).start()
            } catch {
                console.warn("\(error)")
                retryLater(service)
            }
        }
    }

    func childEnded(_ process: Int32, _ status: ExitStatus) {
        guard let service = services.first(where: { $0.process == process }) else { return }
        service.process = nil
        if isStopping { return }
        if status == .exited(0) {
            console.note("\(service.name) is done")
            return
        }
        // A minute of good work wipes out what was before.
        if monotonicNanoseconds() - service.startedAt > 60_000_000_000 { service.failures = 0 }
        retryLater(service)
        console.warn("\(service.name) \(status); starting it again")
    }

    /// Starts nothing any more.
    func stop() { isStopping = true }

    private func retryLater(_ service: Service) {
        let delay = min(UInt64(1_000_000_000) << min(service.failures, 5), 30_000_000_000)
        service.failures += 1
        service.startAt = monotonicNanoseconds() + delay
    }
}
