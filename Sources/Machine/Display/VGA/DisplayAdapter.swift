import Synchronization

/// What a virtual machine does with a display adapter's memory: makes it visible to the guest without exits. All calls come on
/// the thread that wrote the register, one at a time, and have to be done when they return.
public protocol FramebufferMapper: AnyObject, Sendable {
    /// The window on the whole video memory (BAR 0) is at this guest address now, or nowhere.
    func framebufferMoved(to address: UInt64?)

    /// A part of the legacy window A0000 to BFFFF is plain memory now, or (nil) every access has to reach the adapter. Following
    /// it saves exits, ignoring it is as right: the adapter answers there all the time.
    func legacyWindowChanged(_ window: DirectWindow?)
}

/// A VGA adapter with Bochs' display interface, apart from how a guest reaches it: registers, video memory, and which of its pages were
/// written.
///
/// Register and window accesses come from several vCPU threads; whoever looks at the screen does so from one other thread.
final class DisplayAdapter: Sendable {
    private struct State {
        var registers = VGARegisters()
        /// Pages of 4 KiB that accesses through registers changed, one bit each.
        var written: [UInt64]
    }

    private let state: Mutex<State>
    /// Held while the mapper is called, so that it hears of changes in their order.
    private let mapped = Mutex<DirectWindow?>(nil)
    /// Owns what `memory` points to.
    private let owner: any FramebufferMemory
    let memory: VideoMemory
    let limits: DISPIRegisters.Limits
    private let mapper: (any FramebufferMapper)?

    init(memory: any FramebufferMemory, width: UInt16, height: UInt16, mapper: (any FramebufferMapper)?) {
        owner = memory
        self.memory = unsafe VideoMemory(base: memory.base, count: memory.count)
        limits = DISPIRegisters.Limits(width: width, height: height, memory: memory.count)
        self.mapper = mapper
        state = Mutex(State(written: Array(repeating: 0, count: Self.words(memory.count))))
    }

    private static func words(_ count: Int) -> Int { (count / 4096 + 63) / 64 }

    /// How many words a bitmap of the memory's pages has.
    var pageWords: Int { Self.words(memory.count) }

    /// Back to power-on; the memory keeps its bytes.
    func reset() {
        state.withLock { $0.registers = VGARegisters() }
        windowMayHaveChanged()
    }

    // MARK: The guest's side

    func readPort(_ port: UInt16) -> UInt8 { state.withLock { $0.registers.read(port: port) } }

    func writePort(_ port: UInt16, _ value: UInt8) {
        state.withLock { $0.registers.write(port: port, value) }
        // The only ports that the window depends on.
        if port == 0x3c2 || port == 0x3c5 || port == 0x3cf { windowMayHaveChanged() }
    }

    var dispiIndex: UInt16 {
        get { state.withLock { $0.registers.dispi.index } }
        set { state.withLock { $0.registers.dispi.index = newValue } }
    }

    /// Reads the register that was chosen by `dispiIndex`, or another one without choosing it.
    func readDISPI(_ index: UInt16? = nil) -> UInt16 {
        state.withLock { state in
            var registers = state.registers.dispi
            registers.index = index ?? registers.index
            return registers.read(limits)
        }
    }

    func writeDISPI(_ index: UInt16? = nil, _ value: UInt16) {
        state.withLock { state in
            let chosen = state.registers.dispi.index
            state.registers.dispi.index = index ?? chosen
            let clears = state.registers.dispi.write(value, limits)
            state.registers.dispi.index = chosen
            guard clears else { return }
            let start = state.registers.dispi.start
            let range = start..<start + Int(state.registers.dispi.height) * state.registers.dispi.pitch
            memory.clear(range)
            Self.mark(range, &state)
        }
        windowMayHaveChanged()
    }

    /// Reads from the legacy window; `offset` counts from A0000.
    func readWindow(_ offset: Int, width: Int) -> UInt64 {
        state.withLock { state in
            var value: UInt64 = 0
            for index in 0..<width {
                value |= UInt64(state.registers.readWindow(offset + index, memory)) << UInt64(8 * index)
            }
            return value
        }
    }

    func writeWindow(_ offset: Int, width: Int, _ value: UInt64) {
        state.withLock { state in
            for index in 0..<width {
                let byte = UInt8(truncatingIfNeeded: value >> UInt64(8 * index))
                guard let range = state.registers.writeWindow(offset + index, byte, memory) else { continue }
                Self.mark(range, &state)
            }
        }
    }

    /// Reads the video memory where it is not mapped into the guest.
    func readMemory(_ offset: UInt64, width: Int) -> UInt64 {
        var value: UInt64 = 0
        guard let offset = Int(exactly: offset) else { return value }
        for index in 0..<width { value |= UInt64(memory.byte(offset &+ index) ?? 0xff) << UInt64(8 * index) }
        return value
    }

    func writeMemory(_ offset: UInt64, width: Int, _ value: UInt64) {
        guard let offset = Int(exactly: offset), offset < memory.count else { return }
        for index in 0..<width {
            _ = memory.setByte(offset &+ index, UInt8(truncatingIfNeeded: value >> UInt64(8 * index)))
        }
        state.withLock { Self.mark(offset..<min(offset + width, memory.count), &$0) }
    }

    private static func mark(_ range: Range<Int>, _ state: inout State) {
        guard !range.isEmpty else { return }
        for page in range.lowerBound >> 12...(range.upperBound - 1) >> 12 where page >> 6 < state.written.count {
            state.written[page >> 6] |= 1 << UInt64(page & 63)
        }
    }

    func framebufferMoved(to address: UInt64?) { mapped.withLock { _ in mapper?.framebufferMoved(to: address) } }

    private func windowMayHaveChanged() {
        guard let mapper else { return }
        mapped.withLock { mapped in
            let window = state.withLock { $0.registers.directWindow(memory: memory.count) }
            guard window != mapped else { return }
            mapped = window
            mapper.legacyWindowChanged(window)
        }
    }

    // MARK: The onlooker's side

    /// The registers as they are now.
    var registers: VGARegisters { state.withLock { $0.registers } }

    /// Moves the marks of written pages to `pages`, a bitmap of `pageWords` words.
    func takeWritten(into pages: inout [UInt64]) {
        state.withLock { state in
            for index in state.written.indices where index < pages.count {
                pages[index] |= state.written[index]
                state.written[index] = 0
            }
        }
        if !owner.takeWrittenPages(into: &pages) { for index in pages.indices { pages[index] = .max } }
    }
}
