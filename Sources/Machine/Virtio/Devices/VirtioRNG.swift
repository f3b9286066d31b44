public import GuestMemory
public import Linux

/// Where random bytes come from: the kernel, unless a test wants the same ones every time.
open class EntropySource: @unchecked Sendable {
    // @unchecked: no state of its own.

    public init() {}

    /// Fills memory, which others may be looking at.
    ///
    /// - Returns: how many bytes were filled, from the start.
    @unsafe open func fill(_ buffer: UnsafeMutableRawBufferPointer) -> Int { unsafe Random.fill(buffer) }
}

/// The entropy device (virtio 1.2, section 5.4): fills buffers from the host's random number generator.
public final class VirtioRNG: VirtioDevice, @unchecked Sendable {
    // @unchecked: no state of its own.

    /// How many bytes one request gets at most: the guest asks again, and the loop is not held up.
    static let bytesMax = 64 << 10

    private final class Requests: SerialQueue, @unchecked Sendable {
        private let source: EntropySource

        init(_ ram: GuestRAM, _ loop: EventLoop?, _ source: EntropySource) throws(SystemError) {
            self.source = source
            try super.init(index: 0, sizeMax: 64, ram: ram, loop: loop, batch: 8)
        }

        override func answer(_ chain: inout DescriptorChain) -> UInt32? {
            let pieces = unsafe chain.writable
            var total = 0
            for index in 0..<pieces.count {
                let vector = unsafe pieces[index]
                let count = unsafe min(vector.count, VirtioRNG.bytesMax - total)
                let filled = unsafe source.fill(UnsafeMutableRawBufferPointer(start: vector.base, count: count))
                total += filled
                if unsafe filled < vector.count { break }
            }
            return UInt32(total)
        }
    }

    public init(
        ram: GuestRAM, loop: EventLoop?, source: EntropySource = EntropySource()
    ) throws(SystemError) {
        super.init(.entropy, features: [], queues: [try Requests(ram, loop, source)])
    }
}
