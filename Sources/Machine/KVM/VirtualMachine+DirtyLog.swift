import CLinux
import Synchronization

extension VirtualMachine {
    /// Whether reading the dirty log leaves it as it is, so that pages must be cleared with `clearDirtyLog`.
    public var clearsDirtyLogSeparately: Bool { manualDirtyLog != 0 }

    /// Reads which pages of a slot the guest wrote: bit n of the bitmap is page n.
    ///
    /// Without `clearsDirtyLogSeparately` the log starts afresh. Writes of this process are not in the log.
    ///
    /// - Precondition: the bitmap has at least `slot.dirtyWords` words.
    public func readDirtyLog(_ slot: MemorySlot, into bitmap: inout MutableSpan<UInt64>) throws(KVMError) {
        precondition(bitmap.count >= slot.dirtyWords, "the dirty bitmap is too short")
        // The slot must not change its size between the check and the call.
        try memory.withLock { map throws(KVMError) in
            guard try map.slots.find(slot.id).size == slot.size else { throw .unknownSlot(slot.id) }
            try unsafe bitmap.withUnsafeMutableBufferPointer { words throws(KVMError) in
                var log = unsafe kvm_dirty_log()
                unsafe log.slot = slot.id
                unsafe log.dirty_bitmap = UnsafeMutableRawPointer(words.baseAddress)
                try unsafe kvmCall(raw, WAFER_KVM_GET_DIRTY_LOG, &log, "read the dirty log")
            }
        }
    }

    /// Write-protects pages again whose bits are set, so that the log notes the next write to them.
    ///
    /// - Parameters:
    ///   - firstPage: a multiple of 64.
    ///   - count: pages; a multiple of 64 unless they reach the end of the slot.
    ///   - bitmap: bit 0 is `firstPage`.
    /// - Precondition: the pages lie in the slot, and the bitmap covers them.
    public func clearDirtyLog(_ slot: MemorySlot, firstPage: Int, count: Int, _ bitmap: Span<UInt64>) throws(KVMError) {
        precondition(firstPage >= 0 && firstPage & 63 == 0 && count >= 0 && count <= slot.pages - firstPage)
        precondition(bitmap.count >= (count + 63) / 64, "the dirty bitmap is too short")
        guard manualDirtyLog != 0, count > 0 else { return }
        try memory.withLock { map throws(KVMError) in
            guard try map.slots.find(slot.id).size == slot.size else { throw .unknownSlot(slot.id) }
            try unsafe bitmap.withUnsafeBufferPointer { words throws(KVMError) in
                var log = unsafe kvm_clear_dirty_log()
                unsafe log.slot = slot.id
                unsafe log.first_page = UInt64(firstPage)
                unsafe log.num_pages = UInt32(count)
                unsafe log.dirty_bitmap = UnsafeMutableRawPointer(mutating: words.baseAddress)
                try unsafe kvmCall(raw, WAFER_KVM_CLEAR_DIRTY_LOG, &log, "clear the dirty log")
            }
        }
    }
}
