import CLinux

/// Owns one kernel descriptor; closed when its last owner goes.
public struct Descriptor: ~Copyable, Sendable {
    /// The number, for passing to calls that borrow it.
    public let raw: CInt

    /// Takes over a descriptor that nobody else will close.
    public init(adopting raw: CInt) { self.raw = raw }

    deinit { _ = close(raw) }

    /// Gives the number away; the caller closes it.
    public consuming func release() -> CInt {
        let raw = self.raw
        discard self
        return raw
    }

    /// Another descriptor for the same open file, closed on exec.
    public borrowing func duplicate() throws(SystemError) -> Descriptor {
        let raw = self.raw
        return Descriptor(adopting: try retrying("duplicate descriptor") { wafer_fcntl(raw, F_DUPFD_CLOEXEC, 0) })
    }
}

/// How to open a path.
public struct OpenMode: OptionSet, Sendable {
    public let rawValue: CInt
    public init(rawValue: CInt) { self.rawValue = rawValue }

    public static let readOnly = OpenMode(rawValue: O_RDONLY)
    public static let writeOnly = OpenMode(rawValue: O_WRONLY)
    public static let readWrite = OpenMode(rawValue: O_RDWR)
    public static let create = OpenMode(rawValue: O_CREAT)
    public static let exclusive = OpenMode(rawValue: O_EXCL)
    public static let truncate = OpenMode(rawValue: O_TRUNC)
    public static let append = OpenMode(rawValue: O_APPEND)
    public static let nonBlocking = OpenMode(rawValue: O_NONBLOCK)
    public static let direct = OpenMode(rawValue: 0o40000)
    public static let directory = OpenMode(rawValue: 0o200000)
    public static let noControllingTerminal = OpenMode(rawValue: O_NOCTTY)
}

extension Descriptor {
    /// Opens a path. The descriptor is closed on exec.
    public init(opening path: String, _ mode: OpenMode, permissions: UInt32 = 0o644) throws(SystemError) {
        let raw = try retrying("open", path) { unsafe wafer_open(path, mode.rawValue | O_CLOEXEC, permissions) }
        self.init(adopting: raw)
    }

    /// Issues an ioctl whose argument is a number.
    ///
    /// - Returns: the ioctl's result, zero or more.
    @discardableResult
    public func control(_ request: UInt, _ argument: UInt = 0, _ operation: StaticString) throws(SystemError) -> CInt {
        let raw = self.raw
        return try retrying("\(operation)") { wafer_ioctl(raw, request, argument) }
    }

    /// Issues an ioctl whose argument is a structure that the kernel reads or fills.
    @discardableResult
    public func control<T>(_ request: UInt, _ argument: inout T, _ operation: StaticString) throws(SystemError) -> CInt
    {
        let raw = self.raw
        let result = unsafe withUnsafeMutablePointer(to: &argument) { pointer in
            while true {
                let result = unsafe wafer_ioctl_pointer(raw, request, pointer)
                if result >= 0 { return result }
                let number = wafer_errno()
                if number != EINTR { return -number }
            }
        }
        if result < 0 { throw SystemError(number: -result, operation: "\(operation)") }
        return result
    }
}
