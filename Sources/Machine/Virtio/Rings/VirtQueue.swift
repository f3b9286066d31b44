public import GuestMemory
import Synchronization

/// Where the driver put the parts of a ring, and how many entries it has.
public struct VirtQueueLayout: Equatable, Sendable, BitwiseCopyable {
    public var size: UInt16 = 0
    /// Descriptor table, or the packed ring.
    public var descriptors: GuestAddress = 0
    /// Available ring, or the driver's event structure.
    public var driver: GuestAddress = 0
    /// Used ring, or the device's event structure.
    public var device: GuestAddress = 0

    public init() {}
}

/// How far a device has come in a ring: what has to be saved besides the layout.
public struct VirtQueuePosition: Equatable, Sendable, BitwiseCopyable {
    /// Next entry to take.
    public var available: UInt16 = 0
    /// Next entry to give back.
    public var used: UInt16 = 0
    /// Wrap counters of a packed ring.
    public var availableWrap = true
    public var usedWrap = true

    public init() {}
}

/// Result of asking a queue for work.
public enum PopResult: Sendable, BitwiseCopyable {
    /// The chain was filled.
    case chain
    /// The driver offers nothing now.
    case empty
    /// The ring makes no sense; see `VirtQueue.fault`. Nothing more comes until the device was reset.
    case broken
}

/// The device's side of a virtqueue (virtio 1.2, sections 2.7 and 2.8), split or packed: takes chains, gives them back,
/// and keeps the rules of when to tell the other side.
///
/// A queue is used by one thread at a time; the transport configures it while nobody processes it. The ring lies in
/// memory that a hostile guest may change at any moment: every word is read once and checked. The calls allocate nothing,
/// count no references and take no lock.
///
///     repeat {
///         queue.disableNotifications()
///         while queue.next(into: &chain) == .chain {
///             queue.push(chain, written: answer(&chain))
///         }
///         queue.publish()
///         if queue.shouldNotify() { interrupt() }
///     } while queue.enableNotifications()
@safe public final class VirtQueue: @unchecked Sendable {
    // @unchecked: see above; hand-over between threads goes through the event loop's queue of work, which orders memory.

    /// Number of the queue in its device.
    public let index: Int
    /// The largest size the driver may choose.
    public let sizeMax: UInt16

    /// Why the queue is broken; nil if it is not.
    public var fault: VirtQueueFault? { failure }
    /// Whether the driver has set it up.
    public var isConfigured: Bool { isSetUp }
    public var layout: VirtQueueLayout { places }

    let ram: GuestRAM
    // Stored properties are internal: of public ones, the compiler would guard every access against overlaps at run time.
    var failure: VirtQueueFault?
    private var isSetUp = false
    /// Set up and not broken.
    var isUsable = false
    private(set) var places = VirtQueueLayout()
    private(set) var usesEventIndex = false
    private(set) var allowsIndirect = false
    private(set) var isPacked = false

    // The three parts in host memory. Valid while configured: `configure` checked that they are aligned and wholly in
    // guest memory, which outlives every device.
    private(set) var descriptors: UnsafeMutableRawPointer
    private(set) var driver: UnsafeMutableRawPointer
    private(set) var device: UnsafeMutableRawPointer

    var position = VirtQueuePosition()
    /// Split: the driver's index as last read. Chains up to it can be taken without looking again.
    var availableSeen: UInt16 = 0
    /// Ring entries taken and not given back. An honest driver never lets it pass the size.
    var taken: UInt32 = 0
    /// Ring entries given back since the last look at whether to notify.
    var unnotified: UInt32 = 0
    /// Notify next time whatever the driver's event says: the past was lost with a restore.
    var notifyAlways = false
    /// Packed: the flags that publish the batch, held back until `publish`, and where they go.
    var heldFlags: UInt16 = 0
    var heldSlot: UInt16 = 0
    var holdsFlags = false

    /// - Parameter sizeMax: 1...32768; a power of two.
    public init(index: Int, sizeMax: UInt16, ram: GuestRAM) {
        precondition(sizeMax > 0 && sizeMax <= 32768 && sizeMax & (sizeMax - 1) == 0, "queue sizes are powers of two")
        self.index = index
        self.sizeMax = sizeMax
        self.ram = ram
        // A harmless target until configured: nothing is read through it.
        unsafe descriptors = VirtQueue.nowhere
        unsafe driver = VirtQueue.nowhere
        unsafe device = VirtQueue.nowhere
    }

    private static var nowhere: UnsafeMutableRawPointer {
        unsafe UnsafeMutableRawPointer(bitPattern: 16).unsafelyUnwrapped
    }

    // MARK: Set-up (by the transport)

    /// Whether the driver may choose this size.
    func allows(size: UInt16, features: VirtioFeatures) -> Bool {
        size > 0 && size <= sizeMax && (features.contains(.packedRing) || size & (size - 1) == 0)
    }

    /// Starts using a ring at its beginning, or where `position` says.
    public func configure(
        _ layout: VirtQueueLayout, features: VirtioFeatures, position: VirtQueuePosition? = nil
    ) throws(VirtQueueFault) {
        unconfigure()
        let size = Int(layout.size)
        guard allows(size: layout.size, features: features) else { throw .size(layout.size) }
        let packed = features.contains(.packedRing)
        unsafe descriptors = try part(layout.descriptors, count: 16 * size, alignment: 16)
        if packed {
            unsafe driver = try part(layout.driver, count: 4, alignment: 4)
            unsafe device = try part(layout.device, count: 4, alignment: 4)
        } else {
            // Two words, the ring, and the event word that stands after it.
            unsafe driver = try part(layout.driver, count: 6 + 2 * size, alignment: 2)
            unsafe device = try part(layout.device, count: 6 + 8 * size, alignment: 4)
        }
        places = layout
        isPacked = packed
        usesEventIndex = features.contains(.eventIndex)
        allowsIndirect = features.contains(.indirectDescriptors)
        self.position = position ?? VirtQueuePosition()
        availableSeen = self.position.available
        notifyAlways = position != nil
        isSetUp = true
        isUsable = true
        if position != nil { restoreTaken() }
    }

    private func part(_ address: GuestAddress, count: Int, alignment: UInt64) throws(VirtQueueFault)
        -> UnsafeMutableRawPointer
    {
        guard address % alignment == 0, let pointer = unsafe ram.pointer(at: address, count: count) else {
            throw .ringAddress(address)
        }
        return unsafe pointer
    }

    /// What was taken and not given back at the time of saving. A position from a damaged file is made to fit.
    private func restoreTaken() {
        let size = UInt32(places.size)
        if isPacked {
            let lead = UInt32(position.available) &+ (position.availableWrap == position.usedWrap ? 0 : size)
            guard UInt32(position.available) < size, UInt32(position.used) < size, lead >= UInt32(position.used),
                lead &- UInt32(position.used) <= size
            else {
                position.used = 0
                position.usedWrap = true
                position.available = 0
                position.availableWrap = true
                return
            }
            taken = lead &- UInt32(position.used)
        } else {
            let lead = UInt32(position.available &- position.used)
            if lead > size { position.used = position.available } else { taken = lead }
        }
    }

    /// Forgets the ring.
    public func unconfigure() {
        isSetUp = false
        isUsable = false
        failure = nil
        position = VirtQueuePosition()
        taken = 0
        unnotified = 0
        notifyAlways = false
        holdsFlags = false
        unsafe descriptors = VirtQueue.nowhere
        unsafe driver = VirtQueue.nowhere
        unsafe device = VirtQueue.nowhere
    }

    /// Where the device stands. Meaningful for saving only while nothing is in flight.
    public var currentPosition: VirtQueuePosition { position }

    /// How many ring entries are taken and not given back.
    public var inFlight: Int { Int(taken) }

    // MARK: Work

    /// Takes the next chain.
    public func next(into chain: inout DescriptorChain) -> PopResult {
        guard isUsable else { return failure == nil ? .empty : .broken }
        chain.clear()
        return isPacked ? nextPacked(into: &chain) : nextSplit(into: &chain)
    }

    /// Puts the chain taken last back, as if it had not been taken. Several: in reverse order.
    public func putBack(_ head: ChainHead) {
        guard isUsable, taken >= UInt32(head.slots) else { return }
        taken &-= UInt32(head.slots)
        if isPacked { putBackPacked(head) } else { position.available &-= 1 }
    }

    /// Gives a chain back. The driver sees it after `publish`.
    ///
    /// - Parameter written: how many bytes of the writable part were written, counted from its start.
    @inline(__always)
    public func push(_ chain: borrowing DescriptorChain, written: UInt32) {
        if ram.isTracking { chain.markWritten(Int(written)) }
        push(chain.head, written: written)
    }

    /// Gives a chain back whose buffers were marked dirty already, or not written.
    public func push(_ head: ChainHead, written: UInt32) {
        guard isUsable, taken >= UInt32(head.slots) else { return }
        taken &-= UInt32(head.slots)
        if isPacked { pushPacked(head, written) } else { pushSplit(head, written) }
    }

    /// Lets the driver see everything pushed so far.
    public func publish() {
        guard isUsable else { return }
        if isPacked { publishPacked() } else { publishSplit() }
    }

    /// Whether the driver wants an interrupt for what was published since the last call. Ask once a batch.
    public func shouldNotify() -> Bool {
        guard isUsable, unnotified > 0 || notifyAlways else { return false }
        // What was published must be visible before the driver's wish is read, or both sides could wait for each other.
        atomicMemoryFence(ordering: .sequentiallyConsistent)
        let wanted = isPacked ? wantsInterruptPacked() : wantsInterruptSplit()
        let result = wanted || notifyAlways
        unnotified = 0
        notifyAlways = false
        return result
    }

    /// Asks the driver to ring the doorbell for the next chain.
    ///
    /// - Returns: true if there is a chain already: take it, the doorbell may not ring for it.
    public func enableNotifications() -> Bool {
        guard isUsable else { return false }
        if isPacked { enablePacked() } else { enableSplit() }
        // The wish must be visible before looking again; the driver does the opposite order.
        atomicMemoryFence(ordering: .sequentiallyConsistent)
        return hasNext
    }

    /// Tells the driver that ringing the doorbell is not needed. Only a hint.
    public func disableNotifications() {
        guard isUsable else { return }
        if isPacked { disablePacked() } else { disableSplit() }
    }

    /// Whether `next` would find something.
    public var hasNext: Bool {
        guard isUsable else { return false }
        return isPacked ? hasNextPacked : hasNextSplit
    }

    /// Breaks the queue: the request just taken cannot be answered in any sensible way.
    public func breakDown(_ fault: VirtQueueFault) {
        failure = fault
        isUsable = false
    }

    // MARK: Shared words

    @inline(__always)
    static func word(_ base: UnsafeMutableRawPointer, _ offset: Int) -> UnsafeMutablePointer<Atomic<UInt16>> {
        // Bounds and alignment were checked for the whole part when the ring was configured.
        unsafe (base + offset).assumingMemoryBound(to: Atomic<UInt16>.self)
    }

    @inline(__always)
    func markDevice(_ offset: Int, _ count: Int) {
        ram.markDirty(places.device &+ UInt64(truncatingIfNeeded: offset), count: count)
    }
}
