public import DeviceModel
public import Linux
import Synchronization

/// Something that stops a disk and that only an administrator can decide.
public struct BlockQuestion: Sendable, Equatable {
    /// The file whose storage failed or is full.
    public var file: String
    public var error: SystemError
}

/// The answer to a `BlockQuestion`.
public enum BlockAnswer: Sendable {
    /// The cause is gone (space was freed): carry out the waiting requests again.
    case retry
    /// Fail the waiting requests; the guest sees errors.
    case fail
}

/// How a disk on files behaves.
public struct FileBlockOptions: Sendable {
    public var isReadOnly = false
    /// 512 or 4096.
    public var logicalBlock: UInt32 = 512
    /// What the guest sees as serial number.
    public var identity = ""
    /// Whether the guest's discards free space. Off, a thick disk stays thick.
    public var discards = true
    /// Whether every write is on stable storage before it completes, whatever the guest asks for.
    public var isWriteThrough = false
    /// Called when the storage is full: the requests wait until `answer`. Without it they fail. On a loop's thread, once
    /// until answered.
    public var onQuestion: (@Sendable (BlockQuestion) -> Void)?
    /// Called when the requests that a question is about are gone, because the guest was reset. On a loop's thread.
    public var onWithdrawal: (@Sendable () -> Void)?
    /// Ask about every error of the storage, not only about a full one.
    public var asksOnAnyError = false

    public init() {}
}

/// A disk on files and block devices: each queue drives an io_uring of its own.
///
/// - Flush: completes when everything that was written and completed before it was submitted, by whichever queue, is on
///   stable storage (fdatasync on every file of the disk, which also empties the caches of the drives). A flush that
///   fails on cached data makes all later ones fail, because the kernel forgets what it could not write.
/// - Order: requests in flight together have none. Overlapping ones give a mixture, as on a real disk.
/// - Errors: what the storage reports, the guest gets as an error, or the administrator as a question, see
///   `FileBlockOptions.onQuestion`. Interrupted and short operations are continued.
/// - Reads past the end of a file give zeros only in the file's last, incomplete block. A file that became shorter is an
///   error.
public final class FileBlockBackend: BlockBackend {
    private struct State {
        var layout: DiskLayout
        var queues: [FileBlockQueue] = []
        var observer: (@Sendable (BlockGeometry) -> Void)?
        /// A question was asked and not answered.
        var isAsking = false
        /// How many requests of all queues wait for an answer.
        var stalled = 0
        var lastError: SystemError?
    }

    let options: FileBlockOptions
    private let state: Mutex<State>

    /// - Throws: `DiskLayoutError` when the extents are no disk.
    public init(_ extents: [DiskExtent], _ options: FileBlockOptions = FileBlockOptions()) throws(DiskLayoutError) {
        precondition(
            options.logicalBlock == 512 || options.logicalBlock == 4096, "logical blocks are 512 or 4096 bytes")
        self.options = options
        let layout = try DiskLayout(extents, logicalBlock: options.logicalBlock, writable: !options.isReadOnly)
        state = Mutex(State(layout: layout))
    }

    public var geometry: BlockGeometry {
        let layout = state.withLock { $0.layout }
        var geometry = BlockGeometry(capacity: layout.capacity, identity: options.identity)
        geometry.logicalBlock = options.logicalBlock
        geometry.physicalBlock = max(4096, options.logicalBlock)
        geometry.isReadOnly = options.isReadOnly
        geometry.canDiscard = options.discards && !options.isReadOnly
        return geometry
    }

    public func makeQueue(on loop: EventLoop?, depth: Int) throws(SystemError) -> any BlockQueue {
        let queue = try FileBlockQueue(self, state.withLock { $0.layout }, on: loop, depth: depth)
        state.withLock { $0.queues.append(queue) }
        return queue
    }

    func remove(_ queue: FileBlockQueue) {
        state.withLock { $0.queues.removeAll { $0 === queue } }
    }

    public func observeGeometry(_ changed: (@Sendable (BlockGeometry) -> Void)?) {
        state.withLock { $0.observer = changed }
    }

    /// Makes the disk larger. Not from a loop's thread.
    ///
    /// - Parameter extents: all extents; the disk's present files come first and in the same order.
    public func grow(_ extents: [DiskExtent]) throws(DiskLayoutError) {
        let layout = try DiskLayout(extents, logicalBlock: options.logicalBlock, writable: !options.isReadOnly)
        let queues = state.withLock { state in
            let old = state.layout.files
            precondition(layout.capacity >= state.layout.capacity, "a disk does not shrink")
            precondition(
                layout.files.count >= old.count && zip(layout.files, old).allSatisfy { $0 === $1 },
                "a disk that grows keeps its files")
            state.layout = layout
            return state.queues
        }
        for queue in queues { queue.onLoop { queue.use(layout) } }
        let observer = state.withLock { $0.observer }
        observer?(geometry)
    }

    // MARK: Errors

    /// Keeps what went wrong, for who looks after the machine.
    func note(_ error: SystemError) { state.withLock { $0.lastError = error } }

    /// The last error of the storage that a request met.
    public var lastError: SystemError? { state.withLock { $0.lastError } }

    // MARK: Questions

    /// Asks for one more request that waits, unless a question is open.
    func ask(_ question: BlockQuestion) {
        let ask = state.withLock { state in
            state.stalled += 1
            if state.isAsking { return false }
            state.isAsking = true
            return true
        }
        if ask { options.onQuestion?(question) }
    }

    /// Requests no longer wait: they were answered.
    func released(_ count: Int) { state.withLock { $0.stalled -= count } }

    /// Requests no longer wait: nobody wants them any more. With the last one the question is withdrawn.
    func abandoned(_ count: Int) {
        let isOver = state.withLock { state in
            state.stalled -= count
            guard state.stalled == 0, state.isAsking else { return false }
            state.isAsking = false
            return true
        }
        if isOver { options.onWithdrawal?() }
    }

    /// Whether requests wait for an answer.
    public var isAsking: Bool { state.withLock { $0.isAsking } }

    /// Answers the open question. From any thread.
    public func answer(_ answer: BlockAnswer) {
        let queues = state.withLock { state in
            state.isAsking = false
            return state.queues
        }
        for queue in queues { queue.soonOnLoop { queue.answered(answer) } }
    }
}
