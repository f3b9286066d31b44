import DeviceModel
import Linux
import Synchronization

/// Which doorbells the kernel rings for us, and where. Follows the BAR.
final class Doorbells: Sendable {
    private struct State {
        /// Where the first doorbell is; nil while the BAR answers nowhere.
        var memory: UInt64?
        var ports: UInt64?
        /// Where each queue's doorbells are bound.
        var bound: [[DoorbellPlace]]
        /// Which queues want theirs bound.
        var wanted: [Bool]

        /// Where the queue's doorbells are now.
        func places(_ index: Int) -> [DoorbellPlace] {
            guard wanted[index] else { return [] }
            var places: [DoorbellPlace] = []
            if let memory { places.append(.memory(memory + UInt64(index) * VirtioPCILayout.notifyMultiplier)) }
            if let ports, let port = UInt16(exactly: ports + UInt64(index) * VirtioPCILayout.portMultiplier) {
                places.append(.port(port))
            }
            return places
        }
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
                bound: Array(repeating: [], count: queues.count), wanted: Array(repeating: false, count: queues.count))
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

    /// The doorbells in memory are there now.
    func move(memory base: UInt64?) {
        state.withLock { state in
            state.memory = base
            for index in queues.indices { update(index, &state) }
        }
    }

    /// The doorbells that are ports are there now.
    func move(ports base: UInt64?) {
        state.withLock { state in
            state.ports = base
            for index in queues.indices { update(index, &state) }
        }
    }

    private func update(_ index: Int, _ state: inout State) {
        guard let binder else { return }
        let places = state.places(index)
        let doorbell = queues[index].doorbell
        for place in state.bound[index] where !places.contains(place) { binder.unbind(doorbell, at: place) }
        // A doorbell that cannot be bound still works: the write comes to the function, which rings it.
        state.bound[index] = places.filter { place in
            state.bound[index].contains(place) || (try? binder.bind(doorbell, at: place)) != nil
        }
    }
}
