import CLinux

/// One stretch of memory of a scattered read or write. An array of these is what the kernel calls an `iovec` array.
@unsafe public struct IOVector: BitwiseCopyable {
    // The two fields of `iovec`, in its order; the checks below hold Swift to that layout.
    public var base: UnsafeMutableRawPointer?
    /// Length in bytes.
    public var count: Int

    @inlinable public init(base: UnsafeMutableRawPointer?, count: Int) {
        unsafe self.base = unsafe base
        unsafe self.count = count
    }
}

/// What a transfer that does not block came to.
public enum TransferResult: Equatable, Sendable, BitwiseCopyable {
    /// So many bytes were moved.
    case done(Int)
    /// Nothing is there to read, or there is no room to write now.
    case wouldBlock
    /// The error number.
    case failed(CInt)
}

/// Writes the stretches as one record (a packet, for sockets and taps) without blocking on a non-blocking descriptor.
@unsafe public func writeRecord(_ descriptor: CInt, _ pieces: UnsafePointer<IOVector>, _ count: Int) -> TransferResult {
    let vector = unsafe UnsafeRawPointer(pieces).assumingMemoryBound(to: iovec.self)
    while true {
        let result = unsafe writev(descriptor, vector, CInt(truncatingIfNeeded: count))
        if result >= 0 { return .done(result) }
        let number = wafer_errno()
        if number == EINTR { continue }
        return number == EAGAIN ? .wouldBlock : .failed(number)
    }
}

/// Reads one record into the stretches. A longer record is cut off without a word.
@unsafe public func readRecord(_ descriptor: CInt, _ pieces: UnsafePointer<IOVector>, _ count: Int) -> TransferResult {
    let vector = unsafe UnsafeRawPointer(pieces).assumingMemoryBound(to: iovec.self)
    while true {
        let result = unsafe readv(descriptor, vector, CInt(truncatingIfNeeded: count))
        if result >= 0 { return .done(result) }
        let number = wafer_errno()
        if number == EINTR { continue }
        return number == EAGAIN ? .wouldBlock : .failed(number)
    }
}
