import Linux
import Synchronization

/// Asks services on a thread of its own, one question after another, so that the screen never waits.
final class ServiceWorker: Sendable {
    private let services: any ConsoleServices
    private let questions = Mutex<[ServiceRequest]>([])
    private let available = Semaphore()
    private let answered: @Sendable (ServiceRequest, ServiceAnswer) -> Void

    /// - Parameter answered: called on the worker's thread.
    init(
        _ services: any ConsoleServices, _ answered: @escaping @Sendable (ServiceRequest, ServiceAnswer) -> Void
    ) throws(SystemError) {
        self.services = services
        self.answered = answered
        // Lives as long as the process.
        _ = try Thread(name: "services") { [self] in
            while true {
                available.wait()
                guard let question = questions.withLock({ $0.isEmpty ? nil : $0.removeFirst() }) else { continue }
                self.answered(question, self.services.answer(question))
            }
        }
    }

    /// What a person asks goes before what the console asks by itself.
    func ask(_ request: ServiceRequest) {
        questions.withLock { questions in
            if request == .observe {
                questions.append(request)
            } else {
                questions.insert(request, at: questions.lastIndex { $0 != .observe }.map { $0 + 1 } ?? 0)
            }
        }
        available.signal()
    }
}
