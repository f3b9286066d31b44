public import GuestMemory
public import Linux

/// What identifies a chain to the driver when it is given back. Trivial: keep it as long as the request runs.
public struct ChainHead: Equatable, Sendable, BitwiseCopyable {
    /// The head descriptor's index (split ring) or the buffer id (packed ring).
    public internal(set) var id: UInt16 = 0
    /// How many ring entries the chain takes in a packed ring; 1 in a split ring.
    public internal(set) var slots: UInt16 = 1

    public init() {}
}

/// The buffers of one request, checked and turned into host addresses: a readable part, then a writable part.
///
/// The storage is allocated once and filled again for each request. A device with many requests in flight keeps one for
/// each; it is not copyable, so that filling and reading it counts no references. The bytes may change at any moment:
/// copy a header once, then look at the copy.
@safe public struct DescriptorChain: ~Copyable, @unchecked Sendable {
    // @unchecked: owned by one thread at a time, like the queue it comes from.

    /// How many buffers it can hold.
    public let capacity: Int
    public internal(set) var head = ChainHead()
    /// Bytes left in the readable part.
    public private(set) var readableCount = 0
    /// Bytes left in the writable part.
    public private(set) var writableCount = 0

    private let ram: GuestRAM
    private let vectors: UnsafeMutablePointer<IOVector>
    private let addresses: UnsafeMutablePointer<GuestAddress>
    // Readable buffers are vectors[readStart..<writeStart], unless some were dropped: then they end at readEnd.
    private var readStart = 0
    private var readEnd = 0
    private var writeStart = 0
    private var writeEnd = 0

    /// - Parameter capacity: how many buffers a chain may have; longer ones break the queue.
    public init(_ ram: GuestRAM, capacity: Int = 256) {
        precondition(capacity > 0, "a chain holds at least one buffer")
        self.ram = ram
        self.capacity = capacity
        unsafe vectors = .allocate(capacity: capacity)
        unsafe addresses = .allocate(capacity: capacity)
    }

    deinit {
        unsafe vectors.deallocate()
        unsafe addresses.deallocate()
    }

    // MARK: Filling (by the queue)

    mutating func clear() {
        readableCount = 0
        writableCount = 0
        readStart = 0
        readEnd = 0
        writeStart = 0
        writeEnd = 0
    }

    /// Checks a buffer and appends it.
    @inline(__always)
    mutating func append(_ address: GuestAddress, _ count: UInt32, writable: Bool) -> VirtQueueFault? {
        guard count > 0 else { return .emptyBuffer(address) }
        let length = Int(truncatingIfNeeded: count)
        guard let base = unsafe ram.pointer(at: address, count: length) else { return .bufferAddress(address, count) }
        guard writeEnd < capacity else { return .tooManySegments(capacity) }
        if writable {
            writableCount &+= length
        } else {
            guard writableCount == 0 else { return .readableAfterWritable }
            readableCount &+= length
            readEnd &+= 1
            writeStart &+= 1
        }
        // At most `capacity` times 4 GiB: no overflow in 64 bits.
        guard readableCount &+ writableCount <= Int(UInt32.max) else { return .chainTooLarge }
        unsafe vectors[writeEnd] = IOVector(base: base, count: length)
        unsafe addresses[writeEnd] = address
        writeEnd &+= 1
        return nil
    }

    // MARK: Buffers

    /// The readable buffers that are left. Valid until the chain is filled or dropped from again.
    @unsafe public var readable: UnsafeBufferPointer<IOVector> {
        unsafe UnsafeBufferPointer(start: vectors + readStart, count: readEnd &- readStart)
    }

    /// The writable buffers that are left. Valid until the chain is filled or dropped from again.
    @unsafe public var writable: UnsafeBufferPointer<IOVector> {
        unsafe UnsafeBufferPointer(start: vectors + writeStart, count: writeEnd &- writeStart)
    }

    /// Guest address of a writable buffer; nil if there is no such buffer.
    public func writableAddress(_ index: Int) -> GuestAddress? {
        guard index >= 0, index < writeEnd &- writeStart else { return nil }
        return unsafe addresses[writeStart &+ index]
    }

    /// Guest address of a readable buffer; nil if there is no such buffer.
    public func readableAddress(_ index: Int) -> GuestAddress? {
        guard index >= 0, index < readEnd &- readStart else { return nil }
        return unsafe addresses[readStart &+ index]
    }

    /// Takes bytes off the front of the readable part, such as a header that was read.
    public mutating func dropReadable(first count: Int) {
        var left = min(max(count, 0), readableCount)
        readableCount &-= left
        while left > 0, readStart < readEnd {
            if cutFront(readStart, &left) { readStart &+= 1 }
        }
    }

    /// Takes bytes off the front of the writable part, such as a header that was written.
    public mutating func dropWritable(first count: Int) {
        var left = min(max(count, 0), writableCount)
        writableCount &-= left
        while left > 0, writeStart < writeEnd {
            if cutFront(writeStart, &left) { writeStart &+= 1 }
        }
    }

    /// - Returns: whether all of the buffer is gone.
    private func cutFront(_ start: Int, _ left: inout Int) -> Bool {
        let length = unsafe vectors[start].count
        if left < length, let base = unsafe vectors[start].base {
            unsafe vectors[start] = IOVector(base: base + left, count: length &- left)
            unsafe addresses[start] &+= UInt64(truncatingIfNeeded: left)
            left = 0
            return false
        }
        left &-= length
        return true
    }

    /// Takes bytes off the end of the readable part.
    public mutating func dropReadable(last count: Int) {
        let left = min(max(count, 0), readableCount)
        readableCount &-= left
        readEnd = cutBack(readStart, readEnd, left)
    }

    /// Takes bytes off the end of the writable part, such as a status byte that was written.
    public mutating func dropWritable(last count: Int) {
        let left = min(max(count, 0), writableCount)
        writableCount &-= left
        writeEnd = cutBack(writeStart, writeEnd, left)
    }

    /// - Returns: where the buffers end now.
    private func cutBack(_ start: Int, _ previousEnd: Int, _ count: Int) -> Int {
        var end = previousEnd
        var left = count
        while left > 0, start < end {
            let length = unsafe vectors[end &- 1].count
            if left < length {
                unsafe vectors[end &- 1] = IOVector(base: vectors[end &- 1].base, count: length &- left)
                return end
            }
            left &-= length
            end &-= 1
        }
        return end
    }

    /// Notes for migration that the host wrote the first `count` bytes of the writable part. `VirtQueue.push` does this;
    /// only who writes past what it reports needs it.
    public func markWritten(_ count: Int) {
        guard ram.isTracking else { return }
        var left = count
        var index = writeStart
        while left > 0, index < writeEnd {
            let length = unsafe min(left, vectors[index].count)
            unsafe ram.markDirty(addresses[index], count: length)
            left &-= length
            index &+= 1
        }
    }

    // MARK: Small copies

    /// Copies bytes of the readable part out.
    ///
    /// - Parameter offset: counted from what is left of the readable part.
    /// - Returns: how many there were: fewer than asked for at the end.
    @unsafe @discardableResult
    public func gather(from offset: Int = 0, into target: UnsafeMutableRawBufferPointer) -> Int {
        guard let base = target.baseAddress, offset >= 0 else { return 0 }
        return unsafe transfer(readStart, readEnd, offset, target.count) { source, at, count, _ in
            unsafe (base + at).copyMemory(from: source, byteCount: count)
        }
    }

    /// Copies bytes into the writable part and notes them as written.
    ///
    /// - Parameter offset: counted from what is left of the writable part.
    /// - Returns: how many fitted.
    @unsafe @discardableResult
    public func scatter(_ source: UnsafeRawBufferPointer, at offset: Int = 0) -> Int {
        guard let base = source.baseAddress, offset >= 0 else { return 0 }
        return unsafe transfer(writeStart, writeEnd, offset, source.count) { target, at, count, address in
            unsafe target.copyMemory(from: base + at, byteCount: count)
            ram.markDirty(address, count: count)
        }
    }

    /// Calls `body` with each piece of the bytes from `offset` on: its address, where it is counted from `offset`, its
    /// length, its guest address.
    @inline(__always)
    private func transfer(
        _ start: Int, _ end: Int, _ offset: Int, _ count: Int,
        _ body: (UnsafeMutableRawPointer, Int, Int, GuestAddress) -> Void
    ) -> Int {
        var skip = offset
        var done = 0
        var index = start
        while done < count, index < end {
            let available = unsafe vectors[index].count
            if skip >= available {
                skip &-= available
            } else if let base = unsafe vectors[index].base {
                let length = min(available &- skip, count &- done)
                unsafe body(base + skip, done, length, addresses[index] &+ UInt64(truncatingIfNeeded: skip))
                done &+= length
                skip = 0
            }
            index &+= 1
        }
        return done
    }

    /// A little-endian integer in the readable part; nil if it does not hold that many bytes.
    public func load<T: FixedWidthInteger & BitwiseCopyable>(_ type: T.Type = T.self, at offset: Int = 0) -> T? {
        var value: T = 0
        let done = unsafe withUnsafeMutableBytes(of: &value) { unsafe gather(from: offset, into: $0) }
        return done == MemoryLayout<T>.size ? T(littleEndian: value) : nil
    }

    /// Writes a little-endian integer to the writable part.
    ///
    /// - Returns: false if it does not fit wholly; part of it may be written then.
    @discardableResult
    public func store<T: FixedWidthInteger & BitwiseCopyable>(_ value: T, at offset: Int = 0) -> Bool {
        unsafe withUnsafeBytes(of: value.littleEndian) { unsafe scatter($0, at: offset) } == MemoryLayout<T>.size
    }
}
