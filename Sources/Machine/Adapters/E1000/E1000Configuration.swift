import GuestMemory

/// What the queues' thread must know of the registers. A trivial value.
struct E1000Configuration: BitwiseCopyable, Sendable {
    /// How receive descriptors look (82574, section 7.1.4 to 7.1.6).
    enum ReceiveFormat: BitwiseCopyable {
        case legacy, extended, packetSplit
    }

    var transmitRings: (E1000Ring?, E1000Ring?) = (nil, nil)
    var receiveRing: E1000Ring?
    var receiveFormat = ReceiveFormat.legacy
    /// Bytes of a descriptor's buffers; unused ones are zero.
    var bufferSizes = InlineArray<4, Int>(repeating: 0)
    /// Bytes of the longest frame that is received.
    var frameMax = 1522
    var stripsCheckSequence = false
    var stripsTags = false
    var insertsTags = false
    var verifiesTransport = false
    /// As many free descriptors or fewer are reported as few: a fraction of the ring.
    var lowShift: UInt32 = 1
    var isLinkUp = true
    var receives = false
    var transmits = false
    /// The 82574 has a cause for each queue.
    var hasQueueCauses = false

    init() {}

    init(_ registers: E1000Registers, _ model: E1000Model, _ ram: GuestRAM) {
        func base(_ low: Int, _ high: Int) -> GuestAddress { UInt64(registers[low]) | UInt64(registers[high]) << 32 }
        let receive = registers[E1000Register.receiveControl]
        isLinkUp = registers.isLinkUp
        receives = receive & E1000ReceiveControl.enable != 0
        transmits = registers[E1000Register.transmitControl] & 2 != 0
        hasQueueCauses = model == .e1000e
        transmitRings.0 = E1000Ring(
            ram, at: base(E1000Register.transmitBaseLow, E1000Register.transmitBaseHigh),
            length: registers[E1000Register.transmitLength])
        if model.transmitQueues > 1 {
            let stride = E1000Register.queueStride
            transmitRings.1 = E1000Ring(
                ram, at: base(E1000Register.transmitBaseLow + stride, E1000Register.transmitBaseHigh + stride),
                length: registers[E1000Register.transmitLength + stride])
        }
        // Bits 11:10 choose packet split, together with bit 15 of the filter register, extended descriptors.
        if model == .e1000e, registers[E1000Register.receiveFilter] & 1 << 15 != 0 {
            receiveFormat = receive & E1000ReceiveControl.packetSplit != 0 ? .packetSplit : .extended
        }
        receiveRing = E1000Ring(
            ram, at: base(E1000Register.receiveBaseLow, E1000Register.receiveBaseHigh),
            length: registers[E1000Register.receiveLength], entrySize: receiveFormat == .packetSplit ? 32 : 16)
        if receiveFormat == .packetSplit {
            let split = registers[E1000Register.packetSplit]
            bufferSizes[0] = Int(split & 0x7f) * 128
            for index in 1..<4 { bufferSizes[index] = Int(split >> UInt32(8 * index) & 0x3f) * 1024 }
        } else {
            bufferSizes[0] = Self.bufferSize(receive)
        }
        frameMax = receive & E1000ReceiveControl.longPackets != 0 ? 16384 : 1522
        stripsCheckSequence = receive & E1000ReceiveControl.stripsCheckSequence != 0
        stripsTags = registers[E1000Register.control] & E1000Control.vlanMode != 0
        insertsTags = stripsTags
        verifiesTransport = registers[E1000Register.receiveChecksum] & 1 << 9 != 0
        lowShift = (receive >> 8 & 3) + 1
    }

    /// 8254x manual, section 13.4.22.
    private static func bufferSize(_ control: UInt32) -> Int {
        // The 82574's finer size, in units of 1 KiB.
        let flexible = Int(control >> 27 & 0xf)
        if flexible != 0 { return flexible * 1024 }
        switch (control >> 16 & 3, control & E1000ReceiveControl.sizeExtension != 0) {
        case (0, _): return 2048
        case (1, false): return 1024
        case (2, false): return 512
        case (3, false): return 256
        case (1, true): return 16384
        case (2, true): return 8192
        default: return 4096
        }
    }

    /// Whether there is anything to do.
    var isInUse: Bool { receives || transmits }

    func transmitRing(_ queue: Int) -> E1000Ring? { queue == 0 ? transmitRings.0 : transmitRings.1 }
}
