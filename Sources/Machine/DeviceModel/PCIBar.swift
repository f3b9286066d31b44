/// A base address register: a window of a function that the guest places.
public struct PCIBar: Sendable, Equatable {
    public enum Kind: Sendable, Equatable {
        case port
        case memory32
        /// Takes two registers.
        case memory64(prefetchable: Bool)
    }

    /// Register number, 0...5.
    public var index: Int
    public var kind: Kind
    /// Length in bytes: a power of two, at least 16.
    public var count: UInt64

    public init(index: Int, kind: Kind, count: UInt64) {
        precondition(count >= 16 && count & (count - 1) == 0, "a BAR's size is a power of two")
        precondition((0...5).contains(index), "a function has BARs 0 to 5")
        self.index = index
        self.kind = kind
        self.count = count
    }

    var offset: Int { PCIConfigurationSpace.Offset.bar0 + 4 * index }

    /// Sets the register's fixed bits and which bits the guest may write: sizing works by itself then.
    func declare(in space: inout PCIConfigurationSpace) {
        switch kind {
        case .port:
            space.set(offset, UInt32(1))
            space.allowWrites(offset, UInt32(truncatingIfNeeded: ~(count - 1)))
        case .memory32:
            space.set(offset, UInt32(0))
            space.allowWrites(offset, UInt32(truncatingIfNeeded: ~(count - 1)))
        case .memory64(let prefetchable):
            space.set(offset, UInt64(prefetchable ? 0xc : 0x4))
            space.allowWrites(offset, ~(count - 1))
        }
    }

    /// Where the guest put it, whether or not decoding is on.
    func address(in space: PCIConfigurationSpace) -> UInt64 {
        switch kind {
        case .port: UInt64(space.get(offset, as: UInt32.self) & 0xffff & ~3)
        case .memory32: UInt64(space.get(offset, as: UInt32.self) & ~0xf)
        case .memory64: space.get(offset, as: UInt64.self) & ~0xf
        }
    }

    /// Where it answers now; nil while its decoding is off or it has no sensible address.
    func decoded(in space: PCIConfigurationSpace) -> UInt64? {
        let enable = kind == .port ? PCIConfigurationSpace.Command.ioSpace : PCIConfigurationSpace.Command.memorySpace
        guard space.command & enable != 0 else { return nil }
        let start = address(in: space)
        let (last, overflow) = start.addingReportingOverflow(count - 1)
        // All ones is what sizing leaves behind for a moment; zero is unassigned.
        guard start != 0, !overflow else { return nil }
        if kind == .port, last > 0xffff { return nil }
        if kind == .memory32, last > 0xffff_ffff { return nil }
        return start
    }

    /// Writes the address as firmware would.
    func assign(_ address: UInt64, in space: inout PCIConfigurationSpace) {
        switch kind {
        case .port: space.set(offset, UInt32(truncatingIfNeeded: address) | 1)
        case .memory32: space.set(offset, UInt32(truncatingIfNeeded: address))
        case .memory64(let prefetchable): space.set(offset, address | (prefetchable ? 0xc : 0x4))
        }
    }
}
