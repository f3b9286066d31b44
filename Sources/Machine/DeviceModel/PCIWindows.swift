/// The address ranges that PCI BARs may use; the ACPI `_CRS` of the root tells the guest the same.
public struct PCIWindows: Sendable, Equatable {
    public var ports: ClosedRange<UInt64>
    public var memory32: ClosedRange<UInt64>
    public var memory64: ClosedRange<UInt64>

    public init(ports: ClosedRange<UInt64>, memory32: ClosedRange<UInt64>, memory64: ClosedRange<UInt64>) {
        self.ports = ports
        self.memory32 = memory32
        self.memory64 = memory64
    }
}

/// Hands out places for BARs, each aligned to its size, lowest first.
struct PCIWindowAllocator: Sendable {
    private var windows: PCIWindows
    private var taken: [ClosedRange<UInt64>] = []

    init(_ windows: PCIWindows) { self.windows = windows }

    private func window(_ kind: PCIBar.Kind) -> ClosedRange<UInt64> {
        switch kind {
        case .port: windows.ports
        case .memory32: windows.memory32
        case .memory64: windows.memory64
        }
    }

    /// A place for the BAR; nil if its window is full.
    mutating func take(_ bar: PCIBar) -> UInt64? {
        let window = window(bar.kind)
        let mask = bar.count - 1
        var start = (window.lowerBound + mask) & ~mask
        // Ports and memory share the list: ports lie below every memory window.
        for range in taken where range.overlaps(window) {
            if start + mask < range.lowerBound { break }
            if start <= range.upperBound { start = (range.upperBound + 1 + mask) & ~mask }
        }
        guard start + mask <= window.upperBound else { return nil }
        let range = start...(start + mask)
        taken.insert(range, at: taken.firstIndex { $0.lowerBound > start } ?? taken.count)
        return start
    }

    /// Frees the place the BAR was given, if it is still there; a guest may have moved it.
    mutating func give(_ bar: PCIBar, back start: UInt64) {
        taken.removeAll { $0.lowerBound == start && $0.upperBound == start + (bar.count - 1) }
    }
}
