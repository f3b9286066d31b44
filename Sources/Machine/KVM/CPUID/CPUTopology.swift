/// How a guest's processors are arranged in sockets, cores and threads.
public struct CPUTopology: Hashable, Sendable {
    /// Processors of the guest.
    public let processors: Int
    public let coresPerSocket: Int
    public let threadsPerCore: Int

    /// - Precondition: all are at least 1 and at most 4096.
    public init(processors: Int, coresPerSocket: Int = 1, threadsPerCore: Int = 1) {
        for count in [processors, coresPerSocket, threadsPerCore] {
            precondition((1...4096).contains(count), "a topology of \(count)")
        }
        self.processors = processors
        self.coresPerSocket = coresPerSocket
        self.threadsPerCore = threadsPerCore
    }

    /// Processors of a full socket.
    public var processorsPerSocket: Int { coresPerSocket * threadsPerCore }

    /// Bits of the APIC id that count threads.
    var threadBits: UInt32 { Self.bits(threadsPerCore) }
    /// Bits of the APIC id that count cores.
    var coreBits: UInt32 { Self.bits(coresPerSocket) }
    /// Bits of the APIC id below the socket.
    var socketShift: UInt32 { threadBits + coreBits }

    /// Bits that hold the numbers below `count`.
    private static func bits(_ count: Int) -> UInt32 { UInt32(Int.bitWidth - (count - 1).leadingZeroBitCount) }

    /// Where a processor sits.
    func position(of index: Int) -> (socket: Int, core: Int, thread: Int) {
        let inSocket = index % processorsPerSocket
        return (index / processorsPerSocket, inSocket / threadsPerCore, inSocket % threadsPerCore)
    }

    /// A processor's APIC id, which must also be the number of its vCPU and stand in the ACPI tables. The ids have gaps
    /// where the number of cores is no power of two, because each level has its own bits.
    public func apicID(of index: Int) -> UInt32 {
        let (socket, core, thread) = position(of: index)
        return UInt32(socket) << socketShift | UInt32(core) << threadBits | UInt32(thread)
    }

    /// The APIC ids of all processors.
    public var apicIDs: [UInt32] { (0..<processors).map(apicID) }
}
