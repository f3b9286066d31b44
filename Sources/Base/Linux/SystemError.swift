import CLinux

/// A failed system call: which one, on what, and the error number it left.
public struct SystemError: Error, Equatable, Sendable, CustomStringConvertible {
    /// The `errno` value.
    public var number: CInt
    /// What was being done, in a user's words: "open", "map guest memory".
    public var operation: String
    /// What it was done to: a path, an interface, a device. Empty if there is nothing to name.
    public var subject: String

    public init(number: CInt, operation: String, subject: String = "") {
        self.number = number
        self.operation = operation
        self.subject = subject
    }

    /// The error of the call that just failed. Call before anything else can touch `errno`.
    public static func last(_ operation: String, _ subject: String = "") -> SystemError {
        let number = wafer_errno()
        return SystemError(number: number, operation: operation, subject: subject)
    }

    /// The kernel's text for the error number, such as "No space left on device".
    public var reason: String {
        unsafe withUnsafeTemporaryAllocation(of: CChar.self, capacity: 128) { buffer in
            guard let base = buffer.baseAddress, unsafe strerror_r(number, base, buffer.count) == 0 else {
                return "error \(number)"
            }
            return unsafe String(cString: base)
        }
    }

    public var description: String {
        subject.isEmpty ? "\(operation): \(reason)" : "\(operation) \(subject): \(reason)"
    }
}

/// Repeats a system call while a signal interrupts it.
///
/// - Returns: the call's result, zero or more.
/// - Throws: the error it left, described by `operation` and `subject`.
@discardableResult
public func retrying<Result: SignedInteger>(
    _ operation: @autoclosure () -> String, _ subject: @autoclosure () -> String = "", _ call: () -> Result
) throws(SystemError) -> Result {
    while true {
        let result = call()
        if result >= 0 { return result }
        let number = wafer_errno()
        if number == EINTR { continue }
        throw SystemError(number: number, operation: operation(), subject: subject())
    }
}

extension SystemError {
    /// ENODEV or ENXIO: there is no such device.
    public var isNoDevice: Bool { number == ENODEV || number == ENXIO }
    /// An ETIMEDOUT of our own.
    public static func timedOut(_ operation: String, _ subject: String) -> SystemError {
        SystemError(number: ETIMEDOUT, operation: operation, subject: subject)
    }
    /// An EINVAL of our own: a request that makes no sense.
    public static func invalid(_ operation: String, _ subject: String) -> SystemError {
        SystemError(number: EINVAL, operation: operation, subject: subject)
    }
}
