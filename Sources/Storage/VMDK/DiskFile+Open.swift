import Linux

extension DiskFile {
    /// Opens and locks a whole raw disk: a regular file or a block device.
    static func openRaw(_ path: String, _ options: DiskImage.Options, warnings: inout [String]) throws(DiskError)
        -> DiskFile
    {
        do {
            var file = try Descriptor(opening: path, mode(options))
            let identity = try file.identity(path)
            switch identity.kind {
            case .regular: break
            case .blockDevice:
                if !options.isReadOnly { file = try claim(path, file, identity, options) }
            default: throw DiskError.refused(file: path, "is neither a regular file nor a block device")
            }
            return try DiskFile(path, file, options, warnings: &warnings)
        } catch let error as DiskError {
            throw error
        } catch let error as SystemError {
            throw .system(error)
        } catch {
            throw .refused(file: path, "cannot be opened")
        }
    }

    /// Opens a block device for ourselves: the kernel then keeps mounts and volume managers out, and us where they are in.
    ///
    /// - Parameter file: the same device, opened without a claim.
    private static func claim(
        _ path: String, _ file: borrowing Descriptor, _ identity: FileIdentity, _ options: DiskImage.Options
    ) throws -> Descriptor {
        do {
            return try Descriptor(opening: path, mode(options).union(.exclusive))
        } catch  where error.isBusy {
            // Another machine has claimed it too, but left its name.
            try DiskLock.refuseIfLocked(file, identity, path)
            throw DiskError.refused(file: path, "the host itself uses it (mounted, or part of a volume)")
        }
    }

    /// Opens and locks one extent of a disk: a regular file that lies beside its descriptor.
    ///
    /// - Parameter path: the same file for messages and for the lock's record.
    static func openExtent(
        _ name: String, in directory: borrowing Descriptor, path: String, _ options: DiskImage.Options,
        warnings: inout [String]
    ) throws(DiskError) -> DiskFile {
        do {
            let file = try directory.opening(name, mode(options).union(.notFollowingLink))
            guard try file.identity(path).kind == .regular else {
                throw DiskError.refused(file: path, "is not a regular file, as an extent must be")
            }
            return try DiskFile(path, file, options, warnings: &warnings)
        } catch let error as DiskError {
            throw error
        } catch let error as SystemError {
            if error.isLinkLoop { throw .refused(file: path, "is a symbolic link, which an extent must not be") }
            throw .system(SystemError(number: error.number, operation: error.operation, subject: path))
        } catch {
            throw .refused(file: path, "cannot be opened")
        }
    }

    /// Not blocking, so that a named pipe in the file's place cannot hold us up.
    private static func mode(_ options: DiskImage.Options) -> OpenMode {
        [options.isReadOnly ? .readOnly : .readWrite, .nonBlocking]
    }

    /// Locks an open file and finds out about it.
    private convenience init(
        _ path: String, _ file: consuming Descriptor, _ options: DiskImage.Options, warnings: inout [String]
    ) throws {
        let identity = try file.identity(path)
        let record = try DiskLock.acquire(file, identity, path, shared: options.isReadOnly, owner: options.owner)
        let isBlockDevice = identity.kind == .blockDevice
        let byteCount = isBlockDevice ? try file.blockDeviceSize() : UInt64(max(0, identity.size))
        _ = file.setNotWaiting(false)
        var isDirect = false
        if options.direct {
            isDirect = Self.goDirect(file)
            if !isDirect {
                warnings.append("\(path) goes through the host's page cache: no direct I/O in units of 512 bytes")
            }
        }
        self.init(
            path: path, descriptor: file, byteCount: byteCount, isBlockDevice: isBlockDevice, isDirect: isDirect,
            identity: identity, record: record)
    }

    /// Turns the page cache off if requests of 512 bytes still work then; a disk with sectors of 4096 bytes refuses them.
    private static func goDirect(_ file: borrowing Descriptor) -> Bool {
        guard file.setDirect(true) else { return false }
        if let buffer = try? Mapping(anonymous: 4096, "direct read"), file.canRead(512, into: buffer) { return true }
        _ = file.setDirect(false)
        return false
    }
}
