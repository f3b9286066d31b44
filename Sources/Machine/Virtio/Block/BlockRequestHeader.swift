import DeviceModel

/// What a request asks for (virtio 1.2, section 5.2.6).
enum BlockRequestType {
    static let read: UInt32 = 0
    static let write: UInt32 = 1
    static let flush: UInt32 = 4
    static let getIdentity: UInt32 = 8
    static let discard: UInt32 = 11
    static let writeZeroes: UInt32 = 13
}

/// The last byte of a request's writable part.
enum BlockRequestStatus {
    static let done: UInt8 = 0
    static let failed: UInt8 = 1
    static let unsupported: UInt8 = 2

    static func code(_ status: BlockStatus) -> UInt8 {
        switch status {
        case .done: done
        case .unsupported: unsupported
        case .failed, .noSpace, .readOnly, .outOfRange: failed
        }
    }
}

/// One range of a discard or write-zeroes request, 16 bytes: sector u64, sector count u32, flags u32.
struct BlockRange: BitwiseCopyable {
    static let size = 16
    /// The only flag: storage may be freed.
    static let unmap: UInt32 = 1

    var sector: UInt64 = 0
    var count: UInt32 = 0
    var flags: UInt32 = 0
}

extension VirtioFeatures {
    // Block device (virtio 1.2, section 5.2.3).

    /// `seg_max` holds.
    public static let blockSegmentsMax = VirtioFeatures(bit: 2)
    public static let blockReadOnly = VirtioFeatures(bit: 5)
    public static let blockSize = VirtioFeatures(bit: 6)
    public static let blockFlush = VirtioFeatures(bit: 9)
    public static let blockTopology = VirtioFeatures(bit: 10)
    /// The driver can choose between write-back and write-through.
    public static let blockConfigurableCache = VirtioFeatures(bit: 11)
    public static let blockMultiQueue = VirtioFeatures(bit: 12)
    public static let blockDiscard = VirtioFeatures(bit: 13)
    public static let blockWriteZeroes = VirtioFeatures(bit: 14)
}

/// The device's configuration (virtio 1.2, section 5.2.4), for the features that we offer.
struct BlockConfiguration {
    enum Offset {
        static let capacity = 0
        static let segmentsMax = 12
        static let blockSize = 20
        static let physicalBlockExponent = 24
        static let alignmentOffset = 25
        static let minimalIO = 26
        static let optimalIO = 28
        static let writeback = 32
        static let queueCount = 34
        static let discardSectorsMax = 36
        static let discardSegmentsMax = 40
        static let discardAlignment = 44
        static let zeroesSectorsMax = 48
        static let zeroesSegmentsMax = 52
        static let zeroesMayUnmap = 56
    }

    /// Sectors are 512 bytes whatever the block size.
    static let sectorSize: UInt64 = 512
    /// Longest range of a discard or write-zeroes request: 2 GiB less a sector.
    static let rangeSectorsMax: UInt32 = 0x3f_ffff
    /// Ranges in one such request.
    static let rangesMax = 16
    /// Length of the structure up to the fields of secure erase, which is not offered.
    private static let size = 60

    private(set) var registers = DeviceConfiguration(count: size)

    init(_ geometry: BlockGeometry, queueCount: Int, segmentsMax: Int) {
        setCapacity(geometry.capacity)
        set(Offset.segmentsMax, UInt32(segmentsMax))
        set(Offset.blockSize, geometry.logicalBlock)
        let ratio = max(geometry.physicalBlock / geometry.logicalBlock, 1)
        set(Offset.physicalBlockExponent, UInt8(ratio.trailingZeroBitCount))
        set(Offset.minimalIO, UInt16(clamping: ratio))
        set(Offset.writeback, UInt8(1))
        set(Offset.queueCount, UInt16(queueCount))
        set(Offset.discardSectorsMax, Self.rangeSectorsMax)
        set(Offset.discardSegmentsMax, UInt32(Self.rangesMax))
        set(Offset.discardAlignment, UInt32(UInt64(geometry.physicalBlock) / Self.sectorSize))
        set(Offset.zeroesSectorsMax, Self.rangeSectorsMax)
        set(Offset.zeroesSegmentsMax, UInt32(Self.rangesMax))
        set(Offset.zeroesMayUnmap, geometry.canDiscard ? UInt8(1) : 0)
    }

    /// - Parameter capacity: in bytes.
    mutating func setCapacity(_ capacity: UInt64) { set(Offset.capacity, capacity / Self.sectorSize) }

    var isWriteback: Bool {
        get { registers[Offset.writeback] != 0 }
        set { set(Offset.writeback, newValue ? UInt8(1) : 0) }
    }

    private mutating func set<T: FixedWidthInteger>(_ offset: Int, _ value: T) {
        registers.set(offset, value)
    }
}
