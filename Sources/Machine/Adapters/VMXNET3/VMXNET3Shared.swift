import GuestMemory
import Synchronization

/// The structure that a vmxnet3 driver shares with its card while the card is active. A trivial value.
@safe struct VMXNET3Shared: BitwiseCopyable, @unchecked Sendable {
    // @unchecked: a pointer to an atomic in guest memory, which was checked and outlives the adapter.

    let address: GuestAddress
    let ram: GuestRAM
    let transmitQueues: Int
    let receiveQueues: Int
    let masksItself: Bool
    let scatterMax: Int
    private let queueDescriptors: GuestAddress
    private let eventInterrupt: Int
    private let events: UnsafeMutableRawPointer

    /// Reads what holds as long as the card is active.
    ///
    /// - Returns: nil if it makes no sense.
    init?(_ ram: GuestRAM, at address: GuestAddress) {
        typealias Shared = VMXNET3.Shared
        guard address % 8 == 0, let base = unsafe ram.pointer(at: address, count: Shared.count),
            ram.load(UInt32.self, at: address &+ Shared.magic) == Shared.magicValue
        else { return nil }
        self.address = address
        self.ram = ram
        unsafe events = unsafe base + Int(Shared.events)
        transmitQueues = Int(ram.load(UInt8.self, at: address &+ Shared.transmitQueues) ?? 0)
        receiveQueues = Int(ram.load(UInt8.self, at: address &+ Shared.receiveQueues) ?? 0)
        masksItself = ram.load(UInt8.self, at: address &+ Shared.autoMask) != 0
        scatterMax = min(
            max(Int(ram.load(UInt16.self, at: address &+ Shared.scatterMax) ?? 0), 1), ReceiveFrame.piecesMax)
        eventInterrupt = Int(ram.load(UInt8.self, at: address &+ Shared.eventInterrupt) ?? 0)
        queueDescriptors = ram.load(UInt64.self, at: address &+ Shared.queueDescriptors) ?? 0
        let count = ram.load(UInt32.self, at: address &+ Shared.queueDescriptorsCount) ?? 0
        let needed = UInt64(transmitQueues + receiveQueues) * VMXNET3.Queue.count
        guard (1...VMXNET3.transmitQueuesMax).contains(transmitQueues),
            (1...VMXNET3.receiveQueuesMax).contains(receiveQueues), UInt64(count) >= needed,
            ram.contains(queueDescriptors, count: Int(needed))
        else { return nil }
    }

    /// Where the descriptor of a transmit queue, or behind them of a receive queue, is.
    func queueDescriptor(transmit index: Int) -> GuestAddress {
        queueDescriptors &+ UInt64(truncatingIfNeeded: index) &* VMXNET3.Queue.count
    }

    func queueDescriptor(receive index: Int) -> GuestAddress { queueDescriptor(transmit: transmitQueues &+ index) }

    // MARK: What the driver may change

    var features: UInt64 { ram.load(UInt64.self, at: address &+ VMXNET3.Shared.features) ?? 0 }

    /// Bytes of payload that frames have.
    var mtu: Int { Int(ram.load(UInt32.self, at: address &+ VMXNET3.Shared.mtu) ?? 0) }

    /// The driver wants no interrupts just now.
    @inline(__always)
    var holdsInterrupts: Bool {
        (ram.load(UInt32.self, at: address &+ VMXNET3.Shared.interruptControl) ?? 0) & 1 != 0
    }

    // MARK: Events

    /// Tells the driver that something happened. From any thread.
    func raise(_ event: UInt32, _ interrupts: VMXNET3Interrupts) {
        unsafe events.assumingMemoryBound(to: Atomic<UInt32>.self).pointee
            .bitwiseOr(event, ordering: .sequentiallyConsistent)
        ram.markDirty(address &+ VMXNET3.Shared.events, count: 4)
        interrupts.raise(eventInterrupt, isHeld: holdsInterrupts)
    }

    /// The driver has seen these events.
    func acknowledge(_ bits: UInt32) {
        unsafe events.assumingMemoryBound(to: Atomic<UInt32>.self).pointee
            .bitwiseAnd(~bits, ordering: .sequentiallyConsistent)
        ram.markDirty(address &+ VMXNET3.Shared.events, count: 4)
    }

    // MARK: Queues

    /// What the driver says of a transmit queue; nil if it makes no sense.
    func transmitConfiguration(_ index: Int) -> VMXNET3TransmitQueue.Configuration? {
        let place = queueDescriptor(transmit: index) &+ VMXNET3.Queue.configuration
        guard let ring = self.ring(place, size: place &+ 40),
            let completions = self.ring(place &+ 16, size: place &+ 48)
        else { return nil }
        let interrupt = Int(ram.load(UInt8.self, at: place &+ 56) ?? 0)
        guard interrupt < VMXNET3.interruptsMax else { return nil }
        return VMXNET3TransmitQueue.Configuration(ring: ring, completions: completions, interrupt: interrupt)
    }

    /// What the driver says of a receive queue; nil if it makes no sense.
    func receiveConfiguration(_ index: Int) -> VMXNET3ReceiveQueue.Configuration? {
        let descriptor = queueDescriptor(receive: index)
        let place = descriptor &+ VMXNET3.Queue.configuration
        guard let first = self.ring(place, size: place &+ 40),
            let completions = ring(place &+ 16, size: place &+ 48, sizeMax: VMXNET3.receiveCompletionsMax)
        else { return nil }
        // A driver may do without the second ring.
        var second: VMXNET3Ring?
        if ram.load(UInt32.self, at: place &+ 44) ?? 0 > 0 {
            guard let made = ring(place &+ 8, size: place &+ 44) else { return nil }
            second = made
        }
        let interrupt = Int(ram.load(UInt8.self, at: place &+ 56) ?? 0)
        guard interrupt < VMXNET3.interruptsMax else { return nil }
        return VMXNET3ReceiveQueue.Configuration(
            rings: (first, second), completions: completions, interrupt: interrupt,
            updateProducer: descriptor &+ VMXNET3.Queue.updateProducer,
            ringIdentifiers: (UInt32(index), UInt32(index + receiveQueues)), scatterMax: scatterMax)
    }

    private func ring(_ base: GuestAddress, size: GuestAddress, sizeMax: Int = VMXNET3.ringSizeMax) -> VMXNET3Ring? {
        guard let address = ram.load(UInt64.self, at: base), let count = ram.load(UInt32.self, at: size) else {
            return nil
        }
        return VMXNET3Ring(ram, at: address, size: count, sizeMax: sizeMax)
    }

    /// Marks a queue as stopped by an error.
    func setError(_ error: UInt32, at descriptor: GuestAddress) {
        ram.store(1 as UInt8, at: descriptor &+ VMXNET3.Queue.stopped)
        ram.store(error, at: descriptor &+ VMXNET3.Queue.error)
    }

    func clearStatus() {
        for index in 0..<(transmitQueues + receiveQueues) {
            let descriptor = queueDescriptor(transmit: index)
            ram.store(0 as UInt8, at: descriptor &+ VMXNET3.Queue.stopped)
            ram.store(0 as UInt32, at: descriptor &+ VMXNET3.Queue.error)
        }
        for index in 0..<receiveQueues {
            ram.store(0 as UInt8, at: queueDescriptor(receive: index) &+ VMXNET3.Queue.updateProducer)
        }
    }
}
