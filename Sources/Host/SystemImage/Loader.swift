import Linux

/// GRUB's cores for both firmwares, made by Debian's grub-mkimage.
struct Loader {
    /// For the first sector and the partition `WAFER-BOOT`.
    let bios: BIOSLoader
    /// `EFI/BOOT/BOOTX64.EFI`.
    let efi: [UInt8]

    /// What the configuration uses. Nothing is loaded later.
    private static let modules = [
        "part_gpt", "fat", "normal", "linux", "configfile", "loadenv", "test", "echo", "serial", "terminal", "boot",
        "sleep",
        "reboot", "halt", "regexp", "probe",
    ]
    /// Where the configuration is: on the second partition of the disk that the core was loaded from.
    private static let prefix = "(,gpt2)/grub"

    /// - Parameters:
    ///   - work: a directory for what grub-mkimage writes.
    ///   - sector: where the core for BIOS will lie.
    init(work: String, sector: UInt64) throws(ImageError) {
        let core = try Self.image(.init(format: "i386-pc", modules: ["biosdisk"]), work)
        bios = try BIOSLoader(
            bootImage: try content(of: "\(ImageInputs.loader)/i386-pc/boot.img"), coreImage: core, sector: sector)
        efi = try Self.image(.init(format: "x86_64-efi", modules: ["efi_gop"]), work)
    }

    private struct Platform {
        var format: String
        var modules: [String]
    }

    private static func image(_ platform: Platform, _ work: String) throws(ImageError) -> [UInt8] {
        let target = "\(work)/\(platform.format).img"
        let arguments =
            ["-O", platform.format, "-d", "\(ImageInputs.loader)/\(platform.format)", "-o", target, "-p", prefix]
            + modules + platform.modules
        try Tool("/usr/bin/grub-mkimage", arguments).wait()
        return try content(of: target)
    }
}
