import NetEngine
import Synchronization

/// What the guest and the host set about a network device while its queues run. From any thread.
final class NetSettings: Sendable {
    private let present: Mutex<NetFilter>
    private let generation = Atomic<UInt32>(1)
    private let link: Atomic<Bool>

    init(_ filter: NetFilter, linkUp: Bool) {
        present = Mutex(filter)
        link = Atomic(linkUp)
    }

    var filter: NetFilter { present.withLock { $0 } }

    /// Changes the filter; queues notice with their next work.
    func updateFilter(_ change: (inout NetFilter) -> Void) -> NetFilter {
        present.withLock { filter in
            change(&filter)
            generation.add(1, ordering: .releasing)
            return filter
        }
    }

    /// Brings a queue's copy up to date; takes the lock only after a change.
    @inline(__always)
    func refresh(_ copy: inout NetFilter, _ seen: inout UInt32) {
        let now = generation.load(ordering: .acquiring)
        if now == seen { return }
        copy = filter
        seen = now
    }

    /// Whether the virtual cable is plugged in.
    var isLinkUp: Bool {
        get { link.load(ordering: .relaxed) }
        set { link.store(newValue, ordering: .relaxed) }
    }
}
