import GuestMemory
import Linux
import NetEngine

/// One frame on its way from a back end into guest memory: read straight into the guest's buffers, then looked at there.
///
/// Used by one thread.
@safe final class ReceiveFrame {
    /// How many of the guest's buffers a frame may take.
    static let piecesMax = 64
    /// Frames shorter than this are filled up with zeros, as they are on a wire (IEEE 802.3, section 4.2.3.3), less the
    /// check sequence.
    static let lengthMin = 60
    private static let headMax = 128
    private static let spillSize = Frame.lengthMax

    // The back end's header, the guest's pieces, and behind them room for what exceeds them. Guest pointers were checked by
    // whoever appended them; guest memory outlives the adapter.
    private let pieces: UnsafeMutablePointer<IOVector>
    private let addresses: UnsafeMutablePointer<GuestAddress>
    private let headerBytes: UnsafeMutableRawPointer
    private let head: UnsafeMutableRawPointer
    private let spill: UnsafeMutableRawPointer
    private let ram: GuestRAM
    private var pieceCount = 0
    private var headCount = 0

    /// Bytes of all pieces.
    private(set) var capacity = 0
    /// Bytes of the received frame.
    private(set) var frameCount = 0
    /// What the back end says of the received frame.
    private(set) var header = NetHeader()

    init(_ ram: GuestRAM) {
        self.ram = ram
        unsafe pieces = .allocate(capacity: Self.piecesMax + 2)
        unsafe addresses = .allocate(capacity: Self.piecesMax)
        unsafe headerBytes = .allocate(byteCount: NetHeader.size, alignment: 16)
        unsafe head = .allocate(byteCount: Self.headMax, alignment: 16)
        unsafe spill = .allocate(byteCount: Self.spillSize, alignment: 16)
        unsafe headerBytes.initializeMemory(as: UInt8.self, repeating: 0, count: NetHeader.size)
        unsafe head.initializeMemory(as: UInt8.self, repeating: 0, count: Self.headMax)
        unsafe pieces[0] = unsafe IOVector(base: headerBytes, count: NetHeader.size)
    }

    deinit {
        unsafe pieces.deallocate()
        unsafe addresses.deallocate()
        unsafe headerBytes.deallocate()
        unsafe head.deallocate()
        unsafe spill.deallocate()
    }

    // MARK: Buffers

    func begin() {
        pieceCount = 0
        capacity = 0
    }

    var isFull: Bool { pieceCount == Self.piecesMax }

    /// Appends a buffer; `base` is where `address` is here. Beyond `piecesMax` nothing happens.
    @unsafe @inline(__always)
    func append(_ address: GuestAddress, _ base: UnsafeMutableRawPointer, _ count: Int) {
        guard pieceCount < Self.piecesMax else { return }
        unsafe pieces[pieceCount &+ 1] = unsafe IOVector(base: base, count: count)
        unsafe addresses[pieceCount] = address
        pieceCount &+= 1
        capacity &+= count
    }

    /// Receives a frame into the buffers. What exceeds them is lost, `frameCount` is then more than `capacity`.
    func receive(from queue: any NetQueue) -> TransferResult {
        unsafe pieces[pieceCount &+ 1] = unsafe IOVector(base: spill, count: Self.spillSize)
        let result = unsafe queue.receive(UnsafePointer(pieces), pieceCount &+ 2)
        if case .done(let count) = result {
            frameCount = max(count &- NetHeader.size, 0)
            header = unsafe NetHeader(headerBytes.load(as: InlineArray<12, UInt8>.self))
            headCount = gatherHead()
        }
        return result
    }

    private func gatherHead() -> Int {
        let wanted = min(frameCount, Self.headMax, capacity)
        var done = 0
        var index = 1
        while done < wanted, index <= pieceCount {
            let piece = unsafe pieces[index]
            if let base = unsafe piece.base {
                let length = unsafe min(piece.count, wanted &- done)
                unsafe (head + done).copyMemory(from: base, byteCount: length)
                done &+= length
            }
            index &+= 1
        }
        return done
    }

    // MARK: Looking at the frame

    private var headBuffer: UnsafeRawBufferPointer { unsafe UnsafeRawBufferPointer(start: head, count: headCount) }

    /// The first bytes, for a filter, and how many there are.
    var filteredHead: (bytes: InlineArray<18, UInt8>, count: Int) {
        // `head` is longer than this and was set to zero at first.
        unsafe (head.loadUnaligned(as: InlineArray<18, UInt8>.self), min(headCount, Frame.filteredLength))
    }

    var destination: FrameDestination { unsafe FrameDestination(headBuffer) }

    var headers: FrameHeaders { unsafe FrameHeaders(headBuffer) }

    /// Whether the frame is many segments put together.
    var isLarge: Bool { header.segmentation != NetHeader.Segmentation.none }

    /// Whether the checksum of the frame's TCP or UDP is known to be right, or need not be looked at.
    var hasGoodTransportChecksum: Bool {
        header.flags & (NetHeader.Flag.needsChecksum | NetHeader.Flag.dataValid) != 0
    }

    // MARK: Changing the frame

    /// Finishes a checksum that the sender left out, so that the guest may hand the frame on. A large frame keeps it so:
    /// it is cut again before it leaves the guest.
    func completeChecksum() {
        guard header.flags & NetHeader.Flag.needsChecksum != 0, !isLarge else { return }
        let start = Int(header.checksumStart)
        let place = start &+ Int(header.checksumOffset)
        guard place &+ 2 <= frameCount, frameCount <= capacity else { return }
        var sum = InternetChecksum()
        var skip = start
        var left = frameCount &- start
        var index = 1
        while left > 0, index <= pieceCount {
            let piece = unsafe pieces[index]
            if unsafe skip >= piece.count {
                unsafe skip &-= piece.count
            } else if let base = unsafe piece.base {
                let length = unsafe min(piece.count &- skip, left)
                unsafe sum.add(base + skip, count: length)
                left &-= length
                skip = 0
            }
            index &+= 1
        }
        let value = sum.value == 0 ? 0xffff : sum.value
        store(UInt8(truncatingIfNeeded: value >> 8), at: place)
        store(UInt8(truncatingIfNeeded: value), at: place &+ 1)
    }

    private func store(_ byte: UInt8, at offset: Int) {
        var skip = offset
        for index in 1..<(pieceCount &+ 1) {
            let piece = unsafe pieces[index]
            if unsafe skip < piece.count {
                unsafe piece.base?.storeBytes(of: byte, toByteOffset: skip, as: UInt8.self)
                return
            }
            unsafe skip &-= piece.count
        }
    }

    /// Takes the VLAN tag out.
    ///
    /// - Returns: the tag; nil if the frame has none.
    func removeTag() -> UInt16? {
        guard headCount >= Frame.filteredLength, frameCount <= capacity,
            unsafe FrameHeaders.word(headBuffer, 12) == 0x8100
        else { return nil }
        let tag = unsafe FrameHeaders.word(headBuffer, 14)
        closeGap(at: 12, count: 4)
        frameCount &-= 4
        if header.flags & NetHeader.Flag.needsChecksum != 0 { header.checksumStart &-= 4 }
        headCount = gatherHead()
        return tag
    }

    /// Moves what follows `count` bytes at `offset` over them, from buffer to buffer.
    private func closeGap(at offset: Int, count: Int) {
        var (target, targetSkip) = position(offset)
        var (source, sourceSkip) = position(offset &+ count)
        var left = frameCount &- offset &- count
        while left > 0, source <= pieceCount, target <= pieceCount {
            let (to, from) = unsafe (pieces[target], pieces[source])
            let length = unsafe min(left, to.count &- targetSkip, from.count &- sourceSkip)
            if let toBase = unsafe to.base, let fromBase = unsafe from.base {
                // Overlaps are allowed.
                unsafe (toBase + targetSkip).copyMemory(from: fromBase + sourceSkip, byteCount: length)
            }
            left &-= length
            targetSkip &+= length
            sourceSkip &+= length
            if unsafe targetSkip == to.count { (target, targetSkip) = (target &+ 1, 0) }
            if unsafe sourceSkip == from.count { (source, sourceSkip) = (source &+ 1, 0) }
        }
    }

    /// Which piece a byte of the frame lies in, and where.
    private func position(_ offset: Int) -> (index: Int, skip: Int) {
        var skip = offset
        var index = 1
        while index <= pieceCount, unsafe skip >= pieces[index].count {
            unsafe skip &-= pieces[index].count
            index &+= 1
        }
        return (index, skip)
    }

    /// Fills a short frame up, as far as the buffers go.
    func pad() {
        while frameCount < min(Self.lengthMin, capacity) {
            store(0, at: frameCount)
            frameCount &+= 1
        }
    }

    /// Notes for migration which of the guest's bytes were written.
    func markWritten() {
        guard ram.isTracking else { return }
        var left = frameCount
        for index in 0..<pieceCount where left > 0 {
            let length = unsafe min(left, pieces[index &+ 1].count)
            unsafe ram.markDirty(addresses[index], count: length)
            left &-= length
        }
    }
}
