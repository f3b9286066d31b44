public import DeviceModel
public import GuestMemory
public import Linux
public import SavedState
import Synchronization

/// The console device with one port (virtio 1.2, section 5.3). More ports (VIRTIO_CONSOLE_F_MULTIPORT) are not offered.
public final class VirtioConsole: VirtioDevice, @unchecked Sendable {
    // @unchecked: the queues belong to their loop, the rest is guarded.

    private enum Feature {
        static let size = VirtioFeatures(bit: 0)
        static let emergencyWrite = VirtioFeatures(bit: 2)
    }

    private enum Queue {
        static let receive = 0
        static let transmit = 1
    }

    /// Where the emergency write register is in the configuration.
    private static let emergencyOffset = 8

    private struct Size {
        var columns: UInt16
        var rows: UInt16
    }

    private let size: Mutex<Size>
    private let input: ConsoleInput
    private let backend: any CharacterBackend

    /// - Parameter columns, rows: the terminal's size in characters, as far as known.
    public init(
        ram: GuestRAM, loop: EventLoop?, backend: any CharacterBackend, columns: UInt16 = 80, rows: UInt16 = 25
    ) throws(SystemError) {
        self.backend = backend
        size = Mutex(Size(columns: columns, rows: rows))
        input = ConsoleInput(backend)
        let receive = try ConsoleReceiveQueue(index: Queue.receive, ram: ram, loop: loop, input: input)
        let transmit = try ConsoleTransmitQueue(index: Queue.transmit, ram: ram, loop: loop, backend: backend)
        super.init(.console, features: [Feature.size, Feature.emergencyWrite], queues: [receive, transmit])
        input.queue = receive
        backend.setReceiver(input)
    }

    /// Tells the guest that the terminal has another size, in characters.
    public func setSize(columns: UInt16, rows: UInt16) {
        updateConfiguration { size.withLock { $0 = Size(columns: columns, rows: rows) } }
    }

    public override func readConfiguration(_ offset: Int, width: Int) -> UInt64 {
        // cols u16, rows u16, max_nr_ports u32, emerg_wr u32.
        let size = size.withLock { $0 }
        var configuration = DeviceConfiguration()
        configuration.append(size.columns)
        configuration.append(size.rows)
        configuration.append(UInt32(1))
        configuration.append(UInt32(0))
        return configuration.read(offset, width: width)
    }

    public override func writeConfiguration(_ offset: Int, width: Int, value: UInt64) {
        // Writes one character, even before the driver is ready.
        guard offset == Self.emergencyOffset else { return }
        let one: InlineArray<1, UInt8> = [UInt8(truncatingIfNeeded: value)]
        backend.transmit(one.span)
    }

    public override func reset() { input.clear() }

    public override func saveState(_ coder: inout FieldCoder) {
        var (size, waiting) = (size.withLock { $0 }, input.waiting)
        coder.field(&size.columns, "columns")
        coder.field(&size.rows, "rows")
        coder.blob(&waiting, limit: ConsoleInput.capacity, "input")
    }

    public override func restoreState(_ coder: inout FieldCoder) {
        var (size, waiting): (Size, [UInt8]) = (Size(columns: 0, rows: 0), [])
        coder.field(&size.columns, "columns")
        coder.field(&size.rows, "rows")
        coder.blob(&waiting, limit: ConsoleInput.capacity, "input")
        guard coder.failure == nil else { return }
        self.size.withLock { [size] in $0 = size }
        input.waiting = waiting
    }

    public override func close() { backend.setReceiver(nil) }
}

/// What was typed and has not reached the guest yet.
private final class ConsoleInput: CharacterReceiver, @unchecked Sendable {
    // @unchecked: `queue` is set once before anything is received; the rest is guarded.

    static let capacity = 4096

    private struct State {
        var bytes = [UInt8](repeating: 0, count: ConsoleInput.capacity)
        var first = 0
        var count = 0
        /// Somebody was turned away and waits for room.
        var isAwaited = false
    }

    private let state = Mutex(State())
    private let backend: any CharacterBackend
    weak var queue: VirtioQueue?

    init(_ backend: any CharacterBackend) { self.backend = backend }

    func receive(_ bytes: Span<UInt8>) -> Int {
        let taken = state.withLock { state in
            let room = min(Self.capacity - state.count, bytes.count)
            for index in 0..<room { state.bytes[(state.first + state.count + index) % Self.capacity] = bytes[index] }
            state.count += room
            if room < bytes.count { state.isAwaited = true }
            return room
        }
        if taken > 0 { queue?.again() }
        return taken
    }

    /// Moves bytes into a buffer of the guest.
    ///
    /// - Returns: how many; zero if there are none.
    func move(to chain: inout DescriptorChain) -> Int {
        let (moved, isAwaited) = state.withLock { state in
            var moved = 0
            while state.count > 0 {
                // At most two pieces: up to the end of the buffer, and from its start.
                let piece = min(state.count, Self.capacity - state.first)
                let done = unsafe state.bytes.withUnsafeBytes { bytes in
                    unsafe chain.scatter(
                        UnsafeRawBufferPointer(rebasing: bytes[state.first..<(state.first + piece)]), at: moved)
                }
                state.first = (state.first + done) % Self.capacity
                state.count -= done
                moved += done
                if done < piece { break }
            }
            let isAwaited = state.isAwaited && moved > 0
            if isAwaited { state.isAwaited = false }
            return (moved, isAwaited)
        }
        if isAwaited { backend.receiverHasRoom() }
        return moved
    }

    /// The bytes, the oldest first. Setting them turns nobody away for ever.
    var waiting: [UInt8] {
        get {
            state.withLock { state in
                (0..<state.count).map { state.bytes[(state.first + $0) % Self.capacity] }
            }
        }
        set {
            clear()
            state.withLock { state in
                state.first = 0
                state.count = min(newValue.count, Self.capacity)
                for index in 0..<state.count { state.bytes[index] = newValue[index] }
            }
        }
    }

    func clear() {
        let isAwaited = state.withLock { state in
            let isAwaited = state.isAwaited
            state.count = 0
            state.isAwaited = false
            return isAwaited
        }
        if isAwaited { backend.receiverHasRoom() }
    }
}

private final class ConsoleReceiveQueue: SerialQueue, @unchecked Sendable {
    private let input: ConsoleInput

    init(index: Int, ram: GuestRAM, loop: EventLoop?, input: ConsoleInput) throws(SystemError) {
        self.input = input
        try super.init(index: index, sizeMax: 64, ram: ram, loop: loop)
    }

    override func answer(_ chain: inout DescriptorChain) -> UInt32? {
        if chain.writableCount == 0 { return 0 }
        let moved = input.move(to: &chain)
        return moved > 0 ? UInt32(moved) : nil
    }
}

private final class ConsoleTransmitQueue: SerialQueue, @unchecked Sendable {
    /// How much of one request is written; more than any driver sends.
    static let bytesMax = 1 << 20

    private let backend: any CharacterBackend

    init(index: Int, ram: GuestRAM, loop: EventLoop?, backend: any CharacterBackend) throws(SystemError) {
        self.backend = backend
        try super.init(index: index, sizeMax: 64, ram: ram, loop: loop, batch: 16)
    }

    override func answer(_ chain: inout DescriptorChain) -> UInt32? {
        let pieces = unsafe chain.readable
        var left = Self.bytesMax
        for index in 0..<pieces.count where left > 0 {
            let vector = unsafe pieces[index]
            let count = unsafe min(vector.count, left)
            left -= count
            let bytes = unsafe UnsafeBufferPointer(
                start: vector.base?.assumingMemoryBound(to: UInt8.self), count: count)
            // The bytes may change while the backend copies them; it does not look at them twice.
            unsafe backend.transmit(bytes.span)
        }
        return 0
    }
}
