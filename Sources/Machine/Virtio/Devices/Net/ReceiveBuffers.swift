import GuestMemory
import Linux
import NetEngine

/// Receive buffers that were taken from a ring ahead of the packets that will fill them, in order.
///
/// Chains are looked at once, not once a packet, and a read from the back end goes straight into guest memory. Used by
/// one thread.
@safe final class ReceiveBuffers {
    private struct Chain: BitwiseCopyable {
        var head: ChainHead
        var pieces: Int
        var bytes: Int
    }

    /// How many pieces there is room for: with the spill, what one `readv` takes (IOV_MAX).
    static let piecesMax = 1023

    // The three arrays hold what lies between their start and end. Guest pointers were checked when the ring took the
    // chain, and guest memory outlives every device.
    private let pieces: UnsafeMutablePointer<IOVector>
    private let addresses: UnsafeMutablePointer<GuestAddress>
    private let chains: UnsafeMutablePointer<Chain>
    private var pieceStart = 0
    private var pieceEnd = 0
    private var chainStart = 0
    private var chainEnd = 0
    /// Bytes of all buffers.
    private(set) var byteCount = 0
    private let ram: GuestRAM

    init(_ ram: GuestRAM) {
        self.ram = ram
        unsafe pieces = .allocate(capacity: Self.piecesMax + 1)
        unsafe addresses = .allocate(capacity: Self.piecesMax)
        unsafe chains = .allocate(capacity: Self.piecesMax)
    }

    deinit {
        unsafe pieces.deallocate()
        unsafe addresses.deallocate()
        unsafe chains.deallocate()
    }

    var isEmpty: Bool { chainStart == chainEnd }

    /// Bytes that one packet may take: with `merging`, of all buffers, otherwise of the first chain.
    func capacity(merging: Bool) -> Int {
        if merging { return byteCount }
        return isEmpty ? 0 : unsafe chains[chainStart].bytes
    }

    /// Whether a chain of `count` pieces would fit.
    func hasRoom(for count: Int) -> Bool { pieceEnd &- pieceStart &+ count <= Self.piecesMax }

    /// Appends the writable part of a chain.
    ///
    /// - Precondition: it has one, and there is room.
    func append(_ chain: borrowing DescriptorChain) {
        let writable = unsafe chain.writable
        let count = writable.count
        precondition(count > 0 && hasRoom(for: count), "a receive buffer without room")
        if pieceEnd &+ count > Self.piecesMax { moveToFront() }
        for index in 0..<count {
            unsafe pieces[pieceEnd &+ index] = unsafe writable[index]
            unsafe addresses[pieceEnd &+ index] = chain.writableAddress(index) ?? 0
        }
        // Each chain has a piece at least, so chains never run out of room before pieces do.
        unsafe chains[chainEnd] = Chain(head: chain.head, pieces: count, bytes: chain.writableCount)
        pieceEnd &+= count
        chainEnd &+= 1
        byteCount &+= chain.writableCount
    }

    private func moveToFront() {
        let pieceCount = pieceEnd &- pieceStart
        let chainCount = chainEnd &- chainStart
        unsafe pieces.update(from: pieces + pieceStart, count: pieceCount)
        unsafe addresses.update(from: addresses + pieceStart, count: pieceCount)
        unsafe chains.update(from: chains + chainStart, count: chainCount)
        pieceStart = 0
        pieceEnd = pieceCount
        chainStart = 0
        chainEnd = chainCount
    }

    /// Reads a packet into the buffers, and what exceeds them into `spill`.
    @inline(__always)
    func fill(from source: any NetQueue, merging: Bool, spill: IOVector) -> TransferResult {
        let count = merging || isEmpty ? pieceEnd &- pieceStart : unsafe chains[chainStart].pieces
        // The piece behind the last one, which may be in use, lends its place to the spill.
        let place = pieceStart &+ count
        let before = unsafe pieces[place]
        unsafe pieces[place] = unsafe spill
        let result = unsafe source.receive(UnsafePointer(pieces + pieceStart), count &+ 1)
        unsafe pieces[place] = unsafe before
        return result
    }

    // MARK: Small copies

    /// Copies bytes out, from `offset` on.
    ///
    /// - Returns: how many there were.
    @discardableResult
    func gather(from offset: Int, into target: UnsafeMutableRawBufferPointer) -> Int {
        guard let base = target.baseAddress else { return 0 }
        return unsafe transfer(offset, target.count) { source, at, count in
            unsafe (base + at).copyMemory(from: source, byteCount: count)
        }
    }

    /// Copies bytes in, from `offset` on. `take` marks them as written.
    ///
    /// - Returns: how many fitted.
    @discardableResult
    func scatter(_ source: UnsafeRawBufferPointer, at offset: Int) -> Int {
        guard let base = source.baseAddress else { return 0 }
        return unsafe transfer(offset, source.count) { target, at, count in
            unsafe target.copyMemory(from: base + at, byteCount: count)
        }
    }

    @inline(__always)
    private func transfer(_ offset: Int, _ count: Int, _ body: (UnsafeMutableRawPointer, Int, Int) -> Void) -> Int {
        var skip = offset
        var done = 0
        var index = pieceStart
        while done < count, index < pieceEnd {
            let piece = unsafe pieces[index]
            if unsafe skip >= piece.count {
                unsafe skip &-= piece.count
            } else if let base = unsafe piece.base {
                let length = unsafe min(piece.count &- skip, count &- done)
                unsafe body(base + skip, done, length)
                done &+= length
                skip = 0
            }
            index &+= 1
        }
        return done
    }

    // MARK: Giving back

    /// How many chains a packet of `count` bytes takes.
    func chainsNeeded(for count: Int) -> Int {
        var left = count
        var index = chainStart
        while left > 0, index < chainEnd {
            unsafe left &-= chains[index].bytes
            index &+= 1
        }
        return index &- chainStart
    }

    /// Takes the first chain away.
    ///
    /// - Parameter written: how many of its bytes were written, at most all.
    /// - Returns: its head; nil if there is none.
    func take(written: Int) -> (head: ChainHead, bytes: Int)? {
        guard !isEmpty else { return nil }
        let chain = unsafe chains[chainStart]
        if ram.isTracking { markWritten(chain.pieces, written) }
        chainStart &+= 1
        pieceStart &+= chain.pieces
        byteCount &-= chain.bytes
        if chainStart == chainEnd {
            chainStart = 0
            chainEnd = 0
            pieceStart = 0
            pieceEnd = 0
        }
        return (chain.head, chain.bytes)
    }

    private func markWritten(_ count: Int, _ written: Int) {
        var left = written
        for index in pieceStart..<(pieceStart &+ count) where left > 0 {
            let length = unsafe min(left, pieces[index].count)
            unsafe ram.markDirty(addresses[index], count: length)
            left &-= length
        }
    }

    /// Takes the last chain away unused; nil if there is none.
    func takeLast() -> ChainHead? {
        guard !isEmpty else { return nil }
        chainEnd &-= 1
        let chain = unsafe chains[chainEnd]
        pieceEnd &-= chain.pieces
        byteCount &-= chain.bytes
        return chain.head
    }
}
