import DeviceModel
import GuestMemory
import Linux

/// One request of the guest, from when it is taken from the ring until it is given back.
@safe struct BlockSlot: ~Copyable {
    /// How long the header is: type u32, reserved u32, sector u64.
    static let headerSize = 16

    /// What is left of it after `takeHeader` is the data.
    var chain: DescriptorChain
    /// Where the status goes.
    private var status: UnsafeMutablePointer<UInt8>?
    private var statusAddress: GuestAddress = 0
    private let ram: GuestRAM
    /// Bytes of the writable part that the request fills if it ends well.
    var filled: UInt32 = 0

    /// For discard and write-zeroes: our copy of the ranges, and which is next.
    var ranges: [16 of BlockRange]
    var rangeCount = 0
    var rangeNext = 0
    var operation = BlockOperation.flush

    init(_ ram: GuestRAM, segmentsMax: Int) {
        self.ram = ram
        // A header and a status besides the data.
        chain = DescriptorChain(ram, capacity: segmentsMax + 2)
        ranges = [16 of BlockRange](repeating: BlockRange())
    }

    /// Takes the status byte off the end of the chain.
    ///
    /// - Returns: false if there is no writable byte, so that the request cannot be answered.
    mutating func takeStatus() -> Bool {
        let writable = unsafe chain.writable
        guard let last = unsafe writable.last, let base = unsafe last.base, unsafe last.count > 0,
            let address = chain.writableAddress(writable.count - 1)
        else { return false }
        let offset = unsafe last.count - 1
        unsafe status = (base + offset).assumingMemoryBound(to: UInt8.self)
        statusAddress = address &+ UInt64(truncatingIfNeeded: offset)
        chain.dropWritable(last: 1)
        filled = 0
        return true
    }

    /// Takes the header off the front of the chain.
    ///
    /// - Returns: nil if the readable part is shorter than a header.
    mutating func takeHeader() -> (type: UInt32, sector: UInt64)? {
        let readable = unsafe chain.readable
        let header: (type: UInt32, sector: UInt64)
        if let first = unsafe readable.first, unsafe first.count >= Self.headerSize, let base = unsafe first.base {
            let type = unsafe UInt32(littleEndian: base.loadUnaligned(as: UInt32.self))
            let sector = unsafe UInt64(littleEndian: base.loadUnaligned(fromByteOffset: 8, as: UInt64.self))
            header = (type, sector)
        } else {
            guard let type = chain.load(UInt32.self), let sector = chain.load(UInt64.self, at: 8) else { return nil }
            header = (type, sector)
        }
        chain.dropReadable(first: Self.headerSize)
        return header
    }

    /// Writes the status.
    ///
    /// - Returns: how many bytes from the start of the writable part were written.
    func answer(_ code: UInt8) -> UInt32 {
        unsafe status?.pointee = code
        ram.markDirty(statusAddress, count: 1)
        // The status is the last byte: what lies before it counts only if it was filled.
        let dataCount = UInt32(truncatingIfNeeded: chain.writableCount)
        return dataCount == 0 || filled == dataCount ? filled &+ 1 : filled
    }
}
