import GuestMemory
import Linux
import NetEngine

/// Receive queue of a network device: packets from the back end into the guest's buffers.
@safe final class NetReceiveQueue: VirtioQueue, @unchecked Sendable {
    // @unchecked: as for VirtioQueue; what `prepare` sets is set while the queue does not run.

    private enum Step {
        /// A packet was delivered or dropped.
        case packet
        /// The back end has none.
        case noPacket
        /// The guest has offered no more buffers.
        case noBuffers
    }

    /// Packets a call may take, so that other queues of the loop get their turn.
    private static let batchMax = 256
    /// Packets after which the guest is shown them, so that it need not wait for the batch to end.
    private static let publishInterval = 16
    /// Room for the part of a packet that exceeds the buffers at hand.
    private static let spillSize = NetHeader.size + Frame.lengthMax

    let counters = NetCounters()
    private let settings: NetSettings
    private let backend: any NetQueue
    private let buffers: ReceiveBuffers
    private let chain: UnsafeMutablePointer<DescriptorChain>
    private let spill: UnsafeMutableRawPointer
    private var filter: NetFilter
    private var filterSeen: UInt32 = 0
    private var merging = false
    /// How many bytes of buffers to have ready for the next packet.
    private var wanted = 1
    /// A packet that was read and exceeds the buffers: its bytes, and how many of them are in the buffers already.
    private var pendingCount = 0
    private var pendingInBuffers = 0

    /// The two queues' way to the back end. Set once before the guest runs; the device keeps it.
    unowned(unsafe) var port: NetPort?
    /// Set while this queue is the control queue: for drivers without multi-queue that is the third one.
    var control: NetControl?
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
        filter = settings.filter
        buffers = ReceiveBuffers(ram)
        unsafe chain = .allocate(capacity: 1)
        unsafe chain.initialize(to: DescriptorChain(ram))
        unsafe spill = .allocate(byteCount: Self.spillSize, alignment: 16)
        try super.init(index: index, sizeMax: sizeMax, ram: ram, loop: loop)
    }

    deinit {
        unsafe chain.deinitialize(count: 1)
        unsafe chain.deallocate()
        unsafe spill.deallocate()
    }

    /// Sets what was negotiated.
    ///
    /// - Parameters:
    ///   - frameLength: the longest frame to expect; longer ones are delivered too.
    func prepare(merging: Bool, frameLength: Int, control: NetControl?, usesKernel: Bool) {
        self.merging = merging
        wanted = merging ? NetHeader.size + frameLength : 1
        self.control = control
        self.usesKernel = usesKernel
    }

    // MARK: Running

    override func started() {
        if control != nil { return }
        isInKernel = usesKernel && kernel?.start(self) ?? false
        if isInKernel { return }
        pendingCount = 0
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
        while let head = buffers.takeLast() { ring.putBack(head) }
        pendingCount = 0
    }

    override func interruptChanged() { kernel?.routeInterrupt(self) }

    override func process() {
        if let control {
            control.process(self)
        } else if isAttached {
            receive()
        }
    }

    /// The back end has something to read.
    func packetsWait() { if isAttached { receive() } }

    // MARK: Packets

    private func receive() {
        settings.refresh(&filter, &filterSeen)
        ring.disableNotifications()
        var left = Self.batchMax
        while left > 0 {
            switch receiveOne() {
            case .packet:
                left &-= 1
                if left % Self.publishInterval == 0 { publish() }
            case .noPacket:
                // Buffers are at hand: the doorbell may stay off until they are used up.
                return publish()
            case .noBuffers:
                publish()
                guard ring.enableNotifications() else { return }
                ring.disableNotifications()
            }
        }
        publish()
        again()
    }

    private func receiveOne() -> Step {
        if pendingCount > 0 { return deliverPending() }
        while buffers.byteCount < wanted, takeBuffer() {}
        let capacity = buffers.capacity(merging: merging)
        if capacity == 0 { return .noBuffers }
        let rest = unsafe IOVector(base: spill, count: Self.spillSize)
        switch unsafe buffers.fill(from: backend, merging: merging, spill: rest) {
        case .wouldBlock: return .noPacket
        // A queue of the tap that is detached just now, or an interface that is gone: nothing will come from it.
        case .failed: return .noPacket
        case .done(let count):
            guard count >= NetHeader.size + Frame.headerLength, count < capacity + Self.spillSize else {
                counters.countError()
                return .packet
            }
            if count > capacity {
                pendingCount = count
                pendingInBuffers = capacity
                return deliverPending()
            }
            deliver(count)
            return .packet
        }
    }

    /// Takes one more chain from the ring.
    ///
    /// - Returns: false if there is none, or no room for it.
    private func takeBuffer() -> Bool {
        guard buffers.hasRoom(for: unsafe chain.pointee.capacity), next(into: &(unsafe chain.pointee)) else {
            return false
        }
        if unsafe chain.pointee.writableCount > 0 {
            unsafe buffers.append(chain.pointee)
        } else {
            // Nothing can be received into it.
            unsafe ring.push(chain.pointee.head, written: 0)
            counters.countError()
        }
        return true
    }

    /// Delivers the packet that exceeded the buffers, if there are enough now.
    private func deliverPending() -> Step {
        if merging {
            while buffers.byteCount < pendingCount, takeBuffer() {}
        }
        if buffers.capacity(merging: merging) < pendingCount {
            // Wait for the guest, unless it has nothing more to give.
            let canWait = merging && ring.fault == nil && ring.inFlight < Int(ring.layout.size)
            if canWait, buffers.hasRoom(for: unsafe chain.pointee.capacity) { return .noBuffers }
            pendingCount = 0
            counters.countDrop()
            return .packet
        }
        let rest = unsafe UnsafeRawBufferPointer(start: spill, count: pendingCount &- pendingInBuffers)
        unsafe buffers.scatter(rest, at: pendingInBuffers)
        let count = pendingCount
        pendingCount = 0
        deliver(count)
        return .packet
    }

    /// Gives the buffers with a packet of `count` bytes back to the guest, if it wants the packet.
    private func deliver(_ count: Int) {
        var head = InlineArray<18, UInt8>(repeating: 0)
        let headCount = unsafe withUnsafeMutableBytes(of: &head) {
            unsafe buffers.gather(from: NetHeader.size, into: $0)
        }
        let frameCount = count &- NetHeader.size
        guard settings.isLinkUp, filter.accepts(head, count: min(headCount, frameCount)) else {
            // The next packet overwrites it.
            counters.countDrop()
            return
        }
        let chains = merging ? buffers.chainsNeeded(for: count) : 1
        let chainCount = UInt16(truncatingIfNeeded: chains).littleEndian
        unsafe withUnsafeBytes(of: chainCount) {
            _ = unsafe buffers.scatter($0, at: NetHeader.bufferCountOffset)
        }
        var left = count
        while left > 0, let (head, bytes) = buffers.take(written: left) {
            let written = min(left, bytes)
            ring.push(head, written: UInt32(truncatingIfNeeded: written))
            left &-= written
        }
        counters.countPacket(bytes: frameCount)
    }
}
