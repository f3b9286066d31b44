public import GuestMemory
public import Linux

/// The entropy device (virtio 1.2, section 5.4): fills buffers from the host's random number generator.
public final class VirtioRNG: VirtioDevice, @unchecked Sendable {
    // @unchecked: no state of its own.

    /// How many bytes one request gets at most: the guest asks again, and the loop is not held up.
    static let bytesMax = 64 << 10

    private final class Requests: SerialQueue, @unchecked Sendable {
        override func answer(_ chain: inout DescriptorChain) -> UInt32? {
            let pieces = unsafe chain.writable
            var total = 0
            for index in 0..<pieces.count {
                let vector = unsafe pieces[index]
                let count = unsafe min(vector.count, VirtioRNG.bytesMax - total)
                let filled = unsafe Random.fill(UnsafeMutableRawBufferPointer(start: vector.base, count: count))
                total += filled
                if unsafe filled < vector.count { break }
            }
            return UInt32(total)
        }
    }

    public init(ram: GuestRAM, loop: EventLoop?) throws(SystemError) {
        super.init(
            .entropy, features: [],
            queues: [try Requests(index: 0, sizeMax: 64, ram: ram, loop: loop, batch: 8)])
    }
}
