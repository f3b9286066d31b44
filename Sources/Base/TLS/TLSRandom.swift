import CMbedTLS

/// Where a session's random numbers come from.
package final class TLSRandom {
    /// The state of a sequence that is the same each time, for fuzzing; nil: the kernel's generator.
    private var sequence: UInt64?

    package init(sequence: UInt64?) { self.sequence = sequence }

    package static let generate: @convention(c) (UnsafeMutableRawPointer?, UnsafeMutablePointer<UInt8>?, Int) -> CInt =
        {
            context, bytes, count in
            guard let context = unsafe context, let bytes = unsafe bytes else {
                return MBEDTLS_ERR_SSL_INTERNAL_ERROR
            }
            // The session that hands this pointer out keeps the object for as long as mbedTLS may call.
            let random = unsafe Unmanaged<TLSRandom>.fromOpaque(context).takeUnretainedValue()
            // mbedTLS has room for this many bytes there.
            return unsafe random.fill(UnsafeMutableBufferPointer(start: bytes, count: count))
        }

    private func fill(_ buffer: UnsafeMutableBufferPointer<UInt8>) -> CInt {
        if var state = sequence {
            for index in buffer.indices {
                // The constants of Knuth's MMIX generator.
                state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
                unsafe buffer[index] = UInt8(truncatingIfNeeded: state >> 56)
            }
            sequence = state
            return 0
        }
        var filled = 0
        while filled < buffer.count {
            var count = 0
            // getrandom(2), which may give less than it is asked for.
            let rest = unsafe buffer.baseAddress.map { unsafe $0 + filled }
            let result = unsafe mbedtls_platform_entropy_poll(nil, rest, buffer.count - filled, &count)
            guard result == 0, count > 0 else { return MBEDTLS_ERR_ENTROPY_SOURCE_FAILED }
            filled += count
        }
        return 0
    }
}
