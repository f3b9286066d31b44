import Display
import KVM
import Linux
import Synchronization

/// The display adapter's memory: the guest has it mapped where its BAR and the legacy window are, and KVM notes which pages it writes.
final class VideoMemory: FramebufferMemory, FramebufferMapper {
    /// A part that the guest sees.
    private struct Window {
        var slot: MemorySlot
        /// Its first page in the video memory.
        var page: Int
    }

    private struct State {
        var linear: Window?
        var legacy: Window?
        /// One slot's log; as long as the whole memory's.
        var log: [UInt64]
    }

    private let machine: VirtualMachine
    private let mapping: Mapping
    private let state: Mutex<State>

    /// - Parameter count: bytes; a power of two.
    init(count: Int, _ machine: VirtualMachine) throws(SystemError) {
        self.machine = machine
        mapping = try Mapping(anonymous: count, "video memory of \(count >> 20) MiB")
        mapping.excludeFromDumps()
        state = Mutex(State(log: Array(repeating: 0, count: count / 4096 / 64)))
    }

    @unsafe var base: UnsafeMutableRawPointer { unsafe mapping.base }
    var count: Int { mapping.count }

    func framebufferMoved(to address: UInt64?) {
        state.withLock { state in
            hide(&state.linear)
            if let address { state.linear = show(0..<count, at: address) }
        }
    }

    func legacyWindowChanged(_ window: DirectWindow?) {
        state.withLock { state in
            hide(&state.legacy)
            if let window, window.offset % 4096 == 0, window.count % 4096 == 0 {
                state.legacy = show(window.offset..<(window.offset + window.count), at: window.guestAddress)
            }
        }
    }

    /// Without a slot every access reaches the adapter: slow, and right.
    private func show(_ range: Range<Int>, at address: UInt64) -> Window? {
        guard let slot = try? machine.addMemory(at: address, mapping, range: range, flags: .logDirty) else {
            return nil
        }
        return Window(slot: slot, page: range.lowerBound / 4096)
    }

    private func hide(_ window: inout Window?) {
        if let present = window { try? machine.removeMemory(present.slot) }
        window = nil
    }

    func takeWrittenPages(into pages: inout [UInt64]) -> Bool {
        state.withLock { state in
            for window in [state.linear, state.legacy] {
                guard let window else { continue }
                guard take(window, log: &state.log, into: &pages) else { return false }
            }
            return true
        }
    }

    private func take(_ window: Window, log: inout [UInt64], into pages: inout [UInt64]) -> Bool {
        do throws(KVMError) {
            var bitmap = log.mutableSpan
            for index in bitmap.indices { bitmap[index] = 0 }
            try machine.readDirtyLog(window.slot, into: &bitmap)
            if machine.clearsDirtyLogSeparately {
                try machine.clearDirtyLog(window.slot, firstPage: 0, count: window.slot.pages, log.span)
            }
        } catch { return false }
        for page in 0..<window.slot.pages where log[page >> 6] >> UInt64(page & 63) & 1 == 1 {
            let target = window.page + page
            if target >> 6 < pages.count { pages[target >> 6] |= 1 << UInt64(target & 63) }
        }
        return true
    }
}
