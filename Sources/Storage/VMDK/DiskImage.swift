public import Linux

/// Opening and making disk images.
///
/// Which format an image has is told by its **name**, never guessed from its content: a name that ends in `.vmdk` is VMware's,
/// anything else is raw. A guest writes every byte of a raw disk and of a flat extent; if content decided, it could write
/// a descriptor there and, after its next start, read the host's files through it. For the same reason the file of an extent
/// (`x-flat.vmdk` and its like) is refused as a disk, and an extent's content is never looked at.
public enum DiskImage {
    public struct Options: Sendable {
        /// Opens for reading only and lets other readers in at the same time.
        public var isReadOnly = false
        /// Goes around the host's page cache where that works for requests of 512 bytes.
        public var direct = false
        /// Overrides what the name says.
        public var format: Format = .byName
        /// Whom others will be told that the disk is in use by.
        public var owner: LockHolder

        public init(owner: LockHolder) { self.owner = owner }
    }

    public enum Format: Sendable { case byName, raw, vmdk }

    /// Opens and locks a disk image.
    ///
    /// - Parameter path: a VMDK descriptor, a raw file or a block device.
    /// - Throws: `inUse` if another machine has it; `notSupported` for kinds of image that are still to come.
    public static func open(_ path: String, _ options: Options) throws(DiskError) -> DiskLayout {
        let isVMDK =
            switch options.format {
            case .byName: hasVMDKName(path)
            case .raw: false
            case .vmdk: true
            }
        return isVMDK ? try openVMDK(path, options) : try openRaw(path, options)
    }

    private static func openRaw(_ path: String, _ options: Options) throws(DiskError) -> DiskLayout {
        var warnings: [String] = []
        let file = try DiskFile.openRaw(path, options, warnings: &warnings)
        guard file.byteCount > 0, file.byteCount % 512 == 0 else {
            throw .refused(
                file: path, "its size of \(file.byteCount) bytes is not a number of whole sectors of 512 bytes")
        }
        let extent = DiskLayout.Extent(
            start: 0, byteCount: file.byteCount, source: .file(file, offset: 0), isWritable: !options.isReadOnly)
        return DiskLayout(
            path: path, format: .raw, byteCount: file.byteCount, isReadOnly: options.isReadOnly, extents: [extent],
            descriptor: nil, warnings: warnings)
    }

    private static func openVMDK(_ path: String, _ options: Options) throws(DiskError) -> DiskLayout {
        if let owner = descriptorName(ofExtent: Files.name(of: path)) {
            throw .refused(file: path, "is the data of another disk; name its descriptor, such as \(quoted(owner))")
        }
        let (descriptor, identity) = try readDescriptor(path)
        try checkKind(descriptor, path)
        var builder = LayoutBuilder(path: path, descriptor: descriptor, identity: identity, options: options)
        return try builder.build()
    }

    /// Reads the descriptor of a VMDK without opening its extents.
    public static func descriptor(of path: String) throws(DiskError) -> VMDKDescriptor { try readDescriptor(path).0 }

    private static func readDescriptor(_ path: String) throws(DiskError) -> (VMDKDescriptor, FileIdentity) {
        let bytes: [UInt8]
        let identity: FileIdentity
        do {
            let file = try Descriptor(opening: path, [.readOnly, .nonBlocking])
            identity = try file.identity(path)
            guard identity.kind == .regular else { throw DiskError.refused(file: path, "is not a regular file") }
            bytes = try file.contents(upTo: VMDKDescriptor.Limit.fileSize + 1, path)
        } catch let error as DiskError {
            throw error
        } catch let error as SystemError {
            throw .system(error)
        } catch {
            throw .refused(file: path, "cannot be read")
        }
        if !VMDKDescriptor.isDescriptor(bytes) {
            // Magics: hosted sparse and streamOptimized, redo log of VMFS, SE sparse (0xcafebabe in 8 bytes, little endian).
            if bytes.starts(with: "KDMV".utf8) {
                throw .notSupported(file: path, "a sparse VMDK (monolithicSparse or streamOptimized)")
            }
            if bytes.starts(with: "COWD".utf8) { throw .notSupported(file: path, "a redo log (vmfsSparse)") }
            if bytes.starts(with: [0xbe, 0xba, 0xfe, 0xca, 0, 0, 0, 0]) {
                throw .notSupported(file: path, "a space-efficient sparse extent (seSparse)")
            }
            throw .refused(file: path, "is no VMDK descriptor; a raw disk needs a name that does not end in .vmdk")
        }
        return (try VMDKDescriptor(parsing: bytes, name: path), identity)
    }

    private static func checkKind(_ descriptor: VMDKDescriptor, _ path: String) throws(DiskError) {
        if let parent = descriptor.parentContentID {
            let id = VMDKDescriptor.hex(UInt64(parent), 8)
            throw .notSupported(file: path, "a disk with a parent (a snapshot or linked clone, parentCID \(id))")
        }
        let flat: [VMDKDescriptor.CreateType] = [.monolithicFlat, .twoGbMaxExtentFlat, .vmfs]
        guard flat.contains(descriptor.createType) else {
            throw .notSupported(file: path, "createType \(quoted(descriptor.createType.rawValue))")
        }
        for extent in descriptor.extents {
            guard [.flat, .vmfs, .zero].contains(extent.type) else {
                throw .notSupported(
                    file: path, "an extent of type \(quoted(extent.type.rawValue)) (line \(extent.line))")
            }
            if extent.access == .none {
                throw .notSupported(file: path, "an extent without access (line \(extent.line))")
            }
        }
    }

    static func hasVMDKName(_ path: String) -> Bool { path.lowercased().hasSuffix(".vmdk") }

    /// For the name of a file that holds an extent by VMware's naming: the name its descriptor probably has. Nil for others.
    static func descriptorName(ofExtent name: String) -> String? {
        guard hasVMDKName(name) else { return nil }
        let stem = name.dropLast(5)
        guard let dash = stem.lastIndex(of: "-") else { return nil }
        let suffix = stem[stem.index(after: dash)...].lowercased()
        // Split disks number their extents -f001 and -s001.
        let isNumbered =
            "fs".contains(suffix.prefix(1)) && suffix.count == 4 && suffix.dropFirst().allSatisfy(\.isNumber)
        let isData = ["flat", "delta", "sesparse", "rdm", "rdmp", "ctk"].contains(suffix)
        return isNumbered || isData ? "\(stem[..<dash]).vmdk" : nil
    }
}
