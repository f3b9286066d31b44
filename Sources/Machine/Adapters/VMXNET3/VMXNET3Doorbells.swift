import DeviceModel
import Linux
import Synchronization

/// Which of a vmxnet3 card's doorbells the kernel rings, and where. Follows the BAR. From any thread.
final class VMXNET3Doorbells: Sendable {
    private struct State {
        /// Where the BAR is; nil while it answers nowhere.
        var base: UInt64?
        /// Each doorbell's offset and the port it is for.
        var wanted: [(offset: UInt64, port: Int)] = []
        var bound: [(place: DoorbellPlace, port: Int)] = []
    }

    private let events: [EventFD]
    private let binder: (any DoorbellBinder)?
    private let state = Mutex(State())

    /// - Parameter events: one a port.
    init(_ events: [EventFD], _ binder: (any DoorbellBinder)?) {
        self.events = events
        self.binder = binder
    }

    /// Binds these and unbinds all others.
    func bind(_ wanted: [(offset: UInt64, port: Int)]) {
        state.withLock { state in
            state.wanted = wanted
            update(&state)
        }
    }

    func move(to base: UInt64?) {
        state.withLock { state in
            state.base = base
            update(&state)
        }
    }

    private func update(_ state: inout State) {
        guard let binder else { return }
        for (place, port) in state.bound { binder.unbind(events[port], at: place) }
        state.bound = []
        guard let base = state.base else { return }
        for (offset, port) in state.wanted {
            let place = DoorbellPlace.memory(base &+ offset)
            // A doorbell that cannot be bound still works: the write comes to the function, which rings it.
            if (try? binder.bind(events[port], at: place)) != nil { state.bound.append((place, port)) }
        }
    }
}
