import Linux

/// Opens what a descriptor names and checks that it fits.
struct LayoutBuilder {
    let path: String
    let descriptor: VMDKDescriptor
    /// The descriptor's own file.
    let identity: FileIdentity
    private var options: DiskImage.Options

    private var files: [String: DiskFile] = [:]
    private var warnings: [String] = []

    init(path: String, descriptor: VMDKDescriptor, identity: FileIdentity, options: DiskImage.Options) {
        self.path = path
        self.descriptor = descriptor
        self.identity = identity
        self.options = options
        if descriptor.extents.contains(where: { $0.access == .readOnly }) { self.options.isReadOnly = true }
    }

    mutating func build() throws(DiskError) -> DiskLayout {
        let directoryPath: String
        let directory: Descriptor
        do {
            // Beside the real descriptor, wherever the path got to it from.
            directoryPath = Files.directory(of: try Files.resolve(path))
            directory = try Descriptor(opening: directoryPath, [.readOnly, .directory])
        } catch {
            throw .system(error)
        }
        var extents: [DiskLayout.Extent] = []
        var used: [(file: DiskFile, range: Range<UInt64>, line: Int)] = []
        var start: UInt64 = 0
        for extent in descriptor.extents {
            // No overflow: the descriptor limits the sum of sectors and each offset to what fits 63 bits of bytes.
            let length = extent.sectorCount * 512
            var source = DiskLayout.Source.zeros
            if extent.type != .zero {
                guard let name = extent.fileName else { throw malformed(extent, "names no file") }
                let file = try open(name, extent, in: directory, directoryPath)
                let offset = (extent.offset ?? 0) * 512
                let end = offset.addingReportingOverflow(length)
                guard !end.overflow, end.partialValue <= file.byteCount else {
                    let message =
                        "needs \(length) bytes from byte \(offset) of \(quoted(name)), which has \(file.byteCount)"
                    throw malformed(extent, message)
                }
                used.append((file, offset..<end.partialValue, extent.line))
                source = .file(file, offset: offset)
            }
            let isWritable = !options.isReadOnly && extent.type != .zero
            extents.append(DiskLayout.Extent(start: start, byteCount: length, source: source, isWritable: isWritable))
            start += length
        }
        try refuseOverlap(used)
        return DiskLayout(
            path: path, format: .vmdk(descriptor.createType), byteCount: start, isReadOnly: options.isReadOnly,
            extents: extents, descriptor: descriptor, warnings: warnings)
    }

    /// Opens the file of an extent, or finds it open.
    ///
    /// A descriptor may come from anywhere: an upload, an archive, another host. So a name is only followed inside the
    /// descriptor's own directory, through no link, to a regular file that is named like a disk's data; a descriptor thus
    /// leads to no file of the host, of another machine, or of this machine's configuration.
    private mutating func open(
        _ name: String, _ extent: VMDKDescriptor.Extent, in directory: borrowing Descriptor, _ directoryPath: String
    ) throws(DiskError) -> DiskFile {
        if let file = files[name] { return file }
        guard !name.utf8.contains(UInt8(ascii: "/")), !name.utf8.contains(0) else {
            throw malformed(extent, "names \(quoted(name)); an extent must lie in its descriptor's directory")
        }
        let lower = name.lowercased()
        guard [".vmdk", ".img", ".raw"].contains(where: { lower.hasSuffix($0) && lower.utf8.count > $0.utf8.count })
        else {
            throw malformed(extent, "names \(quoted(name)); an extent's name must end in .vmdk, .img or .raw")
        }
        let full = "\(directoryPath)/\(name)"
        let file: DiskFile
        do {
            file = try DiskFile.openExtent(name, in: directory, path: full, options, warnings: &warnings)
        } catch .inUse(_, let holders) {
            let own = try? FileIdentity(of: full)
            if files.values.contains(where: { own?.isSameFile(as: $0.identity) == true }) {
                throw malformed(extent, "names \(quoted(name)), which is the file of an extent above by another name")
            }
            // The one who asked named the disk, not the extent.
            throw .inUse(file: path, holders)
        }
        if file.identity.isSameFile(as: identity) { throw malformed(extent, "names the descriptor itself") }
        files[name] = file
        return file
    }

    /// Two extents on the same bytes would make one guest write change two places.
    private mutating func refuseOverlap(_ used: [(file: DiskFile, range: Range<UInt64>, line: Int)]) throws(DiskError) {
        // Each name was opened once, and the lock kept a second name of the same file out, so a file is one object.
        var byFile: [ObjectIdentifier: [(file: DiskFile, range: Range<UInt64>, line: Int)]] = [:]
        for use in used { byFile[ObjectIdentifier(use.file), default: []].append(use) }
        for uses in byFile.values {
            let sorted = uses.sorted { $0.range.lowerBound < $1.range.lowerBound }
            for (left, right) in zip(sorted, sorted.dropFirst()) where right.range.lowerBound < left.range.upperBound {
                throw .malformed(file: path, line: right.line, "overlaps the extent on line \(left.line)")
            }
            if let last = sorted.last, last.range.upperBound < last.file.byteCount {
                let more = last.file.byteCount - last.range.upperBound
                warnings.append("\(last.file.path) is \(more) bytes longer than its descriptor says")
            }
        }
    }

    private func malformed(_ extent: VMDKDescriptor.Extent, _ reason: String) -> DiskError {
        .malformed(file: path, line: extent.line, reason)
    }
}
