import GuestMemory

extension SegmentList {
    /// Length of a page in bytes; the only one we offer (CC.MPS).
    private static var page: UInt64 { 4096 }

    /// Fills the list from a command's physical region pages (NVM Express 1.4, section 4.3).
    ///
    /// - Parameter length: how many bytes the command moves, at least 1.
    /// - Returns: nil, or why the command fails.
    @inline(__always)
    mutating func fill(_ ram: GuestRAM, _ pointer1: UInt64, _ pointer2: UInt64, length: Int) -> NVMeStatus? {
        clear()
        do throws(Fault) {
            guard pointer1 & 3 == 0 else { return .invalidPageOffset }
            let first = min(length, Int(Self.page &- pointer1 & 0xfff))
            try append(pointer1, first)
            let left = length &- first
            if left == 0 { return nil }
            if left > Int(Self.page) { return try fillFromLists(ram, pointer2, left) }
            guard pointer2 & 0xfff == 0 else { return .invalidPageOffset }
            try append(pointer2, left)
            return nil
        } catch {
            return .dataTransferError
        }
    }

    /// Follows lists of pages. Only the first can begin within a page: every other one holds 511 pages of data, or the rest.
    private mutating func fillFromLists(
        _ ram: GuestRAM, _ first: UInt64, _ length: Int
    ) throws(Fault) -> NVMeStatus? {
        guard first & 7 == 0 else { return .invalidPageOffset }
        var list = first
        var left = length
        while true {
            // Up to the end of the page that the list lies in.
            let entries = Int((Self.page &- list & 0xfff) >> 3)
            guard let base = unsafe ram.pointer(at: list, count: entries &* 8) else { throw .address }
            for index in 0..<entries {
                let entry = unsafe UInt64(littleEndian: base.loadUnaligned(fromByteOffset: index &* 8, as: UInt64.self))
                guard entry & 0xfff == 0 else { return .invalidPageOffset }
                if index == entries &- 1 && left > Int(Self.page) {
                    list = entry
                    break
                }
                let piece = min(left, Int(Self.page))
                try append(entry, piece)
                left &-= piece
                if left == 0 { return nil }
            }
        }
    }
}
