import GuestMemory
import Linux
import Synchronization

/// The rings that a driver set up: requests, completions, messages, and the page with their indices. Belongs to the adapter's
/// loop.
///
/// The indices are ours; what the driver could have changed of them in the page is not looked at.
@safe struct PVSCSIRings: ~Copyable, @unchecked Sendable {  // belongs to the loop's thread

    /// What the driver set up and how far we are: what a snapshot saves.
    struct State: Equatable {
        var statePage: GuestAddress = 0
        var requestPages: [GuestAddress] = []
        var completionPages: [GuestAddress] = []
        /// Empty until the driver sets the ring up.
        var messagePages: [GuestAddress] = []
        /// The next request to take.
        var consumed: UInt32 = 0
        /// Where the next completion and the next message go.
        var completed: UInt32 = 0
        var told: UInt32 = 0
    }

    /// Fields of the state page.
    private enum Field {
        static let requestProducer = 0
        static let requestConsumer = 4
        static let requestEntriesLog2 = 8
        static let completionProducer = 12
        static let completionConsumer = 16
        static let completionEntriesLog2 = 20
        static let messageProducer = 128
        static let messageConsumer = 132
        static let messageEntriesLog2 = 136
    }

    static let pagesMax = 32
    static let messagePagesMax = 16
    static let pageSize = 4096
    private static let completionSize = 32
    private static let messageSize = 128

    private(set) var state: State
    private let ram: GuestRAM
    private let page: UnsafeMutableRawPointer
    /// Host addresses of the pages of requests, then of completions.
    private let pages: UnsafeMutablePointer<UnsafeMutableRawPointer>
    private let requestMask: UInt32
    private let completionMask: UInt32
    private var messageMask: UInt32 = 0
    private var consumed: UInt32
    private var completed: UInt32
    private var published: UInt32
    /// The driver's index made no sense: nothing is taken any more.
    private(set) var isBroken = false

    /// - Returns: nil if a page is not guest memory, or there are none, too many or no power of two of them.
    init?(_ state: State, _ ram: GuestRAM) {
        let (requests, completions) = (state.requestPages.count, state.completionPages.count)
        guard Self.isPowerOfTwo(requests), Self.isPowerOfTwo(completions), requests <= Self.pagesMax,
            completions <= Self.pagesMax, let page = unsafe ram.pointer(at: state.statePage, count: Self.pageSize)
        else { return nil }
        let addresses = state.requestPages + state.completionPages
        guard addresses.allSatisfy({ ram.contains($0, count: Self.pageSize) }) else { return nil }
        unsafe pages = .allocate(capacity: addresses.count)
        for (index, address) in addresses.enumerated() {
            // All of them are memory.
            unsafe (pages + index).initialize(to: ram.pointer(at: address, count: Self.pageSize) ?? page)
        }
        unsafe self.page = page
        self.state = state
        self.ram = ram
        requestMask = UInt32(requests * (Self.pageSize / PVSCSIRequest.size) - 1)
        completionMask = UInt32(completions * (Self.pageSize / Self.completionSize) - 1)
        consumed = state.consumed
        completed = state.completed
        published = state.completed
        set(Field.requestConsumer, consumed)
        set(Field.requestEntriesLog2, UInt32(requestMask.nonzeroBitCount))
        set(Field.completionProducer, completed)
        set(Field.completionEntriesLog2, UInt32(completionMask.nonzeroBitCount))
    }

    deinit { unsafe pages.deallocate() }

    private static func isPowerOfTwo(_ count: Int) -> Bool { count > 0 && count & (count - 1) == 0 }

    private func get(_ field: Int) -> UInt32 {
        unsafe UInt32(
            littleEndian: (page + field).assumingMemoryBound(to: Atomic<UInt32>.self).pointee
                .load(ordering: .acquiring))
    }

    private func set(_ field: Int, _ value: UInt32) {
        unsafe (page + field).assumingMemoryBound(to: Atomic<UInt32>.self).pointee
            .store(value.littleEndian, ordering: .releasing)
        ram.markDirty(state.statePage &+ UInt64(truncatingIfNeeded: field), count: 4)
    }

    // MARK: Requests

    @inline(__always)
    func hasNext() -> Bool { !isBroken && get(Field.requestProducer) != consumed }

    /// Takes a request; nil if there is none.
    @inline(__always)
    mutating func next() -> PVSCSIRequest? {
        if isBroken { return nil }
        let offered = get(Field.requestProducer) &- consumed
        guard offered > 0 else { return nil }
        guard offered <= requestMask &+ 1 else {
            isBroken = true
            return nil
        }
        let index = Int(consumed & requestMask)
        let perPage = Self.pageSize / PVSCSIRequest.size
        let request = unsafe PVSCSIRequest(
            at: pages[index / perPage] + (index % perPage) &* PVSCSIRequest.size)
        consumed &+= 1
        set(Field.requestConsumer, consumed)
        return request
    }

    // MARK: Completions

    /// Writes a completion; the driver sees it after `publish`.
    ///
    /// A driver has no more requests under way than the ring has room for; if it has, it loses completions.
    @inline(__always)
    mutating func complete(
        _ context: UInt64, moved: UInt64, senseCount: UInt32, hostStatus: UInt16, status: UInt16
    ) {
        let index = Int(completed & completionMask)
        let perPage = Self.pageSize / Self.completionSize
        let number = state.requestPages.count &+ index / perPage
        let offset = (index % perPage) &* Self.completionSize
        let entry = unsafe pages[number] + offset
        unsafe entry.storeBytes(of: context.littleEndian, as: UInt64.self)
        unsafe entry.storeBytes(of: moved.littleEndian, toByteOffset: 8, as: UInt64.self)
        let last = UInt64(senseCount) | UInt64(hostStatus) &<< 32 | UInt64(status) &<< 48
        unsafe entry.storeBytes(of: last.littleEndian, toByteOffset: 16, as: UInt64.self)
        unsafe entry.storeBytes(of: 0, toByteOffset: 24, as: UInt64.self)
        if ram.isTracking {
            ram.markDirty(
                state.completionPages[index / perPage] &+ UInt64(truncatingIfNeeded: offset),
                count: Self.completionSize)
        }
        completed &+= 1
    }

    /// Shows the driver the completions.
    ///
    /// - Returns: whether there were any.
    mutating func publish() -> Bool {
        if published == completed { return false }
        published = completed
        set(Field.completionProducer, completed)
        return true
    }

    // MARK: Messages

    /// - Returns: false if a page is not guest memory, or there are none, too many or no power of two of them.
    mutating func setUpMessages(_ addresses: [GuestAddress]) -> Bool {
        guard Self.isPowerOfTwo(addresses.count), addresses.count <= Self.messagePagesMax,
            addresses.allSatisfy({ ram.contains($0, count: Self.pageSize) })
        else { return false }
        state.messagePages = addresses
        state.told = 0
        messageMask = UInt32(addresses.count * (Self.pageSize / Self.messageSize) - 1)
        set(Field.messageProducer, 0)
        set(Field.messageEntriesLog2, UInt32(messageMask.nonzeroBitCount))
        return true
    }

    /// Tells the driver that a target appeared or went.
    ///
    /// - Returns: false if it has no ring for that, or no room in it.
    mutating func tell(target: UInt32, isPresent: Bool) -> Bool {
        guard !state.messagePages.isEmpty, state.told &- get(Field.messageConsumer) <= messageMask else { return false }
        let perPage = Self.pageSize / Self.messageSize
        let index = Int(state.told & messageMask)
        let entry = state.messagePages[index / perPage] &+ UInt64((index % perPage) * Self.messageSize)
        for offset in stride(from: UInt64(0), to: UInt64(Self.messageSize), by: 8) {
            ram.store(UInt64(0), at: entry &+ offset)
        }
        // Type (device added or removed), bus, target, LUN of 8 bytes.
        ram.store(isPresent ? 0 : 1 as UInt32, at: entry)
        ram.store(target, at: entry &+ 8)
        state.told &+= 1
        set(Field.messageProducer, state.told)
        return true
    }

    /// The state with how far we are.
    var saved: State {
        var saved = state
        saved.consumed = consumed
        saved.completed = completed
        return saved
    }
}
