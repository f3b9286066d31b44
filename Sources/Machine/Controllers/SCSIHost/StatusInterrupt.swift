import DeviceModel
import Linux
import Synchronization

/// A function's interrupt that stands for bits of a status register, of which an enable register lets some through: on the wire it
/// is asserted as long as such a bit is set, as a message it is sent each time one is raised. From any thread.
final class StatusInterrupt: Sendable {
    private let status = Atomic<UInt32>(0)
    private let enabled = Atomic<UInt32>(0)
    private let usesMessages = Atomic<Bool>(false)
    /// Event of the message's vector; -1 without one.
    private let event: CInt
    private let wire = Mutex((level: false, set: { @Sendable (_: Bool) in }))

    /// - Parameter interrupts: the function's messages, of which the first vector is used.
    init(_ interrupts: (any MessageInterrupts)?) { event = interrupts?.event(0).raw ?? -1 }

    /// Sets what moves the wire; once before the guest runs.
    func connect(_ set: @escaping @Sendable (Bool) -> Void) { wire.withLock { $0.set = set } }

    /// Status bits that are set, let through or not.
    var bits: UInt32 { status.load(ordering: .sequentiallyConsistent) }
    var mask: UInt32 { enabled.load(ordering: .sequentiallyConsistent) }

    /// Sets status bits, and interrupts for them.
    func raise(_ bits: UInt32) {
        status.bitwiseOr(bits, ordering: .sequentiallyConsistent)
        if usesMessages.load(ordering: .sequentiallyConsistent) {
            if bits & mask != 0 { EventFD.signal(raw: event) }
        } else if bits & mask != 0 {
            updateWire()
        }
    }

    func clear(_ bits: UInt32) {
        let before = status.bitwiseAnd(~bits, ordering: .sequentiallyConsistent).oldValue
        if before & bits != 0 { updateWire() }
    }

    /// Chooses which bits interrupt.
    func enable(_ bits: UInt32) {
        enabled.store(bits, ordering: .sequentiallyConsistent)
        changed()
    }

    /// Whether the guest uses messages rather than the wire.
    func use(messages: Bool) {
        usesMessages.store(messages && event >= 0, ordering: .sequentiallyConsistent)
        changed()
    }

    func reset() {
        status.store(0, ordering: .sequentiallyConsistent)
        enabled.store(0, ordering: .sequentiallyConsistent)
        updateWire()
    }

    private func changed() {
        updateWire()
        if usesMessages.load(ordering: .sequentiallyConsistent), bits & mask != 0 { EventFD.signal(raw: event) }
    }

    /// Whoever changes what the level depends on calls this afterwards; the last caller sees all changes.
    private func updateWire() {
        wire.withLock { wire in
            let now = !usesMessages.load(ordering: .sequentiallyConsistent) && bits & mask != 0
            if now == wire.level { return }
            wire.level = now
            wire.set(now)
        }
    }
}
