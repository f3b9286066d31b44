import Linux

/// A disk to mount, as the kernel command line names it: `wafer.mount=DISK:DIRECTORY[:TYPE[:OPTIONS]]`.
struct DataDisk: Equatable {
    /// How a disk is named: the order in which disks appear is no name.
    enum Name: Equatable {
        case path(String)
        /// An ext4 file system's label.
        case label(String)
        /// The serial number a virtio disk has.
        case serial(String)
    }

    var disk: Name
    var directory: String
    var type: String
    var options: String

    /// - Returns: nil if the text does not have that form.
    init?(_ text: String) {
        let fields = text.split(separator: ":", omittingEmptySubsequences: false).map(String.init)
        guard (2...4).contains(fields.count), !fields[0].isEmpty, fields[1].hasPrefix("/") else { return nil }
        if fields[0].hasPrefix("LABEL=") {
            disk = .label(String(fields[0].dropFirst(6)))
        } else if fields[0].hasPrefix("SERIAL=") {
            disk = .serial(String(fields[0].dropFirst(7)))
        } else if fields[0].hasPrefix("/") {
            disk = .path(fields[0])
        } else {
            return nil
        }
        directory = fields[1]
        type = fields.count > 2 && !fields[2].isEmpty ? fields[2] : "ext4"
        options = fields.count > 3 ? fields[3] : ""
    }

    /// The device node, once the kernel has found the disk.
    func device() -> String? {
        switch disk {
        case .path(let path): return fileExists(path) ? path : nil
        case .serial(let serial):
            let block = (try? listDirectory("/sys/block")) ?? []
            return block.first { (try? FileSystem.text(of: "/sys/block/\($0)/serial")) == serial }.map { "/dev/\($0)" }
        case .label(let label):
            let devices = (try? listDirectory("/sys/class/block")) ?? []
            return devices.sorted().first { Self.ext4Label(ofDevice: "/dev/\($0)") == label }.map { "/dev/\($0)" }
        }
    }

    /// Mounts it; the directory is made if it is missing.
    func mount(from device: String, _ flags: MountOptions = [.noSetUserID, .noDevices]) throws(SystemError) {
        try FileSystem.makeDirectory(directory)
        // `ro` is for the mount call, the rest for the file system.
        let words = options.split(separator: ",")
        let data = words.filter { $0 != "ro" }.joined(separator: ",")
        let all = words.contains("ro") ? flags.union(.readOnly) : flags
        try Mounts.mount(device, on: directory, type: type, all, data: data)
    }

    static func ext4Label(ofDevice path: String) -> String? {
        guard let device = try? Descriptor(opening: path, .readOnly),
            let bytes = try? device.contents(upTo: 2048)
        else { return nil }
        return ext4Label(bytes)
    }

    /// Where a file system with this label is mounted by itself, until there are datastores: below /vms if the label starts with `vm` or
    /// `wafer`; nil for any other.
    static func automaticDirectory(label: String) -> String? {
        guard label.hasPrefix("vm") || label.hasPrefix("wafer"),
            label.utf8.allSatisfy({ byte in
                switch byte {
                case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
                    UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "."), UInt8(ascii: "-"), UInt8(ascii: "_"):
                    true
                default: false
                }
            })
        else { return nil }
        return "/vms/\(label)"
    }

    /// The label in an ext2, 3 or 4 superblock, which starts at byte 1024 (Linux: fs/ext4/ext4.h, struct
    /// ext4_super_block: s_magic at 0x38, s_volume_name at 0x78, 16 bytes); nil if there is none.
    static func ext4Label(_ bytes: [UInt8]) -> String? {
        let start = 1024
        guard bytes.count >= start + 0x88, bytes[start + 0x38] == 0x53, bytes[start + 0x39] == 0xef else { return nil }
        return String(decoding: bytes[(start + 0x78)..<(start + 0x88)].prefix { $0 != 0 }, as: UTF8.self)
    }
}
