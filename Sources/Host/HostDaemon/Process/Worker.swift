import Linux
import Synchronization

/// A thread for work that takes its time, so that the loop does not wait: hashing passwords, reading disks. One thing after
/// another; results come back on the loop's thread.
final class Worker: Sendable {
    private struct State {
        var jobs: [@Sendable () -> Void] = []
        var isStopped = false
    }

    private let loop: EventLoop
    private let state = Mutex(State())
    private let wakeUp = Semaphore()

    init(name: String, for loop: EventLoop) throws(SystemError) {
        self.loop = loop
        _ = try Thread(name: name) { [self] in work() }
    }

    /// Does `job` on the worker's thread, then `then` on the loop's.
    func run<Result: Sendable>(_ job: @escaping @Sendable () -> Result, then: @escaping (Result) -> Void) {
        let then = OnLoop(then)
        state.withLock { state in
            state.jobs.append { [loop] in
                let result = job()
                loop.perform { then.value(result) }
            }
        }
        wakeUp.signal()
    }

    /// Ends the thread after the job it has in hand; the others are dropped.
    func stop() {
        state.withLock { $0.isStopped = true }
        wakeUp.signal()
    }

    private func work() {
        while true {
            wakeUp.wait()
            let (job, isStopped) = state.withLock { state in
                (state.jobs.isEmpty ? nil : state.jobs.removeFirst(), state.isStopped)
            }
            if isStopped { return }
            job?()
        }
    }
}

/// Something that is used on the loop's thread only, carried there by another one.
struct OnLoop<Value>: @unchecked Sendable {
    // @unchecked: whoever carries it does not look inside.
    let value: Value
    init(_ value: Value) { self.value = value }
}
