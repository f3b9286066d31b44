public import Bytes

/// The text that describes a VMware virtual disk: where its sectors are and what it looks like to a guest.
///
/// Layout after VMware's "Virtual Disk Format 5.0" and what VMware and QEMU write; see docs/formats/vmdk.md.
public struct VMDKDescriptor: Equatable, Sendable {
    /// Every descriptor begins with this.
    public static let magic = "# Disk DescriptorFile"
    /// Limits that no real descriptor meets.
    public enum Limit {
        /// Longest descriptor, in bytes.
        public static let fileSize = 1 << 20
        /// Most extents.
        public static let extents = 8192
        /// Most sectors of a disk: its bytes, 512 a sector, fit a signed 64-bit file offset.
        public static let sectors = UInt64(Int64.max) / 512
    }

    public var version = 1
    public var encoding = TextEncoding.utf8
    /// `CID`: changes with the first write after every opening, so that a child notices a changed parent.
    public var contentID: UInt32
    /// `parentCID`; nil if the disk has no parent (`ffffffff` in the text).
    public var parentContentID: UInt32?
    public var createType: CreateType
    /// `parentFileNameHint`.
    public var parentFileName: String?
    /// Other keys before the extents, such as `isNativeSnapshot` and `changeTrackPath`, in file order.
    public var header: [Property] = []
    public var extents: [Extent]
    /// The disk data base: keys that begin with `ddb.`, in file order.
    public var database: [Property] = []

    public init(contentID: UInt32, createType: CreateType, extents: [Extent]) {
        self.contentID = contentID
        self.createType = createType
        self.extents = extents
    }

    /// Sum of the extents, in sectors of 512 bytes.
    public var sectorCount: UInt64 { extents.reduce(0) { $0 &+ $1.sectorCount } }

    /// A value of the disk data base; nil if it has none. The key is written with its `ddb.`.
    public subscript(key: String) -> String? {
        get { database.first { $0.key == key }?.value }
        set {
            let index = database.firstIndex { $0.key == key }
            switch (index, newValue) {
            case (let index?, let value?): database[index].value = value
            case (let index?, nil): database.remove(at: index)
            case (nil, let value?): database.append(Property(key, value))
            case (nil, nil): break
            }
        }
    }

    /// Marks the content as changed: a new content identifier, in the short and, if the disk has one, the long form.
    ///
    /// - Parameter random: at least 16 random bytes; what is missing is zero.
    public mutating func renewContentID(random: [UInt8]) {
        let bytes = Array(random.prefix(16)) + repeatElement(0, count: 16 - min(16, random.count))
        var id = bytes[12...].reduce(UInt32(0)) { $0 << 8 | UInt32($1) }
        // All ones mean "no parent" in a child; and the content must count as changed.
        while id == .max || id == contentID { id = id &- 0x1234_5677 }
        contentID = id
        guard self["ddb.longContentID"] != nil else { return }
        // VMware's long form ends with the short one.
        self["ddb.longContentID"] = bytes[..<12].map { Self.hex(UInt64($0), 2) }.joined() + Self.hex(UInt64(id), 8)
    }

    static func hex(_ value: UInt64, _ width: Int) -> String {
        let digits = String(value, radix: 16)
        return String(repeating: "0", count: max(0, width - digits.utf8.count)) + digits
    }

    /// A key and its value.
    public struct Property: Equatable, Sendable {
        public var key: String
        public var value: String

        public init(_ key: String, _ value: String) {
            self.key = key
            self.value = value
        }
    }

    /// `createType`: how the disk is stored as a whole. Names Wafer has never heard of are kept too.
    public struct CreateType: RawRepresentable, Equatable, Hashable, Sendable {
        public var rawValue: String
        public init(rawValue: String) { self.rawValue = rawValue }

        public static let monolithicFlat = CreateType(rawValue: "monolithicFlat")
        public static let monolithicSparse = CreateType(rawValue: "monolithicSparse")
        public static let twoGbMaxExtentFlat = CreateType(rawValue: "twoGbMaxExtentFlat")
        public static let twoGbMaxExtentSparse = CreateType(rawValue: "twoGbMaxExtentSparse")
        public static let streamOptimized = CreateType(rawValue: "streamOptimized")
        public static let vmfs = CreateType(rawValue: "vmfs")
        public static let vmfsSparse = CreateType(rawValue: "vmfsSparse")
        public static let seSparse = CreateType(rawValue: "seSparse")
        public static let vmfsRDM = CreateType(rawValue: "vmfsRawDeviceMap")
        public static let vmfsPassthroughRDM = CreateType(rawValue: "vmfsPassthroughRawDeviceMap")
        public static let fullDevice = CreateType(rawValue: "fullDevice")
        public static let partitionedDevice = CreateType(rawValue: "partitionedDevice")
    }

    public enum Access: String, Equatable, Sendable, CaseIterable {
        case readWrite = "RW"
        case readOnly = "RDONLY"
        case none = "NOACCESS"
    }

    /// How one extent is stored. Names Wafer has never heard of are kept too.
    public struct ExtentType: RawRepresentable, Equatable, Hashable, Sendable {
        public var rawValue: String
        public init(rawValue: String) { self.rawValue = rawValue }

        public static let flat = ExtentType(rawValue: "FLAT")
        public static let sparse = ExtentType(rawValue: "SPARSE")
        /// Reads as zeros; nothing is stored.
        public static let zero = ExtentType(rawValue: "ZERO")
        public static let vmfs = ExtentType(rawValue: "VMFS")
        public static let vmfsSparse = ExtentType(rawValue: "VMFSSPARSE")
        public static let vmfsRDM = ExtentType(rawValue: "VMFSRDM")
        public static let vmfsRaw = ExtentType(rawValue: "VMFSRAW")
        public static let seSparse = ExtentType(rawValue: "SESPARSE")
    }

    /// A run of the disk's sectors and where they are.
    public struct Extent: Equatable, Sendable {
        public var access: Access
        /// Length in sectors of 512 bytes, at least 1.
        public var sectorCount: UInt64
        public var type: ExtentType
        /// The file, relative to the descriptor; nil for an extent that stores nothing.
        public var fileName: String?
        /// Where in the file the run begins, in sectors; nil if the text does not say.
        public var offset: UInt64?
        /// The line it stands on, counted from 1; 0 for one that was not read from a text.
        public var line = 0

        public init(
            _ access: Access, sectors: UInt64, _ type: ExtentType, file: String? = nil, offset: UInt64? = nil
        ) {
            self.access = access
            sectorCount = sectors
            self.type = type
            fileName = file
            self.offset = offset
        }

        /// Equal extents say the same, wherever they stand.
        public static func == (left: Extent, right: Extent) -> Bool {
            left.access == right.access && left.sectorCount == right.sectorCount && left.type == right.type
                && left.fileName == right.fileName && left.offset == right.offset
        }
    }
}
