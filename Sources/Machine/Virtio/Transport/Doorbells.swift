import DeviceModel
import Linux
import Synchronization

/// Which doorbells the kernel rings for us, and where. Follows the BAR.
final class Doorbells: Sendable {
    private struct State {
        /// Where the first doorbell is; nil while the BAR answers nowhere.
        var base: UInt64?
        /// Where each queue's doorbell is bound.
        var bound: [UInt64?]
        /// Which queues want theirs bound.
        var wanted: [Bool]
    }

    private let queues: [VirtioQueue]
    /// The doorbells' descriptors once more: ringing them this way counts no references.
    private let numbers: [CInt]
    private let binder: (any DoorbellBinder)?
    private let state: Mutex<State>

    init(_ queues: [VirtioQueue], _ binder: (any DoorbellBinder)?) {
        self.queues = queues
        numbers = queues.map(\.doorbell.raw)
        self.binder = binder
        state = Mutex(
            State(
                bound: Array(repeating: nil, count: queues.count), wanted: Array(repeating: false, count: queues.count))
        )
    }

    /// Rings a doorbell that the kernel did not; nothing happens if there is no such queue.
    func ring(_ index: Int) {
        if index >= 0, index < numbers.count { EventFD.signal(raw: numbers[index]) }
    }

    func bind(_ index: Int) {
        state.withLock { state in
            state.wanted[index] = true
            update(index, &state)
        }
    }

    func unbind(_ index: Int) {
        state.withLock { state in
            state.wanted[index] = false
            update(index, &state)
        }
    }

    func unbindAll() {
        for index in queues.indices { unbind(index) }
    }

    func move(to base: UInt64?) {
        state.withLock { state in
            state.base = base
            for index in queues.indices { update(index, &state) }
        }
    }

    private func update(_ index: Int, _ state: inout State) {
        guard let binder else { return }
        let place = state.wanted[index] ? state.base.map { $0 + UInt64(index) * VirtioPCILayout.notifyMultiplier } : nil
        if state.bound[index] == place { return }
        if let before = state.bound[index] { binder.unbind(queues[index].doorbell, at: before) }
        state.bound[index] = nil
        // A doorbell that cannot be bound still works: the write comes to the function, which rings it.
        if let place, (try? binder.bind(queues[index].doorbell, at: place)) != nil { state.bound[index] = place }
    }
}
