import CLinux

extension Descriptor {
    /// Issues an ioctl whose argument is a structure of variable length.
    @discardableResult
    public func control(
        _ request: UInt, bytes: inout [UInt8], _ operation: StaticString
    ) throws(SystemError) -> CInt {
        let raw = self.raw
        let result = unsafe bytes.withUnsafeMutableBytes { buffer in
            while true {
                let result = unsafe wafer_ioctl_pointer(raw, request, buffer.baseAddress)
                if result >= 0 { return result }
                let number = wafer_errno()
                if number != EINTR { return -number }
            }
        }
        if result < 0 { throw SystemError(number: -result, operation: "\(operation)") }
        return result
    }

    /// Makes reads and writes return at once when they cannot go on.
    public func setNonBlocking() throws(SystemError) {
        let raw = self.raw
        let flags = try retrying("read descriptor flags") { wafer_fcntl(raw, F_GETFL, 0) }
        try retrying("set descriptor flags") { wafer_fcntl(raw, F_SETFL, Int(flags | O_NONBLOCK)) }
    }
}
