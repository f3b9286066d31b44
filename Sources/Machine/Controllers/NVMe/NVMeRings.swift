import GuestMemory
import Linux
import Synchronization

/// A pair of words in the driver's doorbell buffers: where it leaves an index, and where we say how far we have looked.
/// Absent until the driver sets the buffers up.
@safe struct NVMeShadow: BitwiseCopyable, @unchecked Sendable {
    // @unchecked: atomics in guest memory.

    private var value: UnsafeMutablePointer<Atomic<UInt32>>?
    private var event: UnsafeMutablePointer<Atomic<UInt32>>?
    private var eventAddress: GuestAddress = 0

    init() {}

    /// - Parameters:
    ///   - values: the page with the indices.
    ///   - events: the page with our answers.
    ///   - word: which word of both.
    /// - Returns: nil if the pages are not guest memory.
    init?(_ ram: GuestRAM, values: GuestAddress, events: GuestAddress, word: Int) {
        let offset = UInt64(truncatingIfNeeded: word) &* 4
        guard offset < 4096, let value = unsafe ram.pointer(at: values &+ offset, count: 4),
            let event = unsafe ram.pointer(at: events &+ offset, count: 4), (values | events) & 3 == 0
        else { return nil }
        unsafe self.value = value.assumingMemoryBound(to: Atomic<UInt32>.self)
        unsafe self.event = event.assumingMemoryBound(to: Atomic<UInt32>.self)
        eventAddress = events &+ offset
    }

    var isPresent: Bool { unsafe value != nil }

    /// The driver's index; nil if it rings the doorbell instead.
    @inline(__always) func load() -> UInt32? {
        guard let value = unsafe value else { return nil }
        return UInt32(littleEndian: unsafe value.pointee.load(ordering: .acquiring))
    }

    /// Asks the driver to ring once its index passes `index`. Look at it again afterwards.
    func ask(_ index: UInt32, _ ram: GuestRAM) {
        guard let event = unsafe event else { return }
        unsafe event.pointee.store(index.littleEndian, ordering: .relaxed)
        ram.markDirty(eventAddress, count: 4)
        // The wish must be seen before we look.
        atomicMemoryFence(ordering: .sequentiallyConsistent)
    }
}

/// A submission queue. Belongs to the thread that serves it.
@safe struct NVMeSubmissionQueue: @unchecked Sendable {
    // @unchecked: handed to its thread when it is made.

    /// What the driver set up and how far we are: what a snapshot saves.
    struct State: Equatable, BitwiseCopyable {
        var address: GuestAddress
        /// In entries, 2 to 1024.
        var size: UInt32
        /// The queue that completions go to.
        var completionQueue: UInt16
        /// The next entry to take.
        var head: UInt32 = 0
    }

    var state: State
    /// Of commands that were taken and are not completed.
    var inFlight: UInt32 = 0
    /// There is a command to take, but its completion queue is full.
    var isHeldBack = false
    /// The driver wrote an index outside the queue: nothing is taken any more.
    private(set) var isBroken = false
    /// Somebody was told so.
    var isFaultReported = false
    var shadow = NVMeShadow()
    private var seenTail: UInt32
    private let entries: UnsafeMutableRawPointer
    private let doorbell: UnsafeMutablePointer<NVMeDoorbell>

    /// - Returns: nil if it does not lie in guest memory.
    @unsafe init?(_ state: State, _ ram: GuestRAM, doorbell: UnsafeMutablePointer<NVMeDoorbell>) {
        let count = Int(state.size) &* NVMeCommand.size
        guard let entries = unsafe ram.pointer(at: state.address, count: count) else { return nil }
        self.state = state
        unsafe self.entries = entries
        unsafe self.doorbell = unsafe doorbell
        seenTail = state.head
    }

    /// Whether there is an entry to take.
    @inline(__always)
    mutating func hasNext() -> Bool {
        if state.head != seenTail { return true }
        if isBroken { return false }
        let tail = unsafe shadow.load() ?? doorbell.pointee.tail.load(ordering: .sequentiallyConsistent)
        guard tail < state.size else {
            isBroken = true
            return false
        }
        seenTail = tail
        return tail != state.head
    }

    /// Takes an entry; only after `hasNext`.
    @inline(__always)
    mutating func next() -> NVMeCommand {
        let command = unsafe NVMeCommand(at: entries + Int(state.head) &* NVMeCommand.size)
        state.head = state.head &+ 1 == state.size ? 0 : state.head &+ 1
        inFlight &+= 1
        return command
    }

    /// Sees to it that the driver's next ring is heard, before the thread sleeps.
    ///
    /// - Returns: whether there is something to take already.
    mutating func awaitDriver(_ ram: GuestRAM) -> Bool {
        shadow.ask(seenTail, ram)
        return hasNext()
    }
}

/// A completion queue. Belongs to the thread that serves it.
@safe struct NVMeCompletionQueue: @unchecked Sendable {
    // @unchecked: handed to its thread when it is made.

    /// Length of an entry in bytes.
    static let entrySize = 16

    /// What the driver set up and how far we are: what a snapshot saves.
    struct State: Equatable, BitwiseCopyable {
        var address: GuestAddress
        /// In entries, 2 to 1024.
        var size: UInt32
        var vector: UInt16
        var interrupts: Bool
        /// Where the next entry goes.
        var tail: UInt32 = 0
        /// The phase bit that entries of this round have.
        var phase: Bool = true
    }

    var state: State
    var shadow = NVMeShadow()
    /// Entries that commands in flight will need.
    private var reserved: UInt32 = 0
    private var seenHead: UInt32
    /// Entries were posted since the guest was last interrupted.
    private(set) var isUnnotified = false
    /// Event of the interrupt vector; -1 if there is none.
    let event: CInt
    private let ram: GuestRAM
    private let entries: UnsafeMutableRawPointer
    private let doorbell: UnsafeMutablePointer<NVMeDoorbell>

    /// - Returns: nil if it does not lie in guest memory.
    @unsafe init?(_ state: State, _ ram: GuestRAM, event: CInt, doorbell: UnsafeMutablePointer<NVMeDoorbell>) {
        let count = Int(state.size) &* Self.entrySize
        guard let entries = unsafe ram.pointer(at: state.address, count: count) else { return nil }
        self.state = state
        self.ram = ram
        self.event = event
        unsafe self.entries = entries
        unsafe self.doorbell = unsafe doorbell
        seenHead = state.tail
    }

    /// Reserves an entry for a command.
    ///
    /// - Returns: false if the queue has no room until the driver takes entries out.
    @inline(__always)
    mutating func reserve() -> Bool {
        guard hasRoom() || findRoom() else { return false }
        reserved &+= 1
        return true
    }

    /// Looks how far the driver is; if that makes no room, the driver's next ring will be heard.
    mutating func findRoom() -> Bool {
        refresh()
        if !hasRoom() {
            // The driver must tell us, and may have done so before it knew.
            unsafe doorbell.pointee.wantsHead.store(true, ordering: .sequentiallyConsistent)
            shadow.ask(seenHead, ram)
            refresh()
            if !hasRoom() { return false }
        }
        unsafe doorbell.pointee.wantsHead.store(false, ordering: .sequentiallyConsistent)
        return true
    }

    /// Gives a reserved entry back.
    mutating func release() { reserved &-= 1 }

    @inline(__always) private func hasRoom() -> Bool {
        let used = state.tail >= seenHead ? state.tail &- seenHead : state.tail &+ state.size &- seenHead
        return used &+ reserved &+ 1 < state.size
    }

    private mutating func refresh() {
        let head = unsafe shadow.load() ?? doorbell.pointee.head.load(ordering: .sequentiallyConsistent)
        // An index outside the queue is not taken over: the queue stays full.
        if head < state.size { seenHead = head }
    }

    /// Writes an entry that was reserved.
    @inline(__always)
    mutating func post(
        _ status: NVMeStatus, result: UInt32 = 0, command: UInt16, queue: UInt16, head: UInt32
    ) {
        let offset = Int(state.tail) &* Self.entrySize
        let entry = unsafe entries + offset
        unsafe entry.storeBytes(of: UInt64(result).littleEndian, as: UInt64.self)
        let phase: UInt64 = state.phase ? 1 << 48 : 0
        let second =
            UInt64(status.rawValue) &<< 49 | phase | UInt64(command) &<< 32 | UInt64(queue) &<< 16
            | UInt64(UInt16(truncatingIfNeeded: head))
        // Releasing: the driver that sees the phase sees the rest, and the data. Queues are aligned to pages.
        unsafe (entry + 8).assumingMemoryBound(to: Atomic<UInt64>.self).pointee.store(
            second.littleEndian, ordering: .releasing)
        ram.markDirty(state.address &+ UInt64(truncatingIfNeeded: offset), count: Self.entrySize)
        state.tail &+= 1
        if state.tail == state.size {
            state.tail = 0
            state.phase.toggle()
        }
        reserved &-= 1
        isUnnotified = true
    }

    /// Prepares the interrupt for what was posted.
    ///
    /// - Returns: whether the guest wants one.
    @inline(__always)
    mutating func takeNotification(wire: Bool) -> Bool {
        guard isUnnotified else { return false }
        isUnnotified = false
        guard state.interrupts else { return false }
        if wire { unsafe doorbell.pointee.posted.store(state.tail, ordering: .sequentiallyConsistent) }
        return true
    }
}
