public import Linux
import SavedState
import Synchronization

/// The MSI-X capability, vector table and pending bits of a function (PCI Local Bus 3.0, section 6.8.2).
public final class MSIX: Sendable {
    private struct Vector: FieldCoded {
        var address: UInt64 = 0
        var data: UInt32 = 0
        /// Bit 0 masks the vector; it is set out of reset.
        var control: UInt32 = 1
        /// Saved state only: a signal waits in the vector's event. Otherwise the event itself knows.
        var isPending = false

        mutating func code(_ coder: inout FieldCoder) {
            coder.field(&address, "vector address")
            coder.field(&data, "vector data")
            coder.field(&control, "vector control")
            coder.field(&isPending, "vector pending")
            control &= 1
        }
    }

    private struct State {
        var vectors: [Vector]
        var enabled = false
        var functionMasked = false
        /// No vector reaches the guest for now.
        var isHeld = false
    }

    /// Capability identifier.
    public static let capability: UInt8 = 0x11
    /// Where the pending bits begin in the BAR; the table is at 0.
    static let pendingOffset: UInt64 = 0x8000
    /// Size of the BAR that holds both: room for 2048 vectors.
    public static let barSize: UInt64 = 0x10000

    private let interrupts: any MessageInterrupts
    private let state: Mutex<State>
    public let vectorCount: Int

    public init(_ interrupts: any MessageInterrupts) {
        self.interrupts = interrupts
        vectorCount = interrupts.vectorCount
        state = Mutex(State(vectors: Array(repeating: Vector(), count: interrupts.vectorCount)))
    }

    /// Whether the guest has switched the function from INTx to MSI-X.
    public var isEnabled: Bool { state.withLock { $0.enabled } }

    /// The event of a vector, for whoever signals it; nil if there is no such vector.
    public func event(_ vector: Int) -> EventFD? {
        vector >= 0 && vector < vectorCount ? interrupts.event(vector) : nil
    }

    /// The capability's body for a table in `bar`.
    func capabilityBody(bar: Int) -> (body: [UInt8], writable: [UInt8]) {
        let control = UInt16(truncatingIfNeeded: vectorCount - 1)
        let pending = UInt32(truncatingIfNeeded: Self.pendingOffset) | UInt32(bar)
        var body = [UInt8(truncatingIfNeeded: control), UInt8(truncatingIfNeeded: control >> 8)]
        for word in [UInt32(bar), pending] {
            for byte in 0..<4 { body.append(UInt8(truncatingIfNeeded: word >> (8 * UInt32(byte)))) }
        }
        // Message control: bit 15 enables, bit 14 masks the whole function.
        return (body, [0, 0xc0])
    }

    /// The guest wrote message control.
    func setControl(_ control: UInt16) {
        state.withLock { state in
            state.enabled = control & 0x8000 != 0
            state.functionMasked = control & 0x4000 != 0
            for index in state.vectors.indices { route(index, state) }
        }
    }

    func reset() {
        state.withLock { state in
            state.vectors = Array(repeating: Vector(), count: vectorCount)
            state.enabled = false
            state.functionMasked = false
            for index in state.vectors.indices { route(index, state) }
        }
    }

    /// Keeps every signal from now on as a pending bit, until `release`. When this returns, signals of before have reached the guest's
    /// interrupt controller.
    func hold() { setHeld(true) }

    func release() { setHeld(false) }

    private func setHeld(_ on: Bool) {
        state.withLock { state in
            guard state.isHeld != on else { return }
            state.isHeld = on
            for index in state.vectors.indices { route(index, state) }
        }
    }

    /// The table and the pending bits. While held, so that none is lost between the two. The control register is the configuration space's.
    func code(_ coder: inout FieldCoder) {
        state.withLock { state in
            var vectors = state.vectors
            if !coder.isReading {
                for index in vectors.indices { vectors[index].isPending = interrupts.event(index).isSignalled }
            }
            coder.list(&vectors, limit: 2048, "vectors")
            coder.check(vectors.count == vectorCount, "\(vectors.count) vectors, this machine has \(vectorCount)")
            guard coder.isReading, coder.failure == nil else { return }
            for (index, vector) in vectors.enumerated() {
                interrupts.event(index).drain()
                if vector.isPending { interrupts.event(index).signal() }
            }
            state.vectors = vectors
        }
    }

    private func route(_ index: Int, _ state: State) {
        let vector = state.vectors[index]
        let open = !state.isHeld && state.enabled && !state.functionMasked && vector.control & 1 == 0
        interrupts.setMessage(index, open ? InterruptMessage(address: vector.address, data: vector.data) : nil)
    }

    // MARK: Registers in the BAR

    func read(_ offset: UInt64, width: Int) -> UInt64 {
        if offset >= Self.pendingOffset { return pending(from: offset &- Self.pendingOffset, width: width) }
        guard width == 4 || width == 8, offset % UInt64(width) == 0 else { return allOnes(width: width) }
        let index = Int(truncatingIfNeeded: offset >> 4)
        guard index < vectorCount else { return 0 }
        return state.withLock { state in
            let vector = state.vectors[index]
            let low = vector.address
            let high = UInt64(vector.control) << 32 | UInt64(vector.data)
            let word = offset & 8 == 0 ? low : high
            return (word >> (8 * (offset & 7))) & allOnes(width: width)
        }
    }

    func write(_ offset: UInt64, width: Int, value: UInt64) {
        guard offset < Self.pendingOffset, width == 4 || width == 8, offset % UInt64(width) == 0 else { return }
        let index = Int(truncatingIfNeeded: offset >> 4)
        guard index < vectorCount else { return }
        state.withLock { state in
            store(UInt32(truncatingIfNeeded: value), at: offset & 15, in: &state.vectors[index])
            if width == 8 {
                store(UInt32(truncatingIfNeeded: value >> 32), at: (offset & 15) + 4, in: &state.vectors[index])
            }
            route(index, state)
        }
    }

    private func store(_ word: UInt32, at offset: UInt64, in vector: inout Vector) {
        switch offset {
        case 0: vector.address = vector.address & ~0xffff_ffff | UInt64(word & ~3)
        case 4: vector.address = vector.address & 0xffff_ffff | UInt64(word) << 32
        case 8: vector.data = word
        default: vector.control = word & 1
        }
    }

    /// A masked vector with a waiting signal is pending.
    private func pending(from offset: UInt64, width: Int) -> UInt64 {
        var bits: UInt64 = 0
        for bit in 0..<(8 * width) {
            let vector = Int(truncatingIfNeeded: offset &* 8) + bit
            if vector < vectorCount, interrupts.event(vector).isSignalled { bits |= 1 << UInt64(bit) }
        }
        return bits
    }
}
