import Glibc

/// One parser or device fed with bytes from nowhere.
///
/// `run` must end normally whatever it is given. It checks what must hold (a text that is read and written again is the same)
/// with `check`: a broken promise then stops the fuzzer as a crash does.
public struct FuzzTarget: Sendable {
    /// The folder in `Fuzz/` with its corpus, and the name on the command line.
    public var name: String
    public var run: @Sendable (_ bytes: [UInt8]) -> Void

    public init(_ name: String, _ run: @escaping @Sendable (_ bytes: [UInt8]) -> Void) {
        self.name = name
        self.run = run
    }

    /// Every target. A new one adds its line here.
    public static let all: [FuzzTarget] = [
        FuzzTarget("AHCI", fuzzAHCI),
        FuzzTarget("BootEnvironment", fuzzBootEnvironment),
        FuzzTarget("E1000", fuzzE1000),
        FuzzTarget("FATReader", fuzzFATReader),
        FuzzTarget("DHCP", fuzzDHCP),
        FuzzTarget("DNS", fuzzDNS),
        FuzzTarget("FirmwareDevices", fuzzFirmwareDevices),
        FuzzTarget("FusionMPT", fuzzFusionMPT),
        FuzzTarget("GuestBoot", fuzzGuestBoot),
        FuzzTarget("GuestTools", fuzzGuestTools),
        FuzzTarget("SavedChipset", fuzzSavedChipset),
        FuzzTarget("SavedState", fuzzSavedState),
        FuzzTarget("SavedVirtio", fuzzSavedVirtio),
        FuzzTarget("SettingsText", fuzzSettingsText),
        FuzzTarget("StateArea", fuzzStateArea),
        FuzzTarget("UpdateBundle", fuzzUpdateBundle),
        FuzzTarget("HostCalls", fuzzHostCalls),
        FuzzTarget("KeyboardController", fuzzKeyboardController),
        FuzzTarget("KeyDecoder", fuzzKeyDecoder),
        FuzzTarget("KernelMessage", fuzzKernelMessage),
        FuzzTarget("LogDatagram", fuzzLogDatagram),
        FuzzTarget("NTPPacket", fuzzNTPPacket),
        FuzzTarget("PVSCSI", fuzzPVSCSI),
        FuzzTarget("RFB", fuzzRFB),
        FuzzTarget("NVMe", fuzzNVMe),
        FuzzTarget("SCSIUnit", fuzzSCSIUnit),
        FuzzTarget("TLSClient", fuzzTLSClient),
        FuzzTarget("VGA", fuzzVGA),
        FuzzTarget("VMDKDescriptor", fuzzVMDKDescriptor),
        FuzzTarget("VMXConfig", fuzzVMXConfig),
        FuzzTarget("VMXNET3", fuzzVMXNET3),
        FuzzTarget("VirtQueue", fuzzVirtQueue),
        FuzzTarget("VirtioBalloon", fuzzVirtioBalloon),
        FuzzTarget("VirtioBlock", fuzzVirtioBlock),
        FuzzTarget("VirtioConsole", fuzzVirtioConsole),
        FuzzTarget("VirtioNet", fuzzVirtioNet),
        FuzzTarget("VirtioRNG", fuzzVirtioRNG),
        FuzzTarget("VirtioSCSI", fuzzVirtioSCSI),
        FuzzTarget("XHCI", fuzzXHCI),
    ]
}

/// Stops the fuzzer with a reason if something that must hold does not.
func check(_ condition: Bool, _ promise: StaticString) {
    if condition { return }
    let text = Array("broken promise: \(promise)\n".utf8)
    _ = text.withUnsafeBytes { write(2, $0.baseAddress, $0.count) }
    preconditionFailure()
}
