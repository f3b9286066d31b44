import CLinux

/// What a lock on a file lets others do.
public enum LockKind: Sendable {
    /// Others may hold shared locks on the same bytes.
    case shared
    /// Nobody else may hold a lock on these bytes.
    case exclusive
}

extension Descriptor {
    /// Takes a lock on a range of a file without waiting, if nobody else's lock is in the way.
    ///
    /// It is an open-file-description lock: it belongs to this open file and to descriptors duplicated from it, ends with the
    /// last of them however the process ends, and also keeps out a second opening by the same process. It is advisory:
    /// only those who ask for locks are kept out. The bytes need not exist. A lock taken again changes its kind.
    ///
    /// - Returns: whether the lock was taken.
    public borrowing func tryLock(_ kind: LockKind, _ bytes: Range<Int64>, _ subject: String = "") throws(SystemError)
        -> Bool
    {
        let raw = self.raw
        let type = kind == .shared ? F_RDLCK : F_WRLCK
        do {
            try retrying("lock", subject) {
                wafer_ofd_lock(raw, type, bytes.lowerBound, bytes.upperBound - bytes.lowerBound)
            }
            return true
        } catch {
            if error.number == EAGAIN || error.number == EACCES { return false }
            throw error
        }
    }

    /// Drops what this open file has locked of a range.
    public borrowing func unlock(_ bytes: Range<Int64>) {
        _ = wafer_ofd_lock(raw, F_UNLCK, bytes.lowerBound, bytes.upperBound - bytes.lowerBound)
    }

    /// Whether somebody else's lock covers any byte of the range.
    public borrowing func isLockedElsewhere(_ bytes: Range<Int64>) throws(SystemError) -> Bool {
        let raw = self.raw
        let isFree = try retrying("test lock") {
            wafer_ofd_test(raw, F_WRLCK, bytes.lowerBound, bytes.upperBound - bytes.lowerBound)
        }
        return isFree == 0
    }
}
