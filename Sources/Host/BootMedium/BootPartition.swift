/// The partitions of the medium that a host boots from, by their names in its GUID partition table: the order of disks and
/// partitions is no name.
public enum BootPartition: String, CaseIterable, Sendable {
    /// GRUB's core for BIOS; raw.
    case loader = "WAFER-BOOT"
    /// The EFI system partition, FAT32: GRUB for UEFI, its configuration and environment.
    case system = "WAFER-ESP"
    /// The two boot banks, FAT16: kernel, initial RAM file system, manifest and its signature. One may be empty.
    case bankA = "WAFER-A"
    case bankB = "WAFER-B"
    /// The host's settings; raw.
    case state = "WAFER-STATE"
}

/// One of the two system images on a boot medium.
public enum BootBank: String, CaseIterable, Sendable {
    case a = "A"
    case b = "B"

    /// The one that is not this.
    public var other: BootBank { self == .a ? .b : .a }

    /// The partition it lies on.
    public var partition: BootPartition { self == .a ? .bankA : .bankB }
}
