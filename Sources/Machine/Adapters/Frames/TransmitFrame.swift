import GuestMemory
import Linux
import NetEngine

/// One frame on its way from guest memory to a back end, with the work that the driver left to the adapter.
///
/// The frame is sent from where it lies. Only headers that must change (a tag is put in, segmentation needs sums that
/// drivers leave out) are copied first; the guest's own bytes are never written. Used by one thread.
@safe final class TransmitFrame {
    /// What is left to do.
    enum Work: Equatable, BitwiseCopyable {
        case none
        /// The checksum of what begins at `start` goes to `place`; both counted from the frame's first byte.
        case checksum(start: Int, place: Int)
        /// The TCP data behind `headers` bytes is cut into pieces of `size`.
        case segmentation(size: Int, headers: Int)
    }

    /// An IPv4 header checksum to fill in: over `start..<end`, to `place`.
    struct NetworkChecksum: Equatable, BitwiseCopyable {
        var start: Int
        var end: Int
        var place: Int
    }

    /// How many pieces a frame may lie in.
    static let piecesMax = 256
    /// The longest headers that can be changed: an adapter's descriptors speak of up to 1023 bytes.
    private static let headMax = 1024
    private static let tagLength = 4
    /// IEEE 802.1Q, section 9.6: type of a tagged frame.
    private static let tagType: UInt16 = 0x8100

    // The first piece is ours: the `NetHeader`, then the frame's first `headCount` bytes if they were copied. The guest's
    // pieces follow. Guest pointers were checked when they were appended; guest memory outlives the adapter.
    private let pieces: UnsafeMutablePointer<IOVector>
    private let head: UnsafeMutableRawPointer
    private let ram: GuestRAM
    private var pieceStart = 1
    private var pieceEnd = 1
    private var headCount = 0
    private var isTooScattered = false
    /// Bytes the driver gave.
    private(set) var byteCount = 0
    /// Bytes that are sent, without the header before them: a tag makes them more. Set by `prepare`.
    private(set) var frameCount = 0
    /// Segments the frame will be cut into. Set by `prepare`.
    private(set) var segmentCount = 1

    init(_ ram: GuestRAM) {
        self.ram = ram
        unsafe pieces = .allocate(capacity: Self.piecesMax + 1)
        unsafe head = .allocate(byteCount: NetHeader.size + Self.headMax + Self.tagLength, alignment: 16)
        unsafe head.initializeMemory(
            as: UInt8.self, repeating: 0, count: NetHeader.size + Self.headMax + Self.tagLength)
    }

    deinit {
        unsafe pieces.deallocate()
        unsafe head.deallocate()
    }

    private var headBytes: UnsafeMutableRawPointer { unsafe head + NetHeader.size }
    private var headBuffer: UnsafeRawBufferPointer { unsafe UnsafeRawBufferPointer(start: headBytes, count: headCount) }

    // MARK: Putting together

    func begin() {
        pieceStart = 1
        pieceEnd = 1
        headCount = 0
        byteCount = 0
        isTooScattered = false
    }

    /// Appends a piece of guest memory.
    ///
    /// - Returns: false if it is not guest memory.
    @inline(__always)
    func append(_ address: GuestAddress, _ count: Int) -> Bool {
        guard let pointer = unsafe ram.pointer(at: address, count: count) else { return false }
        if count == 0 { return true }
        byteCount &+= count
        guard pieceEnd <= Self.piecesMax else {
            isTooScattered = true
            return true
        }
        unsafe pieces[pieceEnd] = unsafe IOVector(base: pointer, count: count)
        pieceEnd &+= 1
        return true
    }

    /// Copies the frame's first bytes, so that they can be looked at and changed.
    ///
    /// - Returns: false if there are not so many.
    private func pullHead(_ count: Int) -> Bool {
        guard count <= Self.headMax, count <= byteCount else { return false }
        while headCount < count, pieceStart < pieceEnd {
            let piece = unsafe pieces[pieceStart]
            guard let base = unsafe piece.base else { return false }
            let length = unsafe min(piece.count, count &- headCount)
            unsafe (headBytes + headCount).copyMemory(from: base, byteCount: length)
            headCount &+= length
            if unsafe length == piece.count {
                pieceStart &+= 1
            } else {
                unsafe pieces[pieceStart] = unsafe IOVector(base: base + length, count: piece.count &- length)
            }
        }
        return headCount >= count
    }

    // MARK: The driver's wishes

    /// Translates what is to be done into the header before the frame, and does what a back end cannot.
    ///
    /// - Parameters:
    ///   - tag: a VLAN tag to put in.
    ///   - offloads: what the back end does.
    /// - Returns: false if the frame makes no sense or cannot be sent, and is to be dropped.
    func prepare(
        _ work: Work, tag: UInt16?, network: NetworkChecksum? = nil, offloads: NetOffloads
    ) -> Bool {
        segmentCount = 1
        guard byteCount >= Frame.headerLength, !isTooScattered else { return false }
        if let network, work.isSegmentation == false, !fillNetworkChecksum(network) { return false }
        var header = NetHeader()
        switch work {
        case .none: break
        case .checksum(let start, let place):
            guard start >= Frame.headerLength, place >= start, place &+ 2 <= byteCount else { return false }
            if offloads.contains(.checksum) {
                header.setChecksum(start: start, place: place)
            } else if !fillChecksum(start: start, place: place) {
                return false
            }
        case .segmentation(let size, let headers):
            guard let made = segmentation(size: size, headers: headers, offloads) else { return false }
            header = made
        }
        frameCount = byteCount
        if let tag {
            guard insertTag(tag) else { return false }
            frameCount &+= Self.tagLength
            if header.flags != 0 { header.checksumStart &+= UInt16(Self.tagLength) }
            if header.headerLength != 0 { header.headerLength &+= UInt16(Self.tagLength) }
        }
        guard let checked = header.sanitized(frameLength: frameCount, offloads: offloads) else { return false }
        unsafe head.storeBytes(of: checked.bytes, as: InlineArray<12, UInt8>.self)
        pieceStart &-= 1
        unsafe pieces[pieceStart] = unsafe IOVector(base: head, count: NetHeader.size &+ headCount)
        return true
    }

    /// Hands the prepared frame over; may be called again if there was no room.
    func send(to queue: any NetQueue) -> TransferResult {
        unsafe queue.send(UnsafePointer(pieces + pieceStart), pieceEnd &- pieceStart)
    }

    /// The destination's kind, for counting. After `prepare`.
    var destination: FrameDestination {
        // The first six bytes lie together, or in so many pieces that it matters to nobody.
        if headCount >= 6 { return unsafe FrameDestination(headBuffer) }
        guard pieceStart &+ 1 < pieceEnd else { return .unicast }
        let piece = unsafe pieces[pieceStart &+ 1]
        return unsafe FrameDestination(UnsafeRawBufferPointer(start: piece.base, count: piece.count))
    }

    private func insertTag(_ tag: UInt16) -> Bool {
        guard pullHead(12) else { return false }
        unsafe (headBytes + 12 + Self.tagLength).copyMemory(from: headBytes + 12, byteCount: headCount &- 12)
        storeWord(Self.tagType, at: 12)
        storeWord(tag, at: 14)
        headCount &+= Self.tagLength
        return true
    }

    private func storeWord(_ value: UInt16, at offset: Int) {
        unsafe headBytes.storeBytes(of: value.bigEndian, toByteOffset: offset, as: UInt16.self)
    }

    // MARK: Sums

    private func fillNetworkChecksum(_ network: NetworkChecksum) -> Bool {
        guard network.start >= Frame.headerLength, network.end > network.start, network.place >= network.start,
            network.place &+ 2 <= network.end, pullHead(network.end)
        else { return false }
        storeWord(0, at: network.place)
        var sum = InternetChecksum()
        unsafe sum.add(headBytes + network.start, count: network.end &- network.start)
        storeWord(sum.value, at: network.place)
        return true
    }

    /// Computes a checksum here, for a back end that cannot. The driver has put the pseudo header's sum at `place`.
    private func fillChecksum(start: Int, place: Int) -> Bool {
        guard pullHead(place &+ 2) else { return false }
        var sum = InternetChecksum()
        unsafe sum.add(headBytes + start, count: headCount &- start)
        for index in pieceStart..<pieceEnd {
            if let base = unsafe pieces[index].base { unsafe sum.add(base, count: pieces[index].count) }
        }
        // Zero would say that there is none (RFC 768); for TCP both forms mean the same.
        storeWord(sum.value == 0 ? 0xffff : sum.value, at: place)
        return true
    }

    /// Describes TCP segmentation as back ends take it: with the packet's whole length in its headers and in the pseudo
    /// header's sum. Adapters' drivers leave it out, because their hardware puts each segment's length there.
    private func segmentation(size: Int, headers: Int, _ offloads: NetOffloads) -> NetHeader? {
        guard size > 0, size <= Int(UInt16.max), headers > Frame.headerLength, pullHead(headers) else { return nil }
        let parsed = unsafe FrameHeaders(headBuffer)
        let start = parsed.transportOffset
        guard parsed.transport == .tcp, start &+ 20 <= headers else { return nil }
        let packetLength = byteCount &- parsed.networkOffset
        var sum = InternetChecksum()
        var header = NetHeader()
        switch parsed.network {
        case .ipv4:
            guard let length = UInt16(exactly: packetLength) else { return nil }
            storeWord(length, at: parsed.networkOffset &+ 2)
            let network = NetworkChecksum(
                start: parsed.networkOffset, end: start, place: parsed.networkOffset &+ 10)
            guard fillNetworkChecksum(network) else { return nil }
            unsafe sum.add(headBytes + parsed.networkOffset + 12, count: 8)
            header.segmentation = NetHeader.Segmentation.tcp4
        case .ipv6:
            guard let length = UInt16(exactly: packetLength &- 40) else { return nil }
            storeWord(length, at: parsed.networkOffset &+ 4)
            unsafe sum.add(headBytes + parsed.networkOffset + 8, count: 32)
            header.segmentation = NetHeader.Segmentation.tcp6
        case .other: return nil
        }
        sum.add(6)  // the protocol's number, then the length of header and data (RFC 9293, section 3.1)
        sum.add(UInt16(truncatingIfNeeded: byteCount &- start))
        storeWord(sum.sumValue, at: start &+ 16)
        // A sender that has just reduced its window says so in the first segment only.
        let flags = unsafe FrameHeaders.byte(headBuffer, start &+ 13)
        if flags & 0x80 != 0, offloads.contains(.ecn) { header.segmentation |= NetHeader.Segmentation.ecn }
        header.setChecksum(start: start, place: start &+ 16)
        if byteCount &- headers <= size {
            // One segment; a back end may refuse to cut what needs no cutting.
            header.segmentation = NetHeader.Segmentation.none
            if offloads.contains(.checksum) { return header }
            return fillChecksum(start: start, place: start &+ 16) ? NetHeader() : nil
        }
        segmentCount = (byteCount &- headers &+ size &- 1) / size
        header.segmentSize = UInt16(truncatingIfNeeded: size)
        header.headerLength = UInt16(truncatingIfNeeded: headers)
        return header
    }
}

extension TransmitFrame.Work {
    var isSegmentation: Bool {
        if case .segmentation = self { return true }
        return false
    }
}

extension NetHeader {
    fileprivate mutating func setChecksum(start: Int, place: Int) {
        flags = Flag.needsChecksum
        checksumStart = UInt16(truncatingIfNeeded: start)
        checksumOffset = UInt16(truncatingIfNeeded: place &- start)
    }
}

/// Whom a frame is for, as adapters count it.
enum FrameDestination: BitwiseCopyable {
    case unicast, multicast, broadcast

    @unsafe init(_ head: UnsafeRawBufferPointer) {
        guard unsafe FrameHeaders.byte(head, 0) & 1 != 0 else {
            self = .unicast
            return
        }
        var isBroadcast = true
        for index in 0..<6 where unsafe FrameHeaders.byte(head, index) != 0xff { isBroadcast = false }
        self = isBroadcast ? .broadcast : .multicast
    }
}
