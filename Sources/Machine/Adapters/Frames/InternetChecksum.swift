/// The ones' complement sum that IP, TCP and UDP use (RFC 1071), taken over any number of pieces.
@safe struct InternetChecksum: BitwiseCopyable {
    // Sums words in the machine's byte order; swapping the bytes of the sum gives the network's (RFC 1071, section 2).
    private var sum: UInt64 = 0
    private var isOdd = false

    /// Adds bytes that follow those added before.
    @unsafe mutating func add(_ bytes: UnsafeRawPointer, count: Int) {
        var part: UInt64 = 0
        var offset = 0
        while offset &+ 8 <= count {
            let word = unsafe bytes.loadUnaligned(fromByteOffset: offset, as: UInt64.self)
            part &+= (word & 0xffff_ffff) &+ (word >> 32)
            offset &+= 8
        }
        while offset &+ 2 <= count {
            part &+= unsafe UInt64(bytes.loadUnaligned(fromByteOffset: offset, as: UInt16.self))
            offset &+= 2
        }
        if offset < count { part &+= unsafe UInt64(bytes.load(fromByteOffset: offset, as: UInt8.self)) }
        let folded = Self.fold(part)
        sum &+= UInt64(isOdd ? folded.byteSwapped : folded)
        if count & 1 != 0 { isOdd.toggle() }
    }

    /// Adds a number of 16 bits as it would lie in a packet, at an even place.
    mutating func add(_ word: UInt16) { sum &+= UInt64(word.bigEndian) }

    /// The sum so far, as a number.
    var sumValue: UInt16 { UInt16(bigEndian: Self.fold(sum)) }

    /// What goes into a packet: the sum's complement.
    var value: UInt16 { ~sumValue }

    private static func fold(_ sum: UInt64) -> UInt16 {
        var sum = (sum & 0xffff_ffff) &+ (sum >> 32)
        while sum > 0xffff { sum = (sum & 0xffff) &+ (sum >> 16) }
        return UInt16(truncatingIfNeeded: sum)
    }
}
