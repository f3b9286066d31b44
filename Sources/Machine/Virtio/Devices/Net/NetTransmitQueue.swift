import GuestMemory
import Linux
import NetEngine

/// Transmit queue of a network device: packets from guest memory to the back end, without copying them.
@safe final class NetTransmitQueue: VirtioQueue, @unchecked Sendable {
    // @unchecked: as for VirtioQueue; what `prepare` sets is set while the queue does not run.

    private enum Outcome {
        /// Sent or dropped: the chain is done with.
        case done
        /// The back end has no room.
        case blocked
    }

    private static let batchMax = 256
    /// Packets after which the guest gets their buffers back.
    private static let publishInterval = 32
    private static let invalid: CInt = 22  // EINVAL

    let counters = NetCounters()
    private let settings: NetSettings
    private let backend: any NetQueue
    private let chain: UnsafeMutablePointer<DescriptorChain>
    /// The packet to send: our copy of its header, then the guest's pieces.
    private let pieces: UnsafeMutablePointer<IOVector>
    private let header: UnsafeMutableRawPointer
    private var pieceCount = 0
    private var frameCount = 0
    /// The packet waits for room.
    private var isBlocked = false
    private var offloads: NetOffloads = []

    /// The two queues' way to the back end. Set once before the guest runs; the device keeps it.
    unowned(unsafe) var port: NetPort?
    /// The kernel's side of the queue, if it has one. Set once before the guest runs.
    var kernel: VhostRing?
    private var usesKernel = false
    private var isInKernel = false
    private var isAttached = false

    init(
        index: Int, sizeMax: UInt16, ram: GuestRAM, loop: EventLoop?, backend: any NetQueue, settings: NetSettings
    ) throws(SystemError) {
        self.backend = backend
        self.settings = settings
        unsafe chain = .allocate(capacity: 1)
        unsafe chain.initialize(to: DescriptorChain(ram))
        unsafe pieces = unsafe .allocate(capacity: chain.pointee.capacity + 1)
        unsafe header = .allocate(byteCount: NetHeader.size, alignment: 16)
        try super.init(index: index, sizeMax: sizeMax, ram: ram, loop: loop)
    }

    deinit {
        unsafe chain.deinitialize(count: 1)
        unsafe chain.deallocate()
        unsafe pieces.deallocate()
        unsafe header.deallocate()
    }

    /// Sets what was negotiated: the work on packets that the guest may leave undone.
    func prepare(offloads: NetOffloads, usesKernel: Bool) {
        self.offloads = offloads
        self.usesKernel = usesKernel
    }

    // MARK: Running

    override func started() {
        isInKernel = usesKernel && kernel?.start(self) ?? false
        if isInKernel { return }
        isBlocked = false
        do {
            try unsafe port?.attach()
            isAttached = true
        } catch {
            device?.needsReset("queue \(index): \(error)")
        }
    }

    override func stopped() {
        if isInKernel { kernel?.stop(self) }
        isInKernel = false
        if isAttached { unsafe port?.detach() }
        isAttached = false
        // The packet that waits for room was taken last.
        if isBlocked { unsafe ring.putBack(chain.pointee.head) }
        isBlocked = false
    }

    override func interruptChanged() { kernel?.routeInterrupt(self) }

    override func process() { if isAttached { transmit() } }

    /// The back end may take a packet again.
    func roomHasCome() { if isAttached, isBlocked { transmit() } }

    // MARK: Packets

    private func transmit() {
        ring.disableNotifications()
        if isBlocked {
            if sendPieces() == .blocked {
                unsafe port?.waitForRoom()
                return
            }
            isBlocked = false
            finish()
        }
        var left = Self.batchMax
        while left > 0 {
            guard next(into: &(unsafe chain.pointee)) else {
                publish()
                guard ring.enableNotifications() else { return }
                ring.disableNotifications()
                continue
            }
            left &-= 1
            if preparePacket(), sendPieces() == .blocked {
                // The doorbell stays off: there is nothing to do for it before room comes.
                isBlocked = true
                publish()
                unsafe port?.waitForRoom()
                return
            }
            finish()
            if left % Self.publishInterval == 0 { publish() }
        }
        publish()
        again()
    }

    private func finish() { unsafe ring.push(chain.pointee.head, written: 0) }

    /// Checks the packet in the chain and lists its pieces.
    ///
    /// - Returns: false if it is to be dropped.
    private func preparePacket() -> Bool {
        // The header is copied once, checked, and sent from the copy; the guest may change its own meanwhile.
        var bytes = InlineArray<12, UInt8>(repeating: 0)
        let count = unsafe withUnsafeMutableBytes(of: &bytes) { unsafe chain.pointee.gather(into: $0) }
        let length = unsafe chain.pointee.readableCount &- NetHeader.size
        guard count == NetHeader.size, let checked = NetHeader(bytes).sanitized(frameLength: length, offloads: offloads)
        else {
            counters.countError()
            return false
        }
        guard settings.isLinkUp else {
            counters.countDrop()
            return false
        }
        unsafe header.storeBytes(of: checked.bytes, as: InlineArray<12, UInt8>.self)
        unsafe chain.pointee.dropReadable(first: NetHeader.size)
        unsafe pieces[0] = unsafe IOVector(base: header, count: NetHeader.size)
        let readable = unsafe chain.pointee.readable
        for index in 0..<readable.count { unsafe pieces[index &+ 1] = unsafe readable[index] }
        pieceCount = readable.count &+ 1
        frameCount = length
        return true
    }

    private func sendPieces() -> Outcome {
        switch unsafe backend.send(UnsafePointer(pieces), pieceCount) {
        case .done: counters.countPacket(bytes: frameCount)
        case .wouldBlock: return .blocked
        // The kernel found the header at odds with the packet.
        case .failed(Self.invalid): counters.countError()
        // The interface is down, detached or short of memory: the packet is lost, as on a wire.
        case .failed: counters.countDrop()
        }
        return .done
    }
}
