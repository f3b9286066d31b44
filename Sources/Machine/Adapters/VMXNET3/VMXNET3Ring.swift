import GuestMemory
import Synchronization

/// Where one side stands in a ring whose entries say by a generation bit whether they are new.
struct VMXNET3Cursor: Equatable, BitwiseCopyable {
    var index = 0
    /// The bit that new entries have; it turns over with each round, and begins as one.
    var generation = true

    @inline(__always)
    mutating func advance(in size: Int) {
        index &+= 1
        if index >= size {
            index = 0
            generation.toggle()
        }
    }

    @inline(__always)
    mutating func advance(by count: Int, in size: Int) {
        index &+= count
        if index >= size {
            index &-= size
            generation.toggle()
        }
    }
}

/// A ring of 16-byte entries in guest memory. A trivial value.
@safe struct VMXNET3Ring: BitwiseCopyable {
    static let entrySize = 16

    // Checked when the ring was made; guest memory outlives the adapter.
    private let base: UnsafeMutableRawPointer
    private let address: GuestAddress
    let size: Int
    private let ram: GuestRAM

    /// - Returns: nil if it does not lie in guest memory, is not aligned, or is of no sensible size.
    init?(_ ram: GuestRAM, at address: GuestAddress, size: UInt32, sizeMax: Int) {
        guard size > 0, size <= UInt32(sizeMax), address % VMXNET3.ringAlignment == 0,
            let base = unsafe ram.pointer(at: address, count: Int(size) * Self.entrySize)
        else { return nil }
        unsafe self.base = unsafe base
        self.address = address
        self.size = Int(size)
        self.ram = ram
    }

    /// Reads the word that holds an entry's generation bit; what is read of the entry afterwards is at least as new.
    ///
    /// - Parameters:
    ///   - index: less than `size`.
    ///   - word: 0...3.
    @inline(__always)
    func loadFirst(_ index: Int, word: Int) -> UInt32 {
        unsafe place(index, word).assumingMemoryBound(to: Atomic<UInt32>.self).pointee.load(ordering: .acquiring)
    }

    @inline(__always)
    func load(_ index: Int, word: Int) -> UInt32 { unsafe place(index, word).load(as: UInt32.self) }

    @inline(__always)
    func loadAddress(_ index: Int) -> GuestAddress { unsafe place(index, 0).load(as: UInt64.self) }

    /// Writes an entry, with the word that holds the generation bit last.
    @inline(__always)
    func store(_ index: Int, _ first: UInt32, _ second: UInt32, _ third: UInt32, last: UInt32) {
        unsafe place(index, 0).storeBytes(of: first, as: UInt32.self)
        unsafe place(index, 1).storeBytes(of: second, as: UInt32.self)
        unsafe place(index, 2).storeBytes(of: third, as: UInt32.self)
        unsafe place(index, 3).assumingMemoryBound(to: Atomic<UInt32>.self).pointee.store(last, ordering: .releasing)
        ram.markDirty(address &+ UInt64(truncatingIfNeeded: index &* Self.entrySize), count: Self.entrySize)
    }

    @unsafe @inline(__always)
    private func place(_ index: Int, _ word: Int) -> UnsafeMutableRawPointer {
        precondition(index >= 0 && index < size, "a ring's entry lies in the ring")
        return unsafe base + (index &* Self.entrySize &+ word &* 4)
    }
}
