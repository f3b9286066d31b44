import GuestMemory
import Synchronization

/// A ring of descriptors in guest memory. A trivial value.
@safe struct E1000Ring: BitwiseCopyable, @unchecked Sendable {
    // @unchecked: a pointer to guest memory, which was checked when the ring was made and outlives the adapter.

    private let base: UnsafeMutableRawPointer
    private let address: GuestAddress
    private let entrySize: Int
    /// Descriptors, at least 1.
    let count: Int
    private let ram: GuestRAM

    /// - Parameters:
    ///   - length: bytes.
    ///   - entrySize: 16 or 32.
    /// - Returns: nil if there is no ring, or it does not lie in guest memory.
    init?(_ ram: GuestRAM, at address: GuestAddress, length: UInt32, entrySize: Int = 16) {
        let count = Int(length) / entrySize
        guard count > 0, address % 16 == 0, let base = unsafe ram.pointer(at: address, count: count * entrySize) else {
            return nil
        }
        unsafe self.base = unsafe base
        self.address = address
        self.entrySize = entrySize
        self.count = count
        self.ram = ram
    }

    /// - Parameters:
    ///   - index: less than `count`.
    ///   - word: which 8 bytes.
    @inline(__always)
    func load(_ index: Int, _ word: Int) -> UInt64 { unsafe place(index, word).load(as: UInt64.self) }

    @inline(__always)
    func store(_ index: Int, _ word: Int, _ value: UInt64) {
        unsafe place(index, word).storeBytes(of: value, as: UInt64.self)
        markDirty(index)
    }

    /// Writes 8 bytes after whatever was written before.
    @inline(__always)
    func storeLast(_ index: Int, _ word: Int, _ value: UInt64) {
        unsafe place(index, word).assumingMemoryBound(to: Atomic<UInt64>.self).pointee
            .store(value, ordering: .releasing)
        markDirty(index)
    }

    private func markDirty(_ index: Int) {
        ram.markDirty(address &+ UInt64(truncatingIfNeeded: index &* entrySize), count: entrySize)
    }

    @unsafe @inline(__always)
    private func place(_ index: Int, _ word: Int) -> UnsafeMutableRawPointer {
        precondition(index >= 0 && index < count && word < entrySize / 8, "a descriptor lies in the ring")
        return unsafe base + (index &* entrySize &+ word &* 8)
    }
}

/// The ends of a card's rings: the driver moves tails from vCPU threads, the queues' thread moves heads.
@safe final class E1000Ends: Sendable {
    let receiveHead = Atomic<UInt32>(0)
    let receiveTail = Atomic<UInt32>(0)
    let transmitHead0 = Atomic<UInt32>(0)
    let transmitTail0 = Atomic<UInt32>(0)
    let transmitHead1 = Atomic<UInt32>(0)
    let transmitTail1 = Atomic<UInt32>(0)
    /// The queues' thread looks at tails by itself just now, and need not be told.
    let isBusy = Atomic<Bool>(false)
    /// It waits for receive buffers.
    let isStarved = Atomic<Bool>(false)

    func transmitHead(_ queue: Int) -> UInt32 {
        queue == 0 ? transmitHead0.load(ordering: .relaxed) : transmitHead1.load(ordering: .relaxed)
    }

    func setTransmitHead(_ queue: Int, _ value: UInt32) {
        if queue == 0 {
            transmitHead0.store(value, ordering: .releasing)
        } else {
            transmitHead1.store(value, ordering: .releasing)
        }
    }

    func transmitTail(_ queue: Int) -> UInt32 {
        // Descriptors were written before the tail; and it is looked at after saying that nobody looks.
        queue == 0
            ? transmitTail0.load(ordering: .sequentiallyConsistent)
            : transmitTail1.load(ordering: .sequentiallyConsistent)
    }

    func setTransmitTail(_ queue: Int, _ value: UInt32) {
        if queue == 0 {
            transmitTail0.store(value, ordering: .sequentiallyConsistent)
        } else {
            transmitTail1.store(value, ordering: .sequentiallyConsistent)
        }
    }

    func reset() {
        for queue in 0..<2 {
            setTransmitHead(queue, 0)
            setTransmitTail(queue, 0)
        }
        receiveHead.store(0, ordering: .relaxed)
        receiveTail.store(0, ordering: .relaxed)
    }
}
