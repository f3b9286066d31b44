import GuestMemory
import Synchronization

/// A transfer request block: what all rings are made of (xHCI 1.2, section 6.4). A checked copy.
struct TransferRequestBlock: Sendable, BitwiseCopyable {
    static let size: UInt64 = 16

    var parameter: UInt64 = 0
    var status: UInt32 = 0
    var control: UInt32 = 0
    /// Where it was read.
    var address: GuestAddress = 0

    /// Types (section 6.4.6).
    enum Kind {
        static let normal: UInt8 = 1
        static let setup: UInt8 = 2
        static let data: UInt8 = 3
        static let status: UInt8 = 4
        static let link: UInt8 = 6
        static let eventData: UInt8 = 7
        static let noOperation: UInt8 = 8
        static let enableSlot: UInt8 = 9
        static let disableSlot: UInt8 = 10
        static let addressDevice: UInt8 = 11
        static let configureEndpoint: UInt8 = 12
        static let evaluateContext: UInt8 = 13
        static let resetEndpoint: UInt8 = 14
        static let stopEndpoint: UInt8 = 15
        static let setDequeuePointer: UInt8 = 16
        static let resetDevice: UInt8 = 17
        static let noOperationCommand: UInt8 = 23
        static let transferEvent: UInt8 = 32
        static let commandCompletion: UInt8 = 33
        static let portStatusChange: UInt8 = 34
        static let hostControllerEvent: UInt8 = 37
    }

    var kind: UInt8 { UInt8(truncatingIfNeeded: control >> 10 & 0x3f) }
    var cycle: Bool { control & 1 != 0 }
    /// A link's: the cycle state changes there.
    var togglesCycle: Bool { control & 1 << 1 != 0 }
    var interruptsOnShort: Bool { control & 1 << 2 != 0 }
    var isChained: Bool { control & 1 << 4 != 0 }
    var interruptsOnCompletion: Bool { control & 1 << 5 != 0 }
    /// The parameter holds the data.
    var isImmediate: Bool { control & 1 << 6 != 0 }
    /// Bit 9 of a transfer's block keeps its event from interrupting; in commands the bit means other things.
    var blocksInterrupt: Bool { control & 1 << 9 != 0 }
    var length: Int { Int(status & 0x1ffff) }
    var interrupter: Int { Int(status >> 22) }
    /// Of commands: the slot and the endpoint.
    var slot: Int { Int(control >> 24) }
    var endpoint: Int { Int(control >> 16 & 0x1f) }

    /// Reads the block at `address` if its cycle bit is `cycle`.
    ///
    /// - Returns: nil if it is not in RAM; `found` is false if it belongs to the driver still.
    static func load(_ ram: GuestRAM, at address: GuestAddress, cycle: Bool) -> (found: Bool, TransferRequestBlock)? {
        guard let control = ram.load(UInt32.self, at: address &+ 12) else { return nil }
        guard (control & 1 != 0) == cycle else { return (false, TransferRequestBlock()) }
        // The driver turns the cycle bit last: what is read after it is what the driver wrote before.
        atomicMemoryFence(ordering: .acquiring)
        guard let parameter = ram.load(UInt64.self, at: address), let status = ram.load(UInt32.self, at: address &+ 8)
        else { return nil }
        return (true, TransferRequestBlock(parameter: parameter, status: status, control: control, address: address))
    }

    /// Writes the block with a cycle bit, which goes last.
    func store(_ ram: GuestRAM, at address: GuestAddress, cycle: Bool) -> Bool {
        guard ram.store(parameter, at: address), ram.store(status, at: address &+ 8) else { return false }
        atomicMemoryFence(ordering: .releasing)
        return ram.store(control & ~1 | (cycle ? 1 : 0), at: address &+ 12)
    }
}

/// The consumer's end of a command or transfer ring (section 4.9.2).
struct ConsumerRing: Sendable, BitwiseCopyable {
    /// More links than this in a row lead nowhere.
    private static let linksMax = 8

    var pointer: GuestAddress = 0
    var cycle = false

    enum Step {
        case block(TransferRequestBlock)
        /// The rest belongs to the driver.
        case end
        /// A pointer outside RAM, or links in a circle.
        case broken
    }

    /// The block at the pointer, which moves past it; links are followed.
    mutating func next(_ ram: GuestRAM) -> Step {
        for _ in 0...Self.linksMax {
            guard let (found, block) = TransferRequestBlock.load(ram, at: pointer, cycle: cycle) else { return .broken }
            guard found else { return .end }
            guard block.kind == TransferRequestBlock.Kind.link else {
                pointer = pointer &+ TransferRequestBlock.size
                return .block(block)
            }
            pointer = block.parameter & ~0xf
            if block.togglesCycle { cycle.toggle() }
        }
        return .broken
    }

    /// As contexts and commands hold it: the cycle state in bit 0.
    var word: UInt64 {
        get { pointer | (cycle ? 1 : 0) }
        set {
            pointer = newValue & ~0xf
            cycle = newValue & 1 != 0
        }
    }
}
