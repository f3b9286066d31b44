/// What an image is made of, and where it goes.
public struct ImageInputs: Sendable {
    /// Where Debian's kernel package was unpacked, with the indexes that depmod makes.
    public var kernel: String
    /// The list of kernel modules (`ModuleList`).
    public var modules: String
    /// The `wafer` binary.
    public var wafer: String
    /// A directory whose files the image's root holds as they are; need not exist.
    public var files: String
    /// GRUB's configuration.
    public var loaderConfiguration: String
    /// The signing key's seed (`SigningKey`).
    public var key: String
    /// What tells builds of one version apart; one word.
    public var build: String
    /// Packs in a moment instead of in little room.
    public var isQuick: Bool
    /// The disk image to write.
    public var output: String
    /// Where everything else goes: the parts, `layout.tsv`, and what the next build need not make again.
    public var work: String
    /// Where to write the table of sizes.
    public var sizes: String

    public init(
        kernel: String, modules: String, wafer: String, files: String, loaderConfiguration: String, key: String,
        build: String, isQuick: Bool, output: String, work: String, sizes: String
    ) {
        self.kernel = kernel
        self.modules = modules
        self.wafer = wafer
        self.files = files
        self.loaderConfiguration = loaderConfiguration
        self.key = key
        self.build = build
        self.isQuick = isQuick
        self.output = output
        self.work = work
        self.sizes = sizes
    }

    /// Firmware for guests, by its name in the image, and where Debian's packages seabios, ovmf and ipxe-qemu have it.
    static let guestFirmware = [
        ("bios-256k.bin", "/usr/share/seabios/bios-256k.bin"),
        ("vgabios-stdvga.bin", "/usr/share/seabios/vgabios-stdvga.bin"),
        ("OVMF_CODE_4M.fd", "/usr/share/OVMF/OVMF_CODE_4M.fd"),
        ("OVMF_VARS_4M.fd", "/usr/share/OVMF/OVMF_VARS_4M.fd"),
        ("efi-virtio.rom", "/usr/lib/ipxe/qemu/efi-virtio.rom"),
        ("efi-vmxnet3.rom", "/usr/lib/ipxe/qemu/efi-vmxnet3.rom"),
        ("efi-e1000.rom", "/usr/lib/ipxe/qemu/efi-e1000.rom"),
        ("efi-e1000e.rom", "/usr/lib/ipxe/qemu/efi-e1000e.rom"),
    ]
    /// Terminals that the direct console may meet: this machine's screen, serial terminals, and what people use to reach those.
    static let terminals = ["l/linux", "v/vt100", "v/vt220", "x/xterm", "x/xterm-256color"]
    /// Debian's package ncurses-base; ncurses looks in the same place on the host.
    static let terminfo = "/lib/terminfo"
    /// Debian's packages grub-pc-bin and grub-efi-amd64-bin.
    static let loader = "/usr/lib/grub"
}
