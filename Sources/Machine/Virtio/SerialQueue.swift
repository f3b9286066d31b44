public import GuestMemory
public import Linux

/// A queue whose requests are answered one after another, each at once. Devices subclass it.
open class SerialQueue: VirtioQueue, @unchecked Sendable {
    // @unchecked: as the base class; `chain` belongs to the loop's thread.

    private var chain: DescriptorChain
    private let batch: Int

    /// - Parameters:
    ///   - batch: how many requests are answered before the loop's other work gets its turn.
    ///   - segmentsMax: how many buffers a request may have.
    public init(
        index: Int, sizeMax: UInt16, ram: GuestRAM, loop: EventLoop?, batch: Int = 64, segmentsMax: Int = 256
    ) throws(SystemError) {
        self.batch = batch
        chain = DescriptorChain(ram, capacity: segmentsMax)
        try super.init(index: index, sizeMax: sizeMax, ram: ram, loop: loop)
    }

    /// Answers a request.
    ///
    /// - Returns: how many bytes were written; nil leaves the request in the ring until `again()` or the next doorbell.
    open func answer(_ chain: inout DescriptorChain) -> UInt32? { 0 }

    open override func process() {
        // Over all rounds: a guest that adds as fast as we answer must not hold the loop.
        var left = batch
        repeat {
            ring.disableNotifications()
            while next(into: &chain) {
                guard let written = answer(&chain) else {
                    ring.putBack(chain.head)
                    return publish()
                }
                ring.push(chain, written: written)
                left -= 1
                if left == 0 {
                    publish()
                    return again()
                }
            }
            publish()
        } while ring.enableNotifications()
    }
}
