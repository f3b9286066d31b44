import CLinux

/// What a ring can be asked to do.
public struct IORingOperation: Equatable, Sendable, BitwiseCopyable {
    let code: UInt8

    public static let nothing = IORingOperation(code: WAFER_URING_NOP)
    public static let read = IORingOperation(code: WAFER_URING_READ)
    public static let write = IORingOperation(code: WAFER_URING_WRITE)
    public static let readVector = IORingOperation(code: WAFER_URING_READV)
    public static let writeVector = IORingOperation(code: WAFER_URING_WRITEV)
    /// Into a registered buffer.
    public static let readFixed = IORingOperation(code: WAFER_URING_READ_FIXED)
    /// From a registered buffer.
    public static let writeFixed = IORingOperation(code: WAFER_URING_WRITE_FIXED)
    public static let sync = IORingOperation(code: WAFER_URING_FSYNC)
    public static let allocate = IORingOperation(code: WAFER_URING_FALLOCATE)
    public static let poll = IORingOperation(code: WAFER_URING_POLL_ADD)
}

/// The file of a request: a descriptor, or a place in the ring's table of registered files, which is quicker to find.
public struct IORingFile: Equatable, Sendable, BitwiseCopyable {
    let number: CInt
    let flags: UInt8

    /// An open descriptor; it must stay open until the request is submitted.
    public static func descriptor(_ raw: CInt) -> IORingFile { IORingFile(number: raw, flags: 0) }
    /// A file registered with `registerFiles`.
    public static func registered(_ index: Int) -> IORingFile {
        IORingFile(number: CInt(index), flags: WAFER_URING_FIXED_FILE)
    }
}

/// How a range of a file is allocated or freed (fallocate(2)).
public struct AllocationMode: OptionSet, Sendable, BitwiseCopyable {
    public let rawValue: UInt32
    public init(rawValue: UInt32) { self.rawValue = rawValue }

    /// The file's size stays as it is.
    public static let keepSize = AllocationMode(rawValue: UInt32(FALLOC_FL_KEEP_SIZE))
    /// Frees the blocks; the range reads as zeros. Needs `keepSize`.
    public static let punchHole = AllocationMode(rawValue: UInt32(FALLOC_FL_PUNCH_HOLE))
    /// The range reads as zeros; its blocks stay allocated where the file system can.
    public static let zeroRange = AllocationMode(rawValue: UInt32(FALLOC_FL_ZERO_RANGE))
}

extension IORing {
    // Each returns false, having done nothing, when `capacity` requests are prepared already.

    @inline(__always)
    private func prepare(
        _ operation: UInt8, _ file: IORingFile, offset: UInt64, address: UInt64, count: UInt32, flags: UInt32 = 0,
        buffer: UInt16 = 0, userData: UInt64
    ) -> Bool {
        guard let entry = unsafe nextEntry() else { return false }
        unsafe entry.pointee = wafer_uring_submission(
            operation: operation, flags: file.flags, priority: 0, descriptor: file.number, offset: offset,
            address: address, count: count, operation_flags: flags, user_data: userData, buffer: buffer,
            personality: 0, file_index: 0, unused: (0, 0))
        return true
    }

    /// Does nothing and completes with zero.
    public func prepareNothing(userData: UInt64) -> Bool {
        prepare(WAFER_URING_NOP, .descriptor(-1), offset: 0, address: 0, count: 0, userData: userData)
    }

    /// Reads into `count` bytes at `buffer`, which stay valid until completion.
    @unsafe public func prepareRead(
        _ file: IORingFile, at offset: UInt64, into buffer: UnsafeMutableRawPointer, count: UInt32, userData: UInt64
    ) -> Bool {
        prepare(
            WAFER_URING_READ, file, offset: offset, address: UInt64(UInt(bitPattern: buffer)), count: count,
            userData: userData)
    }

    /// Writes `count` bytes at `buffer`, which stay valid until completion.
    ///
    /// - Parameter durable: completes only when the bytes are on stable storage (RWF_DSYNC).
    @unsafe public func prepareWrite(
        _ file: IORingFile, at offset: UInt64, from buffer: UnsafeRawPointer, count: UInt32, durable: Bool = false,
        userData: UInt64
    ) -> Bool {
        prepare(
            WAFER_URING_WRITE, file, offset: offset, address: UInt64(UInt(bitPattern: buffer)), count: count,
            flags: durable ? WAFER_RWF_DSYNC : 0, userData: userData)
    }

    /// Reads into several stretches. The array is needed until `submit` returns, the stretches until completion.
    @unsafe public func prepareRead(
        _ file: IORingFile, at offset: UInt64, into vectors: UnsafePointer<IOVector>, vectorCount: UInt32,
        userData: UInt64
    ) -> Bool {
        prepare(
            WAFER_URING_READV, file, offset: offset, address: UInt64(UInt(bitPattern: vectors)), count: vectorCount,
            userData: userData)
    }

    /// Writes several stretches. The array is needed until `submit` returns, the stretches until completion.
    @unsafe public func prepareWrite(
        _ file: IORingFile, at offset: UInt64, from vectors: UnsafePointer<IOVector>, vectorCount: UInt32,
        durable: Bool = false, userData: UInt64
    ) -> Bool {
        prepare(
            WAFER_URING_WRITEV, file, offset: offset, address: UInt64(UInt(bitPattern: vectors)), count: vectorCount,
            flags: durable ? WAFER_RWF_DSYNC : 0, userData: userData)
    }

    /// Reads into part of registered buffer `index`.
    @unsafe public func prepareReadFixed(
        _ file: IORingFile, at offset: UInt64, into buffer: UnsafeMutableRawPointer, count: UInt32, index: UInt16,
        userData: UInt64
    ) -> Bool {
        prepare(
            WAFER_URING_READ_FIXED, file, offset: offset, address: UInt64(UInt(bitPattern: buffer)), count: count,
            buffer: index, userData: userData)
    }

    /// Writes part of registered buffer `index`.
    @unsafe public func prepareWriteFixed(
        _ file: IORingFile, at offset: UInt64, from buffer: UnsafeRawPointer, count: UInt32, index: UInt16,
        durable: Bool = false, userData: UInt64
    ) -> Bool {
        prepare(
            WAFER_URING_WRITE_FIXED, file, offset: offset, address: UInt64(UInt(bitPattern: buffer)), count: count,
            flags: durable ? WAFER_RWF_DSYNC : 0, buffer: index, userData: userData)
    }

    /// Puts what was written to the file on stable storage, with the metadata needed to read it back (fdatasync).
    public func prepareDataSync(_ file: IORingFile, userData: UInt64) -> Bool {
        prepare(
            WAFER_URING_FSYNC, file, offset: 0, address: 0, count: 0, flags: WAFER_URING_FSYNC_DATASYNC,
            userData: userData)
    }

    /// Allocates, frees or zeroes a range (fallocate(2)).
    public func prepareAllocate(
        _ file: IORingFile, _ mode: AllocationMode, at offset: UInt64, count: UInt64, userData: UInt64
    ) -> Bool {
        prepare(
            WAFER_URING_FALLOCATE, file, offset: offset, address: count, count: mode.rawValue, userData: userData)
    }

    /// Completes once, when the descriptor is readable.
    public func preparePoll(_ file: IORingFile, userData: UInt64) -> Bool {
        prepare(
            WAFER_URING_POLL_ADD, file, offset: 0, address: 0, count: 0, flags: UInt32(POLLIN), userData: userData)
    }

    // MARK: Registering

    /// Signals `event` at every batch of completions. The event must outlive the ring.
    public func registerEvent(_ event: EventFD) throws(SystemError) {
        var number = event.raw
        try unsafe register(UInt32(IORING_REGISTER_EVENTFD), &number, 1, "register a completion event")
    }

    /// Gives the ring a table of files for `IORingFile.registered`; it keeps them open by itself.
    public func registerFiles(_ descriptors: [CInt]) throws(SystemError) {
        var table = descriptors
        let count = UInt32(table.count)
        try unsafe register(UInt32(IORING_REGISTER_FILES), &table, count, "register files")
    }

    /// Pins buffers for `prepareReadFixed` and `prepareWriteFixed`. They must outlive the ring.
    ///
    /// Not for guest memory: the ring holds the pages it found at this call, and a page that is given back
    /// (ballooning) and taken again is another one.
    @unsafe public func registerBuffers(_ buffers: [IOVector]) throws(SystemError) {
        var table = unsafe buffers
        let count = unsafe UInt32(table.count)
        try unsafe register(UInt32(IORING_REGISTER_BUFFERS), &table, count, "register buffers")
    }
}
