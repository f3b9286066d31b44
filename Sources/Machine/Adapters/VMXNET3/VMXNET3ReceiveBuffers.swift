import GuestMemory

/// One of a receive queue's two rings of buffers, looked at a little ahead. Belongs to the queue's thread.
@safe final class VMXNET3ReceiveBuffers {
    @unsafe struct Buffer: BitwiseCopyable {
        var address: GuestAddress
        var base: UnsafeMutableRawPointer
        var count: Int
        /// For the second and later pieces of a packet.
        var isBody: Bool
    }

    /// Fields of a descriptor's third word (`Vmxnet3_RxDesc`).
    private enum Field {
        static let length: UInt32 = 0x3fff
        static let body: UInt32 = 1 << 14
        static let generation: UInt32 = 1 << 31
    }

    private let ring: VMXNET3Ring
    private let ram: GuestRAM
    /// What was looked at, by index in the ring.
    private let buffers: UnsafeMutablePointer<Buffer?>
    /// The next buffer to use.
    private(set) var position = VMXNET3Cursor()
    /// Where to look next.
    private var ahead = VMXNET3Cursor()
    private var aheadCount = 0
    /// The driver offered something that is not a buffer.
    private(set) var isBroken = false

    init(_ ring: VMXNET3Ring, _ ram: GuestRAM) {
        self.ring = ring
        self.ram = ram
        unsafe buffers = .allocate(capacity: ring.size)
        unsafe buffers.initialize(repeating: nil, count: ring.size)
    }

    deinit { unsafe buffers.deallocate() }

    /// The buffer that is `count` after the next one; nil if the driver has not offered so many.
    @unsafe @inline(__always)
    func peek(_ count: Int) -> Buffer? {
        while aheadCount <= count {
            guard aheadCount < ring.size, look() else { return nil }
        }
        var index = position.index &+ count
        if index >= ring.size { index &-= ring.size }
        return unsafe buffers[index]
    }

    /// Index of the buffer that is `count` after the next one.
    func index(_ count: Int) -> Int {
        let index = position.index &+ count
        return index >= ring.size ? index &- ring.size : index
    }

    /// Takes `count` buffers that were seen.
    func consume(_ count: Int) {
        position.advance(by: min(count, aheadCount), in: ring.size)
        aheadCount = max(aheadCount &- count, 0)
    }

    private func look() -> Bool {
        let word = ring.loadFirst(ahead.index, word: 2)
        guard (word & Field.generation != 0) == ahead.generation, !isBroken else { return false }
        let address = ring.loadAddress(ahead.index)
        let count = Int(word & Field.length)
        guard count > 0, let base = unsafe ram.pointer(at: address, count: count) else {
            isBroken = true
            return false
        }
        unsafe buffers[ahead.index] = unsafe Buffer(
            address: address, base: base, count: count, isBody: word & Field.body != 0)
        ahead.advance(in: ring.size)
        aheadCount &+= 1
        return true
    }
}
