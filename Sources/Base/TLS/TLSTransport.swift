import CMbedTLS

/// The two byte streams under a TLS session, as mbedTLS sees them: what came from the server, and what is to go there.
package final class TLSTransport {
    package init() {}

    private var input: [UInt8] = []
    /// How much of the input has been read.
    private var start = 0
    private var output: [UInt8] = []

    package func append(_ bytes: [UInt8]) {
        if start == input.count {
            input = bytes
        } else {
            input.removeFirst(start)
            input += bytes
        }
        start = 0
    }

    package var outputCount: Int { output.count }

    package func takeOutput() -> [UInt8] {
        defer { output = [] }
        return output
    }

    /// mbedTLS takes bytes to send away. There is always room.
    package static let send: @convention(c) (UnsafeMutableRawPointer?, UnsafePointer<UInt8>?, Int) -> CInt = {
        context, bytes, count in
        guard let transport = unsafe transport(context), let bytes = unsafe bytes,
            let result = CInt(exactly: count)
        else { return MBEDTLS_ERR_SSL_INTERNAL_ERROR }
        // mbedTLS owns this many bytes there, as long as the call lasts.
        unsafe transport.output.append(contentsOf: UnsafeBufferPointer(start: bytes, count: count))
        return result
    }

    /// mbedTLS wants at most so many bytes.
    package static let receive: @convention(c) (UnsafeMutableRawPointer?, UnsafeMutablePointer<UInt8>?, Int) -> CInt = {
        context, bytes, limit in
        guard let transport = unsafe transport(context), let bytes = unsafe bytes else {
            return MBEDTLS_ERR_SSL_INTERNAL_ERROR
        }
        let count = min(limit, transport.input.count - transport.start, Int(CInt.max))
        guard count > 0 else { return MBEDTLS_ERR_SSL_WANT_READ }
        let end = transport.start + count
        // mbedTLS has room for `limit` bytes there, and `count` is at most that.
        _ = unsafe UnsafeMutableBufferPointer(start: bytes, count: count)
            .update(fromContentsOf: transport.input[transport.start..<end])
        transport.start = end
        return CInt(count)
    }

    private static func transport(_ context: UnsafeMutableRawPointer?) -> TLSTransport? {
        // The session that hands this pointer out keeps the transport for as long as mbedTLS may call.
        guard let context = unsafe context else { return nil }
        return unsafe Unmanaged<TLSTransport>.fromOpaque(context).takeUnretainedValue()
    }
}
