import Linux

/// Locks on the files of a disk image.
///
/// The lock is on the data file itself, so it holds however the file is reached: through another path, a hard link, or a second
/// descriptor that names the same extent. The bytes and kinds are those QEMU's tools lock (raw file driver: from 100 on what
/// a user does, from 200 on what it does not let others do, one byte each for consistent reading, writing, rewriting, resizing),
/// so `qemu-img` refuses a disk in use here, and a disk in use there is refused here.
///
/// Who holds it is written beside the file, in `NAME.lck`; that file means nothing without the lock. See `LockFile`.
enum DiskLock {
    /// Everything QEMU could lock: a writer tolerates nobody.
    private static let everything: Range<Int64> = 100..<300
    /// A reader reads, and lets nobody write or resize.
    private static let reading: [Range<Int64>] = [100..<101, 201..<202, 203..<204]
    /// How many readers leave their names.
    private static let slots = 16
    /// Where the names of block device users lie; devices have no place beside them.
    private static let deviceRecords = "/run/wafer/locks"

    /// Locks an open file.
    ///
    /// - Returns: the holder's record; nil if none could be written, which costs others only the holder's name.
    static func acquire(
        _ file: borrowing Descriptor, _ identity: FileIdentity, _ path: String, shared: Bool, owner: LockHolder
    ) throws -> LockFile? {
        let record = recordPath(identity, path)
        for range in shared ? reading : [everything] {
            guard try file.tryLock(shared ? .shared : .exclusive, range, path) else { throw inUse(path, record) }
        }
        guard let record else { return nil }
        if identity.kind == .blockDevice {
            try? Files.makeDirectory("/run/wafer")
            try? Files.makeDirectory(deviceRecords)
        }
        return try? LockFile(record, holder: owner, slots: slots)
    }

    /// Throws `inUse` if somebody else has any lock.
    static func refuseIfLocked(_ file: borrowing Descriptor, _ identity: FileIdentity, _ path: String) throws {
        if try file.isLockedElsewhere(everything) { throw inUse(path, recordPath(identity, path)) }
    }

    private static func inUse(_ path: String, _ record: String?) -> DiskError {
        .inUse(file: path, record.map { LockFile.holders(of: $0, slots: slots) } ?? [])
    }

    /// Drops the lock at once, though a process that is just being spawned may have the open file a moment longer.
    static func release(_ file: borrowing Descriptor) { file.unlock(everything) }

    private static func recordPath(_ identity: FileIdentity, _ path: String) -> String? {
        if identity.kind == .blockDevice { return "\(deviceRecords)/block-\(identity.targetDevice).lck" }
        guard let real = try? Files.resolve(path) else { return nil }
        return real + ".lck"
    }
}
