import DeviceModel
import Linux
import Synchronization

/// The interrupts of a vmxnet3 card: each with a mask, and what waits behind it.
///
/// Any thread raises and masks; nothing here waits.
@safe final class VMXNET3Interrupts: @unchecked Sendable {
    // @unchecked: `function` is set once before the guest runs; the arrays are immutable or hold atomics.

    private enum State {
        static let masked: UInt8 = 1
        /// Raised while masked.
        static let pending: UInt8 = 2
    }

    private let states: UnsafeMutablePointer<Atomic<UInt8>>
    /// Numbers of the events that deliver MSI-X vectors; -1 where there is none.
    private let events: UnsafeMutablePointer<CInt>
    private let usesMessages = Atomic<Bool>(false)
    /// The interrupt masks itself when it is delivered, until the driver unmasks it.
    private let masksItself = Atomic<Bool>(false)
    private let wire = Mutex(false)
    unowned(unsafe) var function: PCIFunction?

    init(_ messages: (any MessageInterrupts)?) {
        unsafe states = .allocate(capacity: VMXNET3.interruptsMax)
        unsafe events = .allocate(capacity: VMXNET3.interruptsMax)
        for index in 0..<VMXNET3.interruptsMax {
            unsafe (states + index).initialize(to: Atomic(State.masked))
            var event: CInt = -1
            if let messages, index < messages.vectorCount { event = messages.event(index).raw }
            unsafe events[index] = event
        }
    }

    deinit {
        unsafe states.deinitialize(count: VMXNET3.interruptsMax)
        unsafe states.deallocate()
        unsafe events.deallocate()
    }

    /// The driver's configuration holds from now on.
    func configure(masksItself: Bool) { self.masksItself.store(masksItself, ordering: .relaxed) }

    func setUsesMessages(_ on: Bool) { usesMessages.store(on, ordering: .relaxed) }

    /// All are masked, and nothing waits.
    func reset() {
        for index in 0..<VMXNET3.interruptsMax {
            unsafe states[index].store(State.masked, ordering: .sequentiallyConsistent)
        }
        configure(masksItself: false)
        _ = takeCause()
    }

    /// Interrupts the guest, now or once it unmasks the interrupt.
    ///
    /// - Parameter isHeld: the driver wants no interrupts at all just now.
    @inline(__always)
    func raise(_ index: Int, isHeld: Bool = false) {
        guard index >= 0, index < VMXNET3.interruptsMax else { return }
        let next = masksItself.load(ordering: .relaxed) ? State.masked : 0
        var state = unsafe states[index].load(ordering: .relaxed)
        while true {
            let isOpen = state & State.masked == 0 && !isHeld
            let (done, now) = unsafe states[index].compareExchange(
                expected: state, desired: isOpen ? next : state | State.pending, ordering: .sequentiallyConsistent)
            if done {
                if isOpen { deliver(index) }
                return
            }
            state = now
        }
    }

    func setMask(_ index: Int, _ on: Bool) {
        guard index >= 0, index < VMXNET3.interruptsMax else { return }
        if on {
            unsafe states[index].bitwiseOr(State.masked, ordering: .sequentiallyConsistent)
            return
        }
        let before = unsafe states[index].exchange(0, ordering: .sequentiallyConsistent)
        if before & State.pending != 0 { raise(index) }
    }

    func isMasked(_ index: Int) -> Bool {
        guard index >= 0, index < VMXNET3.interruptsMax else { return true }
        return unsafe states[index].load(ordering: .relaxed) & State.masked != 0
    }

    private func deliver(_ index: Int) {
        if usesMessages.load(ordering: .relaxed) {
            let event = unsafe events[index]
            if event >= 0 { EventFD.signal(raw: event) }
        } else {
            wire.withLock { isUp in
                isUp = true
                unsafe function?.setInterrupt(true)
            }
        }
    }

    /// Whether the wire was up, which it is no more: the driver asks whether an interrupt on a shared wire is its.
    func takeCause() -> Bool {
        wire.withLock { isUp in
            guard isUp else { return false }
            isUp = false
            unsafe function?.setInterrupt(false)
            return true
        }
    }
}
