import GuestMemory

/// A frame from device to host, as it lies in the driver's receive area (AHCI 1.3.1, section 4.2.1; Serial ATA 3.0,
/// section 10.3).
struct AHCIFrame: BitwiseCopyable {
    /// Where it goes in the area.
    private var offset: UInt64
    /// How many of the words there are.
    private var count: Int
    private var words: (UInt32, UInt32, UInt32, UInt32, UInt32)

    private static let interrupt: UInt32 = 1 << 14

    /// The registers at a command's end.
    static func registers(
        status: UInt8, error: UInt8, block: UInt64, device: UInt8, count: UInt16, interrupts: Bool
    ) -> AHCIFrame {
        AHCIFrame(
            offset: 0x40, count: 5,
            words: (
                0x34 | (interrupts ? interrupt : 0) | UInt32(status) << 16 | UInt32(error) << 24,
                UInt32(truncatingIfNeeded: block & 0xff_ffff) | UInt32(device) << 24,
                UInt32(truncatingIfNeeded: block >> 24 & 0xff_ffff), UInt32(count), 0
            ))
    }

    /// Before data that the driver fetches in programmed mode.
    static func pioSetup(
        status: UInt8, endStatus: UInt8, block: UInt64, device: UInt8, count: UInt16, bytes: UInt16
    ) -> AHCIFrame {
        AHCIFrame(
            offset: 0x20, count: 5,
            words: (
                0x5f | 1 << 13 | interrupt | UInt32(status) << 16,
                UInt32(truncatingIfNeeded: block & 0xff_ffff) | UInt32(device) << 24,
                UInt32(truncatingIfNeeded: block >> 24 & 0xff_ffff), UInt32(count) | UInt32(endStatus) << 24,
                UInt32(bytes)
            ))
    }

    /// Queued commands ended.
    ///
    /// - Parameter active: a bit for each that ended well.
    static func deviceBits(status: UInt8, error: UInt8, active: UInt32) -> AHCIFrame {
        AHCIFrame(
            offset: 0x58, count: 2,
            // Without the bits that only change with other frames.
            words: (0xa1 | interrupt | UInt32(status & 0x77) << 16 | UInt32(error) << 24, active, 0, 0, 0))
    }

    /// Writes it; a receive area outside of memory receives nothing.
    func store(_ ram: GuestRAM, at area: GuestAddress) {
        let start = area &+ offset
        ram.store(words.0, at: start)
        ram.store(words.1, at: start &+ 4)
        guard count > 2 else { return }
        ram.store(words.2, at: start &+ 8)
        ram.store(words.3, at: start &+ 12)
        ram.store(words.4, at: start &+ 16)
    }
}
