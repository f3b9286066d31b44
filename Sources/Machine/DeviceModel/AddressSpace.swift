import Synchronization

/// A range cannot be mapped.
public enum AddressSpaceError: Error, Equatable, Sendable, CustomStringConvertible {
    /// Its length is zero or it runs over the end of the space.
    case invalidRange(start: UInt64, count: UInt64)
    /// A device is already there.
    case overlap(start: UInt64, count: UInt64)

    public var description: String {
        switch self {
        case .invalidRange(let start, let count):
            "\(count) bytes at 0x\(String(start, radix: 16)) are not a range of this address space"
        case .overlap(let start, let count):
            "\(count) bytes at 0x\(String(start, radix: 16)) overlap another device"
        }
    }
}

/// Which device answers at which address: one map for ports, one for memory.
///
/// vCPUs do not look here but in a `BusView` of their own, which is renewed when `generation` has moved; so an access
/// takes no lock, and a remap (a BAR moved, a device unplugged) costs each vCPU one copy.
public final class AddressSpace: Sendable {
    struct Entry: Sendable {
        var start: UInt64
        var last: UInt64
        var region: Int
        var device: BusDevice
    }

    /// The highest address: 0xffff for ports.
    public let last: UInt64
    private let entries = Mutex<[Entry]>([])
    let generation = Atomic<UInt64>(1)

    private init(last: UInt64) { self.last = last }

    /// The 64 Ki I/O ports.
    public static func ports() -> AddressSpace { AddressSpace(last: 0xffff) }
    /// Physical memory addresses.
    public static func memory() -> AddressSpace { AddressSpace(last: .max) }

    /// Lets `device` answer for `count` addresses from `start`, as its region number `region`.
    public func map(
        _ device: BusDevice, region: Int = 0, at start: UInt64, count: UInt64
    ) throws(AddressSpaceError) {
        let (end, overflow) = start.addingReportingOverflow(count &- 1)
        guard count > 0, !overflow, end <= last else { throw .invalidRange(start: start, count: count) }
        let mapped = entries.withLock { entries in
            let index = entries.firstIndex { $0.start > start } ?? entries.count
            if index > 0, entries[index - 1].last >= start { return false }
            if index < entries.count, entries[index].start <= end { return false }
            entries.insert(Entry(start: start, last: end, region: region, device: device), at: index)
            generation.add(1, ordering: .releasing)
            return true
        }
        if !mapped { throw .overlap(start: start, count: count) }
    }

    /// Nobody answers at the range that begins at `start` any more.
    public func unmap(at start: UInt64) {
        entries.withLock { entries in
            entries.removeAll { $0.start == start }
            generation.add(1, ordering: .releasing)
        }
    }

    /// Removes every range of a device.
    public func unmapAll(of device: BusDevice) {
        entries.withLock { entries in
            entries.removeAll { $0.device === device }
            generation.add(1, ordering: .releasing)
        }
    }

    /// Every device that answers somewhere, each once, in order of its first address.
    public var devices: [BusDevice] {
        var seen = Set<ObjectIdentifier>()
        return entries.withLock { $0.map(\.device) }.filter { seen.insert(ObjectIdentifier($0)).inserted }
    }

    /// The present map, for a view, with its generation.
    func current() -> (entries: [Entry], generation: UInt64) {
        entries.withLock { ($0, generation.load(ordering: .acquiring)) }
    }
}
