import Synchronization

/// A queue of message addresses or replies between the guest's processors and the controller's loop, of fixed size. From any
/// thread.
@safe final class MPTQueue: @unchecked Sendable {
    // @unchecked: everything is under the lock.

    @safe private struct State: @unchecked Sendable {
        let entries: UnsafeMutablePointer<UInt32>
        var head = 0
        var count = 0
    }

    private let capacity: Int
    private let state: Mutex<State>

    init(capacity: Int) {
        self.capacity = capacity
        let entries = UnsafeMutablePointer<UInt32>.allocate(capacity: capacity)
        unsafe entries.initialize(repeating: 0, count: capacity)
        state = unsafe Mutex(State(entries: entries))
    }

    deinit { state.withLock { unsafe $0.entries.deallocate() } }

    /// - Returns: false if it is full.
    func put(_ value: UInt32) -> Bool {
        state.withLock { state in
            guard state.count < capacity else { return false }
            unsafe state.entries[(state.head &+ state.count) % capacity] = value
            state.count &+= 1
            return true
        }
    }

    /// The oldest; nil if it is empty.
    func take() -> UInt32? { take { _ in } }

    /// The oldest; nil if it is empty.
    ///
    /// - Parameter body: is told, under the lock, whether there is nothing left.
    func take(_ body: (_ isEmpty: Bool) -> Void) -> UInt32? {
        state.withLock { state in
            guard state.count > 0 else {
                body(true)
                return nil
            }
            let value = unsafe state.entries[state.head]
            state.head = (state.head &+ 1) % capacity
            state.count &-= 1
            body(state.count == 0)
            return value
        }
    }

    var isEmpty: Bool { state.withLock { $0.count == 0 } }

    func clear() {
        state.withLock { state in
            state.head = 0
            state.count = 0
        }
    }

    /// What is in it, the oldest first: what a snapshot saves.
    var contents: [UInt32] {
        state.withLock { state in
            (0..<state.count).map { unsafe state.entries[(state.head &+ $0) % capacity] }
        }
    }
}
