/// What a VGA adapter remembers: all that a saved machine has to keep beside the video memory.
///
/// Names and bits are those of IBM's Personal System/2 Hardware Interface Technical Reference, "Video Subsystem"; what the
/// guest may set of a register is in `VGARegisters+Ports.swift`.
struct VGARegisters: Sendable {
    /// Miscellaneous output. Bit 0: the CRT controller answers at 3Dx, not 3Bx. Bit 1: the memory window is open.
    var miscellaneous: UInt8 = 0
    var featureControl: UInt8 = 0
    /// Input status 1. Bits 0 and 3 stand for blanking and retrace.
    var status: UInt8 = 0

    var sequencerIndex: UInt8 = 0
    var sequencer = InlineArray<8, UInt8>(repeating: 0)
    var graphicsIndex: UInt8 = 0
    var graphics = InlineArray<16, UInt8>(repeating: 0)
    var crtcIndex: UInt8 = 0
    var crtc = InlineArray<32, UInt8>(repeating: 0)
    /// Index in bits 4:0; bit 5: the palette is the screen's, not the processor's.
    var attributeIndex: UInt8 = 0
    var attribute = InlineArray<32, UInt8>(repeating: 0)
    /// The next write to port 3C0 is data for the indexed register.
    var attributeExpectsData = false

    var dacMask: UInt8 = 0xff
    var dacReadIndex: UInt8 = 0
    var dacWriteIndex: UInt8 = 0
    /// 0 after a write to the write index, 3 after one to the read index, as port 3C7 tells.
    var dacState: UInt8 = 0
    /// Which of red, green and blue comes next.
    var dacComponent: UInt8 = 0
    /// A colour takes effect with its third byte.
    var dacPending = InlineArray<3, UInt8>(repeating: 0)
    /// 256 times red, green, blue, as the guest wrote them: six bits each unless `DISPIRegisters` says eight.
    var palette = InlineArray<768, UInt8>(repeating: 0)

    /// One byte of each plane, as the last read of the window found them; plane 0 in the low byte.
    var latches: UInt32 = 0

    var dispi = DISPIRegisters()

    /// Whether bits 3:0 of memory addresses choose a plane by their low two bits (sequencer memory mode, chain 4).
    var isChained: Bool { sequencer[4] & 0x08 != 0 }
}
