import CLinux

/// The kernel's random number generator.
public enum Random {
    /// Bytes fit for keys and identifiers.
    ///
    /// - Precondition: `count` is at most 256, which the kernel always delivers whole.
    public static func bytes(_ count: Int) throws(SystemError) -> [UInt8] {
        precondition(count >= 0 && count <= 256, "too many random bytes at once")
        var bytes = [UInt8](repeating: 0, count: count)
        try retrying("get random bytes") {
            unsafe bytes.withUnsafeMutableBytes { unsafe getrandom($0.baseAddress, $0.count, 0) }
        }
        return bytes
    }
}
