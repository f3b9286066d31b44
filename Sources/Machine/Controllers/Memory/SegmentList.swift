import GuestMemory
import Linux

/// The guest memory of one request: checked pieces in order, as host addresses for the disk and guest addresses for the
/// log of written pages.
///
/// The storage grows when a request is more scattered than any before it, up to a limit, and then stays: in the long run
/// filling it allocates nothing. It is not copyable, so that using it counts no references.
@safe struct SegmentList: ~Copyable, @unchecked Sendable {
    // @unchecked: owned by one thread at a time, like the request it belongs to.

    /// The most pieces a request may have.
    let limit: Int
    /// How many pieces there are.
    private(set) var count = 0
    /// Their length in all.
    private(set) var byteCount = 0

    private let ram: GuestRAM
    private var capacity = 16
    private var vectors: UnsafeMutablePointer<IOVector>
    private var addresses: UnsafeMutablePointer<GuestAddress>

    /// Why memory cannot be part of a request.
    enum Fault: Error, Equatable {
        /// It is not guest RAM.
        case address
        /// There are too many pieces.
        case tooMany
    }

    init(_ ram: GuestRAM, limit: Int) {
        self.ram = ram
        self.limit = limit
        unsafe vectors = .allocate(capacity: capacity)
        unsafe addresses = .allocate(capacity: capacity)
    }

    deinit {
        unsafe vectors.deallocate()
        unsafe addresses.deallocate()
    }

    mutating func clear() {
        count = 0
        byteCount = 0
    }

    /// Appends guest memory; a piece that continues the last one makes that longer.
    ///
    /// - Parameter length: at least 1.
    @inline(__always)
    mutating func append(_ address: GuestAddress, _ length: Int) throws(Fault) {
        guard length > 0, let base = unsafe ram.pointer(at: address, count: length) else { throw .address }
        if count > 0, let last = unsafe vectors[count &- 1].base {
            let lastCount = unsafe vectors[count &- 1].count
            if unsafe base == last + lastCount && address == addresses[count &- 1] &+ UInt64(lastCount) {
                unsafe vectors[count &- 1].count = lastCount &+ length
                byteCount &+= length
                return
            }
        }
        if count == capacity { try grow() }
        unsafe vectors[count] = IOVector(base: base, count: length)
        unsafe addresses[count] = address
        count &+= 1
        byteCount &+= length
    }

    @inline(never)
    private mutating func grow() throws(Fault) {
        guard capacity < limit else { throw .tooMany }
        let larger = min(2 * capacity, limit)
        let newVectors = UnsafeMutablePointer<IOVector>.allocate(capacity: larger)
        let newAddresses = UnsafeMutablePointer<GuestAddress>.allocate(capacity: larger)
        unsafe newVectors.initialize(from: vectors, count: count)
        unsafe newAddresses.initialize(from: addresses, count: count)
        unsafe vectors.deallocate()
        unsafe addresses.deallocate()
        unsafe vectors = newVectors
        unsafe addresses = newAddresses
        capacity = larger
    }

    /// Cuts the pieces down to their first `length` bytes.
    mutating func truncate(to length: Int) {
        while byteCount > length, count > 0 {
            let last = unsafe vectors[count &- 1].count
            let excess = byteCount &- length
            if last > excess {
                unsafe vectors[count &- 1].count = last &- excess
                byteCount = length
            } else {
                byteCount &-= last
                count &-= 1
            }
        }
    }

    /// The pieces; valid until the list is changed.
    @unsafe var pieces: UnsafePointer<IOVector> { unsafe UnsafePointer(vectors) }

    /// Notes for migration that the host wrote the first `length` bytes.
    func markWritten(_ length: Int) {
        guard ram.isTracking else { return }
        var left = length
        var index = 0
        while left > 0, index < count {
            let piece = unsafe min(left, vectors[index].count)
            unsafe ram.markDirty(addresses[index], count: piece)
            left &-= piece
            index &+= 1
        }
    }

    /// Copies bytes out of the guest's memory.
    ///
    /// - Returns: how many there were: fewer than asked for at the end.
    @unsafe @discardableResult
    func gather(from offset: Int = 0, into target: UnsafeMutableRawBufferPointer) -> Int {
        guard let base = target.baseAddress else { return 0 }
        return unsafe transfer(offset, target.count) { source, at, length, _ in
            unsafe (base + at).copyMemory(from: source, byteCount: length)
        }
    }

    /// Copies bytes into the guest's memory and notes them as written.
    ///
    /// - Returns: how many fitted.
    @unsafe @discardableResult
    func scatter(_ source: UnsafeRawBufferPointer, at offset: Int = 0) -> Int {
        guard let base = source.baseAddress else { return 0 }
        return unsafe transfer(offset, source.count) { target, at, length, address in
            unsafe target.copyMemory(from: base + at, byteCount: length)
            ram.markDirty(address, count: length)
        }
    }

    /// Copies bytes into the guest's memory. Not for hot paths.
    @discardableResult
    func scatter(_ bytes: [UInt8], at offset: Int = 0) -> Int {
        unsafe bytes.withUnsafeBytes { unsafe scatter($0, at: offset) }
    }

    /// A copy of all the bytes. Not for hot paths.
    func bytes() -> [UInt8] {
        unsafe Array(unsafeUninitializedCapacity: byteCount) { buffer, done in
            done = unsafe gather(into: UnsafeMutableRawBufferPointer(buffer))
        }
    }

    /// A little-endian integer; nil if it does not lie wholly inside.
    func load<T: FixedWidthInteger & BitwiseCopyable>(_ type: T.Type = T.self, at offset: Int) -> T? {
        var value: T = 0
        let done = unsafe withUnsafeMutableBytes(of: &value) { unsafe gather(from: offset, into: $0) }
        return done == MemoryLayout<T>.size ? T(littleEndian: value) : nil
    }

    /// Calls `body` with each stretch: its address, where it is counted from `offset`, its length, its guest address.
    @inline(__always)
    private func transfer(
        _ offset: Int, _ length: Int, _ body: (UnsafeMutableRawPointer, Int, Int, GuestAddress) -> Void
    ) -> Int {
        guard offset >= 0 else { return 0 }
        var skip = offset
        var done = 0
        var index = 0
        while done < length, index < count {
            let available = unsafe vectors[index].count
            if skip >= available {
                skip &-= available
            } else if let base = unsafe vectors[index].base {
                let stretch = min(available &- skip, length &- done)
                unsafe body(base + skip, done, stretch, addresses[index] &+ UInt64(truncatingIfNeeded: skip))
                done &+= stretch
                skip = 0
            }
            index &+= 1
        }
        return done
    }
}
