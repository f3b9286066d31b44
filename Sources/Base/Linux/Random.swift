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

    /// Fills memory of any length, which others may be looking at, with random bytes.
    ///
    /// - Returns: how many bytes were filled, from the start; fewer than asked for only if a signal came in between.
    @unsafe public static func fill(_ buffer: UnsafeMutableRawBufferPointer) -> Int {
        max(unsafe getrandom(buffer.baseAddress, buffer.count, 0), 0)
    }
}
