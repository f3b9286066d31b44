import Linux

extension DiskImage {
    public enum Allocation: Sendable {
        /// Space is taken from the host as the guest writes; the host may run out of it then.
        case sparse
        /// All space is taken now.
        case preallocated
    }

    /// The controller that the geometry in the descriptor fits.
    public enum Adapter: String, Sendable { case lsilogic, ide }

    /// Makes an empty disk: `NAME.vmdk` and its data `NAME-flat.vmdk`. Neither may exist.
    ///
    /// The descriptor is written last and both are on stable storage when the call returns, so a disk is there whole or not
    /// at all; a crash may leave data without a descriptor.
    ///
    /// - Parameter byteCount: the disk's size, a multiple of 512.
    public static func create(
        _ path: String, byteCount: UInt64, allocation: Allocation = .sparse, adapter: Adapter = .lsilogic
    ) throws(DiskError) {
        let sectors = byteCount / 512
        guard byteCount % 512 == 0, sectors > 0, sectors <= VMDKDescriptor.Limit.sectors else {
            throw .refused(file: path, "\(byteCount) bytes is not a size a disk can have")
        }
        let name = Files.name(of: path)
        guard hasVMDKName(name), name.utf8.count > 5, descriptorName(ofExtent: name) == nil else {
            throw .refused(file: path, "a disk's name ends in .vmdk and is none of those kept for the data of disks")
        }
        let flatName = "\(name.dropLast(5))-flat.vmdk"
        let directory = Files.directory(of: path)
        let flat = "\(directory)/\(flatName)"
        let text = try description(sectors: sectors, flat: flatName, adapter: adapter).text(name: path)
        var made: [String] = []
        do {
            let data = try Descriptor(opening: flat, [.readWrite, .create, .exclusive], permissions: 0o600)
            made.append(flat)
            switch allocation {
            case .sparse: try data.resize(to: Int64(byteCount), flat)
            case .preallocated: try data.allocate(Int64(byteCount), flat)
            }
            try data.synchronize(flat)
            let descriptor = try Descriptor(opening: path, [.writeOnly, .create, .exclusive], permissions: 0o600)
            made.append(path)
            try descriptor.write(text, at: 0, path)
            try descriptor.synchronize(path)
            try Files.synchronizeDirectory(directory)
        } catch {
            for file in made { try? Files.remove(file) }
            throw .system(error)
        }
    }

    private static func description(sectors: UInt64, flat: String, adapter: Adapter) throws(DiskError) -> VMDKDescriptor
    {
        // As VMware begins a disk's life.
        let contentID: UInt32 = 0xffff_fffe
        let random: [UInt8]
        do { random = try Random.bytes(28) } catch { throw .system(error) }
        func hex(_ bytes: ArraySlice<UInt8>) -> [String] { bytes.map { VMDKDescriptor.hex(UInt64($0), 2) } }

        var descriptor = VMDKDescriptor(
            contentID: contentID, createType: .monolithicFlat,
            extents: [.init(.readWrite, sectors: sectors, .flat, file: flat, offset: 0)])
        // What a BIOS would compute with: limits of the interrupt 13h and ATA addresses.
        let (heads, perTrack, most): (UInt64, UInt64, UInt64) =
            switch adapter {
            case .lsilogic: (255, 63, 65535)
            case .ide: (16, 63, 16383)
            }
        descriptor["ddb.adapterType"] = adapter.rawValue
        descriptor["ddb.geometry.cylinders"] = String(max(1, min(most, sectors / (heads * perTrack))))
        descriptor["ddb.geometry.heads"] = String(heads)
        descriptor["ddb.geometry.sectors"] = String(perTrack)
        descriptor["ddb.longContentID"] = hex(random[..<12]).joined() + VMDKDescriptor.hex(UInt64(contentID), 8)
        // 60 00 C2 9: VMware's registered name authority (NAA 6, company 000c29); a guest reads it as the disk's identifier.
        let identifier = ["60", "00", "C2", "9" + hex(random[12..<13])[0].suffix(1)] + hex(random[13..<25])
        descriptor["ddb.uuid"] = identifier[..<8].joined(separator: " ") + "-" + identifier[8...].joined(separator: " ")
        descriptor["ddb.virtualHWVersion"] = "7"
        return descriptor
    }
}

extension DiskLayout {
    /// Gives the disk a new content identifier. Call it once, before the first write after opening: a child made from the
    /// content before then notices that its parent has changed.
    ///
    /// A raw disk has no identifier and needs none.
    public mutating func markChanged() throws(DiskError) {
        guard var descriptor, !isReadOnly else { return }
        do { descriptor.renewContentID(random: try Random.bytes(16)) } catch { throw .system(error) }
        let text = try descriptor.text(name: path)
        do { try Files.replace(path, with: text) } catch { throw .system(error) }
        self.descriptor = descriptor
    }
}
