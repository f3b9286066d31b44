import DeviceModel
import Linux
import Synchronization

/// What a controller's queues share.
final class NVMeShared: Sendable {
    let doorbells: NVMeDoorbells
    /// Whether completed writes may sit in a volatile cache.
    let isWriteback = Atomic<Bool>(true)
    /// The guest uses MSI-X rather than the wire.
    let usesMessages = Atomic<Bool>(false)
    private let vectorMask = Atomic<UInt32>(0)
    private let wire = Mutex<Bool>(false)

    init(_ doorbells: NVMeDoorbells) { self.doorbells = doorbells }

    /// Sets which vectors the driver masked; for the wire only.
    func setMask(_ mask: UInt32) { vectorMask.store(mask, ordering: .sequentiallyConsistent) }

    /// Works out the level of the wire anew, and sets it through `set` if it changed.
    ///
    /// Whoever changes what it depends on calls this afterwards; the last caller sees all changes.
    func updateWire(_ set: (Bool) -> Void) {
        wire.withLock { level in
            let mask = vectorMask.load(ordering: .sequentiallyConsistent)
            let now = !usesMessages.load(ordering: .sequentiallyConsistent) && doorbells.hasUnseen(~mask)
            if now == level { return }
            level = now
            set(now)
        }
    }
}
