public import Linux

/// A disk or partition as something that keeps blocks: what formats of ours are written on, and what tests put a simulated
/// disk in the place of.
///
/// What is written is safe from a power cut only after `flush`. Until then each sector of `blockSize` bytes holds what it held
/// or what was written last, in no particular order; a single sector is never half of each.
public protocol BlockStore: AnyObject {
    /// Bytes in all, a multiple of `blockSize`.
    var size: UInt64 { get }
    /// What the medium writes as a whole, in bytes: a power of two from 512 to 4096.
    var blockSize: Int { get }
    /// For error texts.
    var name: String { get }

    /// Bytes from any place.
    ///
    /// - Throws: EINVAL of our own if they are not all inside.
    func read(_ count: Int, at offset: UInt64) throws(SystemError) -> [UInt8]

    /// Writes bytes to any place. Blocks that are written in part are read first.
    ///
    /// - Throws: EINVAL of our own if they are not all inside.
    func write(_ bytes: [UInt8], at offset: UInt64) throws(SystemError)

    /// Returns when everything written is safe from a power cut.
    func flush() throws(SystemError)

    /// What is read from now on comes from the medium, not from memory. After a flush.
    func dropCache()
}

extension BlockStore {
    /// Says that `count` bytes at `offset` are inside.
    public func check(_ count: Int, at offset: UInt64, _ operation: String) throws(SystemError) {
        guard let count = UInt64(exactly: count), offset <= size, count <= size - offset else {
            throw .invalid(operation, "\(name), which ends before byte \(offset) plus \(count)")
        }
    }
}
