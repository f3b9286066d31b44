public import GuestMemory

/// Hands out pieces of guest memory to a test's driver, as a guest's allocator would. Never frees.
public final class GuestHeap {
    public let memory: GuestMemory
    public var ram: GuestRAM { memory.ram }
    private var next: GuestAddress = 0x1000

    public init(_ memory: GuestMemory) { self.memory = memory }

    /// A piece of zeroed memory.
    public func allocate(_ count: Int, alignment: UInt64 = 16) -> GuestAddress {
        next = (next + alignment - 1) & ~(alignment - 1)
        let address = next
        next += UInt64(count)
        precondition(ram.contains(address, count: count), "the test's guest memory is too small")
        return address
    }

    /// A piece that holds these bytes.
    public func place(_ bytes: [UInt8], alignment: UInt64 = 16) -> GuestAddress {
        let address = allocate(max(bytes.count, 1), alignment: alignment)
        try? ram.write(bytes, at: address)
        return address
    }

    public func bytes(_ count: Int, at address: GuestAddress) -> [UInt8] { (try? ram.read(count, at: address)) ?? [] }
}

/// A buffer that a driver offers.
public struct Buffer: Equatable, Sendable {
    public var address: GuestAddress
    public var count: UInt32
    public var isWritable: Bool

    public init(_ address: GuestAddress, _ count: Int, writable: Bool) {
        self.address = address
        self.count = UInt32(count)
        isWritable = writable
    }
}

/// A chain the device gave back.
public struct Completion: Equatable, Sendable {
    public var token: UInt16
    public var written: UInt32

    public init(token: UInt16, written: UInt32) {
        self.token = token
        self.written = written
    }
}

/// The driver's side of a virtqueue.
public protocol RingDriver: AnyObject {
    var layout: RingPlaces { get }
    /// Offers a chain; nil if the ring is full.
    func offer(_ buffers: [Buffer], indirect: Bool) -> UInt16?
    /// Whether the device wants its doorbell rung for what was offered since the last call.
    func shouldKick() -> Bool
    /// Takes what the device has given back.
    func collect() -> [Completion]
    /// Asks for interrupts for the next completion, or for none.
    func setInterrupts(_ on: Bool)
    /// Asks for an interrupt only after `count` more completions (event index only).
    func setInterrupt(after count: Int)
}

extension RingDriver {
    public func offer(_ buffers: [Buffer]) -> UInt16? { offer(buffers, indirect: false) }
}

/// Where the parts of a ring are.
public struct RingPlaces: Sendable {
    public var size: Int
    public var descriptors: GuestAddress
    public var driver: GuestAddress
    public var device: GuestAddress

    public init(size: Int, descriptors: GuestAddress, driver: GuestAddress, device: GuestAddress) {
        self.size = size
        self.descriptors = descriptors
        self.driver = driver
        self.device = device
    }
}
