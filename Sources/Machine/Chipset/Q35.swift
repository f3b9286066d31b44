public import DeviceModel

/// Fixed places of the machine, which is a Q35 with an ICH9.
public enum Q35 {
    /// Where the enhanced configuration mechanism lies, and for how many buses.
    public static let ecamBase: UInt64 = 0xb000_0000
    public static let ecamSize: UInt64 = 256 << 20
    public static let hostBridgeAddress = PCIAddress(device: 0)
    public static let isaBridgeAddress = PCIAddress(device: 31)
}
