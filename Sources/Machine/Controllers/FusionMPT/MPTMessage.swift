import GuestMemory

/// A message from the driver, copied once. What lies beyond its end is zero.
struct MPTMessage: BitwiseCopyable {
    /// Length in bytes of the longest fixed part of a message that is known here: a task management request.
    static let size = 52
    private var words: InlineArray<16, UInt32> = InlineArray(repeating: 0)

    init() {}

    /// - Returns: nil if the message is not guest memory.
    @inline(__always) init?(_ ram: GuestRAM, at address: GuestAddress) {
        guard let base = unsafe ram.pointer(at: address, count: Self.size) else { return nil }
        for index in 0..<Self.size / 4 {
            words[index] = unsafe UInt32(littleEndian: base.loadUnaligned(fromByteOffset: 4 &* index, as: UInt32.self))
        }
    }

    init(_ received: [UInt32]) {
        for (index, word) in received.prefix(16).enumerated() { words[index] = word }
    }

    /// The word at an offset in bytes.
    @inline(__always) func word(_ offset: Int) -> UInt32 { words[(offset >> 2) & 15] }
    @inline(__always) func half(_ offset: Int) -> UInt16 {
        UInt16(truncatingIfNeeded: word(offset) &>> UInt32(8 &* (offset & 2)))
    }
    @inline(__always) func byte(_ offset: Int) -> UInt8 {
        UInt8(truncatingIfNeeded: word(offset) &>> UInt32(8 &* (offset & 3)))
    }
    func long(_ offset: Int) -> UInt64 { UInt64(word(offset)) | UInt64(word(offset + 4)) << 32 }

    var function: UInt8 { byte(3) }
    var context: UInt32 { word(8) }

    /// A reply to it of so many bytes, with length, function, context and status.
    func reply(_ count: Int, status: UInt16 = MPTStatus.success) -> StructureBytes {
        var reply = StructureBytes(count: count)
        reply.set(2, UInt8(count / 4))
        reply.set(3, function)
        reply.set(8, context)
        reply.set(14, status)
        return reply
    }
}

extension SegmentList {
    /// Elements that are looked at, chains and empty ones included.
    private static var mptElementsMax: Int { 2 * SCSISlot.segmentsMax }

    /// Fills the list from a request's scatter-gather elements, up to `length` bytes.
    ///
    /// - Parameters:
    ///   - request: where the request begins.
    ///   - elements: where in it the elements begin, in bytes.
    ///   - chainOffset: where in it the first chain element is, in words; zero for none.
    /// - Returns: false if an element or the memory is not guest RAM, the list ends early, or it is too scattered.
    mutating func fill(
        _ ram: GuestRAM, request: GuestAddress, elements: UInt64, chainOffset: UInt8, length: Int
    ) -> Bool {
        clear()
        if length == 0 { return true }
        var place = request &+ elements
        var chain = chainOffset == 0 ? nil : request &+ 4 &* UInt64(chainOffset)
        for _ in 0..<Self.mptElementsMax {
            guard let flags = ram.load(UInt32.self, at: place),
                flags & MPTElement.typeMask == MPTElement.simple,
                let address = Self.address(ram, flags, at: place)
            else { return false }
            place = place &+ (flags & MPTElement.wide != 0 ? 12 : 8)
            let count = min(Int(flags & MPTElement.lengthMask), length &- byteCount)
            if count > 0 {
                guard (try? append(address, count)) != nil else { return false }
                if byteCount == length { return true }
            }
            if flags & MPTElement.endOfList != 0 { return false }
            guard flags & MPTElement.last != 0 else { continue }
            guard let next = chain, let flags = ram.load(UInt32.self, at: next),
                flags & MPTElement.typeMask == MPTElement.chain, let address = Self.address(ram, flags, at: next)
            else { return false }
            place = address
            let offset = flags >> 16 & 0xff
            chain = offset == 0 ? nil : address &+ 4 &* UInt64(offset)
        }
        return false
    }

    private static func address(_ ram: GuestRAM, _ flags: UInt32, at place: GuestAddress) -> GuestAddress? {
        flags & MPTElement.wide != 0
            ? ram.load(UInt64.self, at: place &+ 4) : ram.load(UInt32.self, at: place &+ 4).map { UInt64($0) }
    }
}
